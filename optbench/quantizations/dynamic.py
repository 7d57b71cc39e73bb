"""Dynamic int8 with onnxruntime.quantization: int8 weights, activations quantized while running."""

from __future__ import annotations

import fnmatch
import glob
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from optbench.components import Backend, ModelSpec, Quantization, register, wrong_format
from optbench.environment import isa_flags
from optbench.errors import DataError

if TYPE_CHECKING:
    from optbench.components import Feed

DOT_PRODUCT_FLAGS = frozenset({"avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"})
"""Instructions that multiply u8 by s8 into 32 bits without saturating in 16."""


class WeightType(Enum):
    """Integer type of the weights; auto asks the CPU."""

    auto = "auto"
    int8 = "int8"
    uint8 = "uint8"


@register("quant", "dynamic")
@dataclass
class DynamicQuantization(Quantization):
    """Weights int8 on disk, activation scales found at run time; needs no calibration.

    operators_to_quantize: ONNX operator types such as ['MatMul', 'Gather']; empty means all that the
        runtime can quantize.
    node_exclusion: names or glob patterns of nodes that stay in floating point.
    per_channel: one scale per output channel; better answers at the same speed.
    reduce_range: 7-bit weights, against saturation on CPUs without dot-product instructions.
    """

    operators_to_quantize: list[str] = field(default_factory=list)
    node_exclusion: list[str] = field(default_factory=list)
    per_channel: bool = True
    reduce_range: bool = False
    weight_type: WeightType = WeightType.auto

    source_format: ClassVar[str | None] = "onnx"
    target_format: ClassVar[str | None] = "onnx"
    answers_depend_on_batch: ClassVar[bool] = True

    def supports(self, spec: ModelSpec, backend: Backend) -> str | None:
        """Only ONNX artifacts can be quantized this way."""
        return wrong_format(self, "ONNX files", backend, "backend=onnxruntime")

    def chosen_weight_type(self) -> WeightType:
        """The weight type for this CPU.

        int8 where dot-product instructions exist; elsewhere uint8, because u8 x s8 products saturate in
        16-bit lanes there (onnxruntime documentation, "Quantize ONNX models", section on U8S8).
        """
        if self.weight_type is not WeightType.auto:
            return self.weight_type
        return WeightType.int8 if DOT_PRODUCT_FLAGS & isa_flags() else WeightType.uint8

    def recipe(self) -> dict[str, Any] | None:
        """All that changes the file; the weight type as chosen."""
        return {
            "approach": "dynamic",
            "operators_to_quantize": sorted(self.operators_to_quantize),
            "node_exclusion": sorted(self.node_exclusion),
            "per_channel": self.per_channel,
            "reduce_range": self.reduce_range,
            "weight_type": self.chosen_weight_type().value,
        }

    def excluding(self, nodes: Sequence[str]) -> DynamicQuantization:
        """More of `node_exclusion`."""
        return replace(self, node_exclusion=[*self.node_exclusion, *map(glob.escape, nodes)])

    def apply(self, source: Path, target: Path, calibration: Sequence[Feed] = ()) -> dict[str, Any]:
        """Quantize source/model.onnx to target/model.onnx. Raises DataError on unmatched names."""
        import onnx
        from onnxruntime.quantization import QuantType, quantize_dynamic

        graph = onnx.load(str(source / "model.onnx"), load_external_data=False).graph
        operators = {node.op_type for node in graph.node}
        self._require_operators(operators)
        excluded = self._excluded([node.name for node in graph.node])
        int8 = self.chosen_weight_type() is WeightType.int8
        quantize_dynamic(
            source / "model.onnx",
            target / "model.onnx",
            op_types_to_quantize=self.operators_to_quantize or None,
            per_channel=self.per_channel,
            reduce_range=self.reduce_range,
            weight_type=QuantType.QInt8 if int8 else QuantType.QUInt8,
            nodes_to_exclude=excluded,
        )
        return {**(self.recipe() or {}), "nodes_excluded": len(excluded)}

    def _require_operators(self, present: set[str]) -> None:
        if unknown := sorted(set(self.operators_to_quantize) - present):
            raise DataError(
                f"quantization.operators_to_quantize names {', '.join(unknown)}, which the model's "
                f"graph does not contain; it has {', '.join(sorted(present))}"
            )

    def _excluded(self, names: list[str]) -> list[str]:
        excluded: set[str] = set()
        for pattern in self.node_exclusion:
            matched = [name for name in names if fnmatch.fnmatchcase(name, pattern)]
            if not matched:
                raise DataError(
                    f"quantization.node_exclusion pattern {pattern!r} matches none of the graph's "
                    f"{len(names)} nodes, which are named like {names[len(names) // 2]!r}"
                )
            excluded.update(matched)
        return sorted(excluded)
