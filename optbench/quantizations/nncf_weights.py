"""Compressed weights with NNCF, for OpenVINO: int8 or int4 in the file; needs no calibration."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from optbench.components import Backend, ModelSpec, Quantization, register, wrong_format
from optbench.runtimes.nncf_file import versions, write

if TYPE_CHECKING:
    from optbench.components import Feed

WEIGHT_TYPES = ("i4", "u4", "i8", "u8", "f16", "f32")


class WeightMode(Enum):
    """Integer type of the weights, with zero points (asym) or without (sym)."""

    int8_asym = "int8_asym"
    int8_sym = "int8_sym"
    int4_sym = "int4_sym"
    int4_asym = "int4_asym"

    @property
    def in_groups(self) -> bool:
        """Whether scales belong to groups of weights; those of int8 belong to output channels."""
        return self in (WeightMode.int4_sym, WeightMode.int4_asym)


@register("quant", "nncf_weights")
@dataclass
class NncfWeights(Quantization):
    """Weights in 8 or 4 bits, activations as they are.

    OpenVINO may still quantize the activations of such layers while it runs:
    `backend.dynamic_quantization_group_size`.
    ratio: of the weights, those in 4 bits; the most sensitive of the others stay in 8. int4 alone.
    group_size: weights that share a scale, -1 for an output channel; null is NNCF's 128. int4 alone.
    all_layers: embeddings and the last layer in 4 bits too. int4 alone.
    """

    mode: WeightMode = WeightMode.int8_asym
    ratio: float = 1.0
    group_size: int | None = None
    all_layers: bool = False

    extra: ClassVar[str] = "openvino"
    packages: ClassVar[tuple[str, ...]] = ("nncf", "openvino")
    source_format: ClassVar[str | None] = "onnx"
    target_format: ClassVar[str | None] = "openvino"

    def problems(self) -> list[str]:
        """Ranges, and settings that int8 does not have."""
        found = []
        if not 0 < self.ratio <= 1:
            found.append(f"ratio must lie above 0 and be at most 1, got {self.ratio:g}")
        if self.group_size is not None and self.group_size != -1 and self.group_size < 1:
            found.append(f"group_size must be -1 or at least 1, got {self.group_size}")
        given = {
            "ratio": self.ratio != 1,
            "group_size": self.group_size is not None,
            "all_layers": self.all_layers,
        }
        if not self.mode.in_groups:
            found += [
                f"{key} must be left out with mode={self.mode.value}, got {getattr(self, key)}; it is for "
                "int4_sym and int4_asym"
                for key, is_given in given.items()
                if is_given
            ]
        return found

    def supports(self, spec: ModelSpec, backend: Backend) -> str | None:
        """Only OpenVINO reads what NNCF writes."""
        return wrong_format(self, "OpenVINO models", backend, "backend=openvino")

    def recipe(self) -> dict[str, Any] | None:
        """All that changes the file."""
        chosen = {"ratio": self.ratio, "group_size": self.group_size, "all_layers": self.all_layers}
        return {
            "approach": "nncf_weights",
            "mode": self.mode.value,
            **(chosen if self.mode.in_groups else {}),
        }

    def apply(self, source: Path, target: Path, calibration: Sequence[Feed] = ()) -> dict[str, Any]:
        """Compress source/model.onnx to target/model.xml and model.bin. Raises DataError."""
        chosen: dict[str, Any] = {}
        if self.mode.in_groups:
            chosen = {"ratio": self.ratio, "group_size": self.group_size, "all_layers": self.all_layers}

        def compress(nncf: Any, model: Any) -> Any:
            mode = nncf.CompressWeightsMode(self.mode.value)
            return nncf.compress_weights(model, mode=mode, **chosen)

        elements = elements_by_type(write(source, target, compress))
        return {**(self.recipe() or {}), "elements": elements, "versions": versions(self.packages)}


def elements_by_type(model: Any) -> dict[str, int]:
    """How many elements of the model's constants are kept in which type, scales and zero points included."""
    counts: Counter[str] = Counter()
    for operator in model.get_ops():
        if operator.get_type_name() == "Constant":
            name = operator.get_output_element_type(0).get_type_name()
            counts[name] += math.prod(operator.get_output_shape(0))
    return {name: counts[name] for name in WEIGHT_TYPES if counts[name]}
