"""Weights in 4 or 8 bits, unpacked while computing: MatMulNBits of onnxruntime."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from optbench.components import Backend, ModelSpec, Quantization, register, wrong_format
from optbench.errors import DataError
from optbench.onnx_graphs.exclusion import exclude
from optbench.onnx_graphs.files import load_named, save_model, scratch
from optbench.onnx_graphs.nodes import NodeIndex
from optbench.onnx_graphs.rewriting import split_gemms

if TYPE_CHECKING:
    from optbench.components import Feed

BITS = (4, 8)
BLOCK_SIZES = (16, 32, 64, 128, 256)
ACCURACY_LEVELS = {0: "as the runtime likes", 1: "float32", 2: "float16", 3: "bfloat16", 4: "int8"}
"""What onnxruntime's MatMulNBits computes in (contrib operator documentation)."""


@register("quant", "weight_only")
@dataclass
class WeightOnlyQuantization(Quantization):
    """Weights of MatMul and Gemm in blocks of few bits, each with a scale; activations stay float32.

    bits: 4 or 8. block_size: weights of one output channel that share a scale. symmetric: zero is in the
        middle, so that no zero points are stored.
    accuracy_level: what products are computed in: 0 as the runtime likes, 1 float32, 4 int8 (the fastest).
    embeddings: look-up tables too, in 4 bits; they are the largest part of small models.
    node_exclusion: groups (layernorm, gelu, residual, gather, softmax, attention, first_layer,
        last_layer), names, or glob patterns of nodes that stay as they are.
    """

    bits: int = 4
    block_size: int = 32
    symmetric: bool = False
    accuracy_level: int = 4
    embeddings: bool = False
    node_exclusion: list[str] = field(default_factory=list)

    source_format: ClassVar[str | None] = "onnx"
    target_format: ClassVar[str | None] = "onnx"
    packages: ClassVar[tuple[str, ...]] = ("onnx_ir",)

    def problems(self) -> list[str]:
        """Values that onnxruntime's kernels do not know."""
        found = []
        for key, known in (("bits", BITS), ("block_size", BLOCK_SIZES), ("accuracy_level", ACCURACY_LEVELS)):
            if getattr(self, key) not in known:
                listed = ", ".join(map(str, known))
                found.append(f"{key} must be one of {listed}, got {getattr(self, key)}")
        if self.embeddings and self.bits != 4:
            found.append(
                f"embeddings must be false with bits={self.bits}: onnxruntime stores tables in 4 bits only; "
                "set bits=4 or embeddings=false"
            )
        return found

    def supports(self, spec: ModelSpec, backend: Backend) -> str | None:
        """Only ONNX artifacts can be quantized this way."""
        return wrong_format(self, "ONNX files", backend, "backend=onnxruntime")

    def cautions(self) -> list[str]:
        """Levels without kernels on the CPU."""
        if self.accuracy_level not in (2, 3):
            return []
        kind = ACCURACY_LEVELS[self.accuracy_level]
        return [
            f"quantization.accuracy_level={self.accuracy_level} ({kind}) has no kernels on the CPU, which "
            "computes in float32; 4 computes in int8"
        ]

    def recipe(self) -> dict[str, Any] | None:
        """All that changes the file."""
        return {
            "approach": "weight_only",
            "bits": self.bits,
            "block_size": self.block_size,
            "symmetric": self.symmetric,
            "accuracy_level": self.accuracy_level,
            "embeddings": self.embeddings,
            "node_exclusion": sorted(self.node_exclusion),
        }

    def excluding(self, nodes: Sequence[str]) -> WeightOnlyQuantization:
        """More of `node_exclusion`."""
        return replace(self, node_exclusion=[*self.node_exclusion, *map(glob.escape, nodes)])

    def apply(self, source: Path, target: Path, calibration: Sequence[Feed] = ()) -> dict[str, Any]:
        """Quantize source/model.onnx to target/model.onnx. Raises DataError."""
        import numpy as np
        from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

        with scratch():
            model = load_named(source / "model.onnx")
            split_gemms(model.graph)
            excluded = exclude(model.graph, self.node_exclusion, self.quantizes)
            quantizer = MatMulNBitsQuantizer(
                model,
                bits=self.bits,
                block_size=self.block_size,
                is_symmetric=self.symmetric,
                accuracy_level=self.accuracy_level,
                nodes_to_exclude=[*excluded.names, *self.left_alone(model.graph)],
                op_types_to_quantize=("MatMul", "Gather") if self.embeddings else ("MatMul",),
            )
            with np.errstate(invalid="ignore"):  # blocks of zeros: 0 / 0, which it replaces
                quantizer.process()
            made = quantizer.model.model
            kinds = Counter(node.op_type for node in made.graph.node)
            products, tables = kinds["MatMulNBits"], kinds["GatherBlockQuantized"]
            if not products + tables:
                raise DataError(
                    "quant=weight_only found no MatMul with weights in the graph, or all are excluded; it "
                    f"has {', '.join(sorted(kinds))}"
                )
            save_model(made, target / "model.onnx")
        return {
            **(self.recipe() or {}),
            **excluded.details(),
            "nodes_quantized": products,
            "tables_quantized": tables,
        }

    def quantizes(self, index: NodeIndex, number: int) -> bool:
        """Whether a node has a weight matrix that is stored in few bits."""
        node = index.nodes[number]
        if node.op_type == "Gather":
            return self.embeddings and node.input[0] in index.floats
        return node.op_type == "MatMul" and node.input[1] in index.floats

    def left_alone(self, graph: Any) -> list[str]:
        """Look-ups in what is no table of weights, which the quantizer would stumble over."""
        index = NodeIndex(graph)
        return [
            node.name
            for number, node in enumerate(index.nodes)
            if node.op_type == "Gather" and not self.quantizes(index, number)
        ]
