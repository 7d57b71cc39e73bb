"""Dynamic int8 with onnxruntime.quantization: int8 weights, activations quantized while running."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from optbench.components import Backend, ModelSpec, Quantization, register, wrong_format
from optbench.onnx_graphs.exclusion import exclude, require_operators
from optbench.onnx_graphs.files import load_named, save_model, scratch
from optbench.onnx_graphs.integers import WeightType, saturation, weight_type_for_cpu
from optbench.onnx_graphs.nodes import NodeIndex

if TYPE_CHECKING:
    from optbench.components import Feed

OPERATORS = frozenset({"MatMul", "Gather", "Conv", "Attention", "LSTM", "EmbedLayerNormalization"})
"""Operators with weights that onnxruntime quantizes dynamically (its registry.py, version 1.32)."""


@register("quant", "dynamic")
@dataclass
class DynamicQuantization(Quantization):
    """Weights int8 on disk, activation scales found at run time; needs no calibration.

    operators_to_quantize: ONNX operator types such as ['MatMul', 'Gather']; empty means all that the
        runtime can quantize.
    node_exclusion: groups (layernorm, gelu, residual, gather, softmax, attention, first_layer,
        last_layer), names, or glob patterns of nodes that stay in floating point.
    per_channel: one scale per output channel; better answers at the same speed.
    reduce_range: 7-bit weights, against saturation on CPUs without dot-product instructions.
    weight_symmetric: zero is in the middle of the weights' range; null: of int8, not of uint8. Activations
        are always uint8, with their zero where it falls.
    """

    operators_to_quantize: list[str] = field(default_factory=list)
    node_exclusion: list[str] = field(default_factory=list)
    per_channel: bool = True
    reduce_range: bool = False
    weight_type: WeightType = WeightType.auto
    weight_symmetric: bool | None = None

    source_format: ClassVar[str | None] = "onnx"
    target_format: ClassVar[str | None] = "onnx"
    answers_depend_on_batch: ClassVar[bool] = True

    def supports(self, spec: ModelSpec, backend: Backend) -> str | None:
        """Only ONNX artifacts can be quantized this way."""
        return wrong_format(self, "ONNX files", backend, "backend=onnxruntime")

    def chosen_weight_type(self) -> WeightType:
        """The weight type, for this CPU if it is auto."""
        return weight_type_for_cpu() if self.weight_type is WeightType.auto else self.weight_type

    def cautions(self) -> list[str]:
        """Weights that saturate on this CPU."""
        return saturation(self.chosen_weight_type().value, self.reduce_range)

    def recipe(self) -> dict[str, Any] | None:
        """All that changes the file; the weight type as chosen."""
        return {
            "approach": "dynamic",
            "operators_to_quantize": sorted(self.operators_to_quantize),
            "node_exclusion": sorted(self.node_exclusion),
            "per_channel": self.per_channel,
            "reduce_range": self.reduce_range,
            "weight_type": self.chosen_weight_type().value,
            "weight_symmetric": self.symmetric_weights(),
        }

    def excluding(self, nodes: Sequence[str]) -> DynamicQuantization:
        """More of `node_exclusion`."""
        return replace(self, node_exclusion=[*self.node_exclusion, *map(glob.escape, nodes)])

    def symmetric_weights(self) -> bool:
        """As set; else only signed weights have their zero in the middle."""
        if self.weight_symmetric is not None:
            return self.weight_symmetric
        return self.chosen_weight_type() is WeightType.int8

    def apply(self, source: Path, target: Path, calibration: Sequence[Feed] = ()) -> dict[str, Any]:
        """Quantize source/model.onnx to target/model.onnx. Raises DataError on unmatched names."""
        import onnx
        from onnxruntime.quantization import QuantType, quantize_dynamic

        with scratch() as place:
            model = load_named(source / "model.onnx")
            require_operators(self.operators_to_quantize, model.graph)
            excluded = exclude(model.graph, self.node_exclusion, self.quantizes)
            save_model(model, place / "model.onnx")
            int8 = self.chosen_weight_type() is WeightType.int8
            quantize_dynamic(
                place / "model.onnx",
                place / "quantized.onnx",
                op_types_to_quantize=self.operators_to_quantize or None,
                per_channel=self.per_channel,
                reduce_range=self.reduce_range,
                weight_type=QuantType.QInt8 if int8 else QuantType.QUInt8,
                nodes_to_exclude=excluded.names,
                use_external_data_format=(place / "model.onnx_data").exists(),
                extra_options={
                    "WeightSymmetric": self.symmetric_weights(),
                    # fused operators have no types for ONNX's shape inference
                    "DefaultTensorType": onnx.TensorProto.FLOAT,
                },
            )
            save_model(onnx.load(str(place / "quantized.onnx")), target / "model.onnx")
        return {**(self.recipe() or {}), **excluded.details()}

    def quantizes(self, index: NodeIndex, number: int) -> bool:
        """Whether a node would become integer: its operator is chosen and it has weights of its own."""
        node = index.nodes[number]
        if node.op_type not in (self.operators_to_quantize or OPERATORS) or node.op_type not in OPERATORS:
            return False
        if node.op_type == "Gather":
            return node.input[0] in index.floats
        return node.op_type not in ("MatMul", "Conv") or index.is_weighted(number)
