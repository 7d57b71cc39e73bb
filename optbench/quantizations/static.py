"""Static int8 with onnxruntime.quantization: the scales of activations come from calibration rows."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from optbench.components import Backend, ModelSpec, Quantization, component_name, register, wrong_format
from optbench.errors import DataError
from optbench.onnx_graphs.calibration import Found, find_ranges, save_ranges
from optbench.onnx_graphs.exclusion import Exclusion, exclude, require_operators
from optbench.onnx_graphs.files import floating_tensors, names_of_nodes, prepared, save_model, scratch
from optbench.onnx_graphs.integers import saturation, slow_signed_activations, weight_type_for_cpu
from optbench.onnx_graphs.nodes import NodeIndex
from optbench.onnx_graphs.recipe import Calibration

if TYPE_CHECKING:
    from optbench.components import Feed

DEFAULT_OPERATORS = ("MatMul", "Gemm", "Conv", "Gather")
"""Where the weights are. All operators wreck quality: docs/decisions/0010."""

BARE_OUTPUTS = ("MatMul", "Gemm")
"""Operators whose integer kernels can give floating-point outputs."""


class Format(Enum):
    """Quantize and dequantize nodes around the operators, or operators that compute in integers."""

    QDQ = "QDQ"
    QOperator = "QOperator"


class IntegerType(Enum):
    """Integer type of weights or activations; auto asks the CPU."""

    auto = "auto"
    int8 = "int8"
    uint8 = "uint8"
    int16 = "int16"
    uint16 = "uint16"


WIDE = (IntegerType.int16, IntegerType.uint16)


@register("quant", "static")
@dataclass
class StaticQuantization(Quantization):
    """Weights and activations in integers, with scales from calibration rows.

    format: QDQ puts quantize and dequantize nodes around operators, which the runtime fuses; QOperator
        writes integer operators.
    operators_to_quantize: ONNX operator types; empty means those of MatMul, Gemm, Conv, Gather it has.
    node_exclusion: groups (layernorm, gelu, residual, gather, softmax, attention, first_layer,
        last_layer), names, or glob patterns of nodes that stay in floating point.
    weights_only_products: leave products of two activations (in attention) in floating point.
    quantize_outputs: with QDQ, quantize what MatMul and Gemm give too; worse answers, hardly faster.
    per_channel: one weight scale per output channel.
    reduce_range: 7-bit weights, against saturation on CPUs without dot-product instructions.
    activation_type, weight_type: uint8, int8, and with QDQ uint16, int16; auto chooses for this CPU.
    activation_symmetric, weight_symmetric: zero is in the middle of the range; null takes what fits.
    """

    format: Format = Format.QDQ
    operators_to_quantize: list[str] = field(default_factory=list)
    node_exclusion: list[str] = field(default_factory=list)
    weights_only_products: bool = True
    quantize_outputs: bool = False
    per_channel: bool = True
    reduce_range: bool = False
    activation_type: IntegerType = IntegerType.auto
    weight_type: IntegerType = IntegerType.auto
    activation_symmetric: bool = False
    weight_symmetric: bool | None = None
    calibration: Calibration = field(default_factory=Calibration)

    source_format: ClassVar[str | None] = "onnx"
    target_format: ClassVar[str | None] = "onnx"

    def problems(self) -> list[str]:
        """Types that onnxruntime cannot combine."""
        found = []
        activation, weight = self.types()
        if (activation, weight) == (IntegerType.int8, IntegerType.uint8):
            found.append(
                "weight_type must be int8 with activation_type=int8, got uint8: onnxruntime has no such "
                "product; set weight_type=int8 or activation_type=uint8"
            )
        if self.format is Format.QOperator and {activation, weight} & set(WIDE):
            found.append("format must be QDQ for 16-bit types, got QOperator; set format=QDQ")
        if self.reduce_range and {activation, weight} & set(WIDE):
            found.append("reduce_range must be false for 16-bit types, got true; they do not saturate")
        if self.per_channel and self.weight_symmetric is False:
            found.append(
                "weight_symmetric must not be false with per_channel=true: integer products take one "
                "zero point for all channels; set per_channel=false or leave weight_symmetric out"
            )
        return found

    def supports(self, spec: ModelSpec, backend: Backend) -> str | None:
        """Only ONNX artifacts can be quantized this way; not every runtime of them has integer operators."""
        if reason := wrong_format(self, "ONNX files", backend, "backend=onnxruntime"):
            return reason
        if self.format is Format.QDQ or backend.has_integer_operators:
            return None
        return (
            f"quantization.format=QOperator makes operators of ONNX Runtime, which "
            f"backend={component_name(backend)} does not have; use quantization.format=QDQ"
        )

    def types(self) -> tuple[IntegerType, IntegerType]:
        """Types of activations and weights for this CPU."""
        activation = IntegerType.uint8 if self.activation_type is IntegerType.auto else self.activation_type
        weight = self.weight_type
        if weight is IntegerType.auto:
            signed = activation is not IntegerType.uint8
            weight = IntegerType.int8 if signed else IntegerType[weight_type_for_cpu().value]
        return activation, weight

    def calibration_rows(self) -> int:
        """As set by calibration.num_samples."""
        return self.calibration.num_samples

    def cautions(self) -> list[str]:
        """Saturating weights, and types that run slowly."""
        activation, weight = self.types()
        found = slow_signed_activations(activation.value)
        if activation is IntegerType.uint8 and weight is IntegerType.int8:
            found += saturation(weight.value, self.reduce_range)
        if {activation, weight} & set(WIDE):
            found.append(
                "ONNX Runtime has no 16-bit integer kernels on the CPU: it computes in float32 between "
                "quantize and dequantize nodes, which is slower than no quantization"
            )
        return found

    def recipe(self) -> dict[str, Any] | None:
        """All that changes the file; types as chosen."""
        activation, weight = self.types()
        return {
            "approach": "static",
            "format": self.format.value,
            "operators_to_quantize": sorted(self.operators_to_quantize),
            "node_exclusion": sorted(self.node_exclusion),
            "weights_only_products": self.weights_only_products,
            "quantize_outputs": self.quantize_outputs or self.format is Format.QOperator,
            "per_channel": self.per_channel,
            "reduce_range": self.reduce_range,
            "activation_type": activation.value,
            "weight_type": weight.value,
            "activation_symmetric": self.activation_symmetric,
            "weight_symmetric": self.symmetric_weights(),
            "calibration": self.calibration.recipe(),
        }

    def symmetric_weights(self) -> bool:
        """Signed types and channels of their own have their zero in the middle unless said otherwise."""
        if self.weight_symmetric is not None:
            return self.weight_symmetric
        return self.per_channel or self.types()[1] in (IntegerType.int8, IntegerType.int16)

    def excluding(self, nodes: Sequence[str]) -> StaticQuantization:
        """More of `node_exclusion`."""
        return replace(self, node_exclusion=[*self.node_exclusion, *map(glob.escape, nodes)])

    def apply(self, source: Path, target: Path, calibration: Sequence[Feed] = ()) -> dict[str, Any]:
        """Quantize source/model.onnx to target/model.onnx. Raises DataError."""
        if not calibration:
            raise DataError(
                "quant=static needs calibration rows and got none; set dataset.calibration_split, or "
                "leave rows over with quality.max_eval_samples"
            )
        with scratch() as place:
            model = prepared(source / "model.onnx", place)
            operators = self.operators(model.graph)
            excluded = exclude(
                model.graph,
                self.node_exclusion,
                lambda index, number: self.quantizes(index, number, operators),
                folded=names_of_nodes(source / "model.onnx"),
            )
            chosen = self.chosen(model.graph, operators, excluded)
            tensors = sorted(set().union(*(chosen[name] for name in require_nodes(list(chosen)))))
            found = find_ranges(model, tensors, calibration, self.calibration, place)
            masked = [name for name, touched in chosen.items() if touched & set(found.masks)]
            nodes = [name for name in chosen if name not in masked]
            self.write(model, operators, require_nodes(nodes), found, target, place)
        return {
            **(self.recipe() or {}),
            **excluded.details(),
            "operators_quantized": operators,
            "nodes_quantized": len(nodes),
            "nodes_with_masks": len(masked),
            "calibrated_rows": len(calibration),
            "calibrated_tensors": len(found.ranges),
            "calibration_passes": found.passes,
        }

    def operators(self, graph: Any) -> list[str]:
        """Operator types to quantize. Raises DataError where the graph has none of them."""
        require_operators(self.operators_to_quantize, graph)
        present = {node.op_type for node in graph.node}
        chosen = sorted(self.operators_to_quantize or present & set(DEFAULT_OPERATORS))
        if not chosen:
            raise DataError(
                f"the graph has none of {', '.join(DEFAULT_OPERATORS)}, which quant=static quantizes; it has "
                f"{', '.join(sorted(present))}; name some in quantization.operators_to_quantize"
            )
        return chosen

    def quantizes(self, index: NodeIndex, number: int, operators: Sequence[str]) -> bool:
        """Whether a node is one of those that become integer."""
        node = index.nodes[number]
        if node.op_type not in operators:
            return False
        if node.op_type == "Gather":
            return node.input[0] in index.floats
        return node.op_type != "MatMul" or not self.weights_only_products or index.is_weighted(number)

    def chosen(self, graph: Any, operators: Sequence[str], excluded: Exclusion) -> dict[str, set[str]]:
        """Names of the nodes to quantize, each with the computed tensors that need a scale."""
        index, floats = NodeIndex(graph), floating_tensors(graph)
        return {
            node.name: {name for name in self.tensors_of(node) if name in floats}
            for number, node in enumerate(index.nodes)
            if node.name not in excluded.names and self.quantizes(index, number, operators)
        }

    def tensors_of(self, node: Any) -> list[str]:
        """Tensors of a node that get a scale."""
        bare = self.format is Format.QDQ and not self.quantize_outputs and node.op_type in BARE_OUTPUTS
        return [*node.input] if bare else [*node.input, *node.output]

    def write(
        self,
        model: Any,
        operators: Sequence[str],
        nodes: Sequence[str],
        found: Found,
        target: Path,
        place: Path,
    ) -> None:
        """Quantize with known ranges. Raises DataError where onnxruntime cannot."""
        import onnx
        from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

        activation, weight = self.types()
        names = {"int8": "QInt8", "uint8": "QUInt8", "int16": "QInt16", "uint16": "QUInt16"}
        save_ranges(found.ranges, place / "ranges.json")
        save_model(model, place / "model.onnx")
        options: dict[str, Any] = {
            "ActivationSymmetric": self.activation_symmetric,
            "WeightSymmetric": self.symmetric_weights(),
            "MatMulConstBOnly": self.weights_only_products,
            "DefaultTensorType": onnx.TensorProto.FLOAT,
        }
        if not self.quantize_outputs and self.format is Format.QDQ:
            options["OpTypesToExcludeOutputQuantization"] = list(BARE_OUTPUTS)
        try:
            quantize_static(
                place / "model.onnx",
                place / "quantized.onnx",
                quant_format=QuantFormat[self.format.value],
                op_types_to_quantize=list(operators),
                per_channel=self.per_channel,
                reduce_range=self.reduce_range,
                activation_type=QuantType[names[activation.value]],
                weight_type=QuantType[names[weight.value]],
                nodes_to_quantize=list(nodes),
                use_external_data_format=(place / "model.onnx_data").exists(),
                extra_options=options,
                calibration_cache_path=place / "ranges.json",
            )
        except (ValueError, KeyError, RuntimeError, NotImplementedError, AttributeError) as error:
            raise DataError(
                f"onnxruntime cannot quantize this model with quantization.format={self.format.value} and "
                f"operators {', '.join(operators)}: {error}; name others in "
                "quantization.operators_to_quantize, or exclude nodes"
            ) from error
        save_model(onnx.load(str(place / "quantized.onnx")), target / "model.onnx")


def require_nodes(nodes: Sequence[str]) -> Sequence[str]:
    """The nodes, if there are any: onnxruntime takes an empty list for all. Raises DataError."""
    if nodes:
        return nodes
    raise DataError(
        "quantization leaves no node to quantize: every one is excluded or holds a mask; shorten "
        "quantization.node_exclusion or name other quantization.operators_to_quantize"
    )
