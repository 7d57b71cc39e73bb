"""An ONNX graph as a net of nodes: who makes each tensor, who reads it, what is constant."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

PRODUCTS = frozenset(
    {"MatMul", "Gemm", "Conv", "ConvTranspose", "FusedMatMul", "FusedGemm", "FusedConv", "MatMulNBits"}
)
"""Matrix products and convolutions."""

SHAPES = frozenset({"Shape", "Size"})


class NodeIndex:
    """A graph's nodes (numbered in the file's order), who makes each tensor, and who reads it."""

    def __init__(self, graph: Any) -> None:
        self.nodes: list[Any] = list(graph.node)
        self.producer = {name: n for n, node in enumerate(self.nodes) for name in node.output if name}
        self.consumers: dict[str, list[int]] = {}
        for number, node in enumerate(self.nodes):
            for name in node.input:
                self.consumers.setdefault(name, []).append(number)
        self.constants = self._constants({item.name for item in graph.initializer})
        self.floats = self._floating(graph.initializer)

    def _constants(self, known: set[str]) -> set[str]:
        """Tensors that no value of an input changes: initializers, shapes, and what is made of them."""
        for node in self.nodes:
            if node.op_type in SHAPES or all(not name or name in known for name in node.input):
                known.update(node.output)
        return known

    def _floating(self, initializers: Iterable[Any]) -> set[str]:
        """Initializers in floating point, also under the names that Identity and Cast nodes give them."""
        import onnx

        types = {
            onnx.TensorProto.FLOAT,
            onnx.TensorProto.FLOAT16,
            onnx.TensorProto.BFLOAT16,
            onnx.TensorProto.DOUBLE,
        }
        known = {item.name for item in initializers if item.data_type in types}
        for node in self.nodes:
            if node.op_type in ("Identity", "Transpose") and node.input[0] in known:
                known.update(node.output)
        return known

    def before(self, number: int) -> list[int]:
        """Nodes that make the inputs of a node, constants left out."""
        names = [name for name in self.nodes[number].input if name not in self.constants]
        return [self.producer[name] for name in names if name in self.producer]

    def after(self, number: int) -> list[int]:
        """Nodes that read the outputs of a node."""
        return [
            reader for name in self.nodes[number].output if name for reader in self.consumers.get(name, [])
        ]

    def is_weighted(self, number: int) -> bool:
        """Whether a node multiplies by weights of its own."""
        node = self.nodes[number]
        if node.op_type in ("Attention", "MatMulNBits"):
            return True
        return node.op_type in PRODUCTS and any(name in self.constants for name in node.input[:2])

    def reached(
        self,
        starts: Iterable[int],
        step: Callable[[int], list[int]],
        stop: Callable[[int], bool] | None = None,
        ends: Collection[int] = (),
    ) -> set[int]:
        """Nodes reached from `starts` (themselves included); `ends`, and where `stop` holds, are the last."""
        found: set[int] = set()
        waiting = list(starts)
        while waiting:
            number = waiting.pop()
            if number in found:
                continue
            found.add(number)
            if number not in ends and not (stop is not None and stop(number)):
                waiting.extend(step(number))
        return found

    def of_type(self, kinds: Collection[str]) -> set[int]:
        """Nodes of some operator types."""
        return {number for number, node in enumerate(self.nodes) if node.op_type in kinds}


def name_nodes(graph: Any) -> int:
    """Give each nameless node a name, in place; returns how many there were."""
    nameless = [node for node in graph.node if not node.name]
    for number, node in enumerate(nameless):
        node.name = f"{node.op_type}_nameless_{number}"
    return len(nameless)
