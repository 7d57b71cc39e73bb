"""Weights and activations of an ONNX file in float16; inputs and outputs stay as they are."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from optbench.components import Backend, ModelSpec, Quantization, register, wrong_format
from optbench.errors import DataError
from optbench.onnx_graphs.exclusion import exclude
from optbench.onnx_graphs.files import add_types, load_named, save_model, scratch
from optbench.onnx_graphs.nodes import NodeIndex

if TYPE_CHECKING:
    from optbench.components import Feed


class FloatType(Enum):
    """Floating-point types of 16 bits."""

    float16 = "float16"
    bfloat16 = "bfloat16"


@register("quant", "float16")
@dataclass
class Float16(Quantization):
    """Half the file; on a CPU onnxruntime mostly computes in float32 all the same.

    type: float16. node_exclusion: groups (layernorm, gelu, residual, gather, softmax, attention,
        first_layer, last_layer), names, or glob patterns of nodes that stay in float32.
    """

    type: FloatType = FloatType.float16
    node_exclusion: list[str] = field(default_factory=list)

    source_format: ClassVar[str | None] = "onnx"
    target_format: ClassVar[str | None] = "onnx"

    def problems(self) -> list[str]:
        """What ONNX Runtime has no kernels for."""
        if self.type is FloatType.float16:
            return []
        return [
            "type must be float16, got bfloat16: ONNX Runtime multiplies no bfloat16 matrices on a CPU; use "
            "backend=pytorch backend.precision=bfloat16 quant=none"
        ]

    def supports(self, spec: ModelSpec, backend: Backend) -> str | None:
        """Only ONNX artifacts can be converted this way."""
        return wrong_format(self, "ONNX files", backend, "backend=onnxruntime")

    def cautions(self) -> list[str]:
        """What a CPU makes of it."""
        return [
            "on a CPU ONNX Runtime converts float16 to float32 around most operators: the file is half the "
            "size, the model hardly faster"
        ]

    def recipe(self) -> dict[str, Any] | None:
        """All that changes the file."""
        return {
            "approach": "float16",
            "type": self.type.value,
            "node_exclusion": sorted(self.node_exclusion),
        }

    def excluding(self, nodes: Sequence[str]) -> Float16:
        """More of `node_exclusion`."""
        return replace(self, node_exclusion=[*self.node_exclusion, *map(glob.escape, nodes)])

    def apply(self, source: Path, target: Path, calibration: Sequence[Feed] = ()) -> dict[str, Any]:
        """Convert source/model.onnx to target/model.onnx. Raises DataError."""
        from onnxruntime.transformers.float16 import convert_float_to_float16

        with scratch() as place:
            model = load_named(source / "model.onnx")
            add_types(model, place)  # casts are put only where the type is known
            excluded = exclude(model.graph, self.node_exclusion, is_converted)
            try:
                made = convert_float_to_float16(
                    model,
                    keep_io_types=True,
                    disable_shape_infer=True,
                    node_block_list=excluded.names,
                    max_finite_val=MAX_FLOAT16,
                )
            except (ValueError, KeyError, RuntimeError, AttributeError) as error:
                raise DataError(f"{source} cannot be converted to float16: {error}") from error
            save_model(made, target / "model.onnx")
        return {**(self.recipe() or {}), **excluded.details()}


MAX_FLOAT16 = 65504.0
"""Constants beyond it are cut, such as the lowest float that masks positions; 1e4 by default."""


def is_converted(index: NodeIndex, number: int) -> bool:
    """Whether a node computes anything that the model's inputs change."""
    return any(name not in index.constants for name in index.nodes[number].output)
