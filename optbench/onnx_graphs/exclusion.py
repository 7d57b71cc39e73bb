"""Which nodes a quantization leaves in floating point, and which operators it may touch."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from optbench.errors import DataError
from optbench.onnx_graphs.groups import GROUPS
from optbench.onnx_graphs.nodes import NodeIndex


@dataclass(frozen=True)
class Exclusion:
    """Nodes that stay in floating point.

    matched: of each entry, how many nodes it names. quantizable: how many of those would have been
    quantized without it.
    """

    names: list[str]
    matched: dict[str, int]
    quantizable: dict[str, int]

    def details(self) -> dict[str, Any]:
        """What the result says about it."""
        return {
            "nodes_excluded": len(self.names),
            "node_exclusion_matched": self.matched,
            "node_exclusion_quantizable": self.quantizable,
        }


def exclude(
    graph: Any,
    entries: Sequence[str],
    quantizable: Callable[[NodeIndex, int], bool],
    folded: Collection[str] = (),
) -> Exclusion:
    """The nodes named by groups and glob patterns. Raises DataError on an entry that matches none.

    quantizable: whether a node would be quantized if it were not excluded. folded: names of nodes that
    were there before constants were folded; to name those is no mistake.
    """
    index = NodeIndex(graph)
    chosen: dict[str, set[int]] = {}
    for entry in entries:
        if entry in GROUPS:
            chosen[entry] = GROUPS[entry](index)
        else:
            chosen[entry] = {
                number for number, node in enumerate(index.nodes) if fnmatch.fnmatchcase(node.name, entry)
            }
        if not chosen[entry] and not fnmatch.filter(folded, entry):
            raise DataError(no_match(entry, index))
    everything = sorted({index.nodes[one].name for numbers in chosen.values() for one in numbers})
    would = {entry: sum(quantizable(index, one) for one in numbers) for entry, numbers in chosen.items()}
    return Exclusion(everything, {entry: len(numbers) for entry, numbers in chosen.items()}, would)


def no_match(entry: str, index: NodeIndex) -> str:
    """Why an entry of node_exclusion is refused."""
    names = [node.name for node in index.nodes]
    kind = "group" if entry in GROUPS else "pattern"
    return (
        f"quantization.node_exclusion {kind} {entry!r} matches none of the graph's {len(names)} nodes, "
        f"which are named like {names[len(names) // 2]!r}; groups are {', '.join(GROUPS)}"
    )


def require_operators(operators: Iterable[str], graph: Any) -> None:
    """Raise DataError if an operator type to quantize does not occur in the graph."""
    present = {node.op_type for node in graph.node}
    if unknown := sorted(set(operators) - present):
        raise DataError(
            f"quantization.operators_to_quantize names {', '.join(unknown)}, which the model's "
            f"graph does not contain; it has {', '.join(sorted(present))}"
        )
