"""Static int8 with NNCF, for OpenVINO: scales of the activations from calibration rows."""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from optbench.components import Backend, ModelSpec, Quantization, register, wrong_format
from optbench.errors import DataError
from optbench.runtimes.nncf_file import versions, write

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from optbench.components import Feed

HOLD_VALUES = frozenset({"Constant", "Parameter", "Result"})


class Preset(Enum):
    """How activations are quantized: symmetric alone, or asymmetric where their values are."""

    mixed = "mixed"
    performance = "performance"


class ModelType(Enum):
    """transformer: attention keeps what it needs, and activations are smoothed into the weights."""

    transformer = "transformer"
    none = "none"


@register("quant", "nncf")
@dataclass
class NncfQuantization(Quantization):
    """Weights and activations int8 by NNCF's post-training quantization of the exported model.

    num_samples: calibration rows, drawn with the run's seed from rows that are not evaluated.
    fast_bias_correction: correct the biases by statistics of single layers; false takes far longer.
    node_exclusion: names or glob patterns of OpenVINO operators that stay in floating point.
    operator_exclusion: types of operators that stay so, such as ['Convolution'].
    """

    preset: Preset = Preset.mixed
    model_type: ModelType = ModelType.transformer
    num_samples: int = 100
    fast_bias_correction: bool = True
    node_exclusion: list[str] = field(default_factory=list)
    operator_exclusion: list[str] = field(default_factory=list)

    extra: ClassVar[str] = "openvino"
    packages: ClassVar[tuple[str, ...]] = ("nncf", "openvino")
    source_format: ClassVar[str | None] = "onnx"
    target_format: ClassVar[str | None] = "openvino"

    def problems(self) -> list[str]:
        """No rows to calibrate with."""
        if self.num_samples >= 1:
            return []
        return [f"num_samples must be at least 1, got {self.num_samples}"]

    def supports(self, spec: ModelSpec, backend: Backend) -> str | None:
        """Only OpenVINO reads what NNCF writes."""
        return wrong_format(self, "OpenVINO models", backend, "backend=openvino")

    def recipe(self) -> dict[str, Any] | None:
        """All that changes the file, but the rows themselves."""
        return {
            "approach": "nncf",
            "preset": self.preset.value,
            "model_type": self.model_type.value,
            "num_samples": self.num_samples,
            "fast_bias_correction": self.fast_bias_correction,
            "node_exclusion": sorted(self.node_exclusion),
            "operator_exclusion": sorted(self.operator_exclusion),
        }

    def calibration_rows(self) -> int:
        """As many as are set."""
        return self.num_samples

    def apply(self, source: Path, target: Path, calibration: Sequence[Feed]) -> dict[str, Any]:
        """Quantize source/model.onnx to target/model.xml and model.bin.

        Raises DataError on names that match nothing, and where rows are missing or do not fit.
        """
        facts: dict[str, Any] = {}

        def quantize(nncf: Any, model: Any) -> Any:
            rows = [batch_of_one(row, model.inputs) for row in calibration]
            if not rows:
                raise DataError("quant=nncf needs calibration rows and was given none; check dataset=")
            operators = [one for one in model.get_ops() if one.get_type_name() not in HOLD_VALUES]
            names = self._excluded([operator.get_friendly_name() for operator in operators])
            self._require_operators({operator.get_type_name() for operator in operators})
            facts.update(calibration_rows=len(rows), nodes_excluded=len(names))
            return nncf.quantize(
                model,
                nncf.Dataset(rows),
                preset=nncf.QuantizationPreset(self.preset.value),
                model_type=nncf.ModelType.TRANSFORMER if self.model_type is ModelType.transformer else None,
                subset_size=len(rows),
                fast_bias_correction=self.fast_bias_correction,
                ignored_scope=nncf.IgnoredScope(names=names, types=sorted(self.operator_exclusion)),
            )

        facts["nodes"] = quantized_nodes(write(source, target, quantize))
        return {**(self.recipe() or {}), **facts, "versions": versions(self.packages)}

    def _excluded(self, names: list[str]) -> list[str]:
        excluded: set[str] = set()
        for pattern in self.node_exclusion:
            matched = [name for name in names if fnmatch.fnmatchcase(name, pattern)]
            if not matched:
                raise DataError(
                    f"quantization.node_exclusion pattern {pattern!r} matches none of the model's "
                    f"{len(names)} operators, which are named like {names[len(names) // 2]!r}"
                )
            excluded.update(matched)
        return sorted(excluded)

    def _require_operators(self, present: set[str]) -> None:
        if unknown := sorted(set(self.operator_exclusion) - present):
            raise DataError(
                f"quantization.operator_exclusion names {', '.join(unknown)}, which the model does not "
                f"contain; it has {', '.join(sorted(present))}"
            )


def batch_of_one(row: Feed, inputs: Sequence[Any]) -> dict[str, NDArray[np.generic]]:
    """A row with a batch axis, in the types of the model's inputs. Raises DataError if one lacks."""
    return {name: row[name][None].astype(dtype) for name, dtype in wanted(row, inputs).items()}


def wanted(row: Feed, inputs: Sequence[Any]) -> Mapping[str, Any]:
    """Type of each input of the model by name; all are in the row."""
    types = {port.get_any_name(): port.get_element_type().to_dtype() for port in inputs}
    if missing := sorted(set(types) - set(row)):
        raise DataError(
            f"the model needs the input {', '.join(missing)}, which the calibration rows do not have; "
            f"they have {', '.join(sorted(row))}"
        )
    return types


def quantized_nodes(model: Any) -> dict[str, int]:
    """How many FakeQuantize operators there are, and how many products of what type."""
    counts = Counter(operator.get_type_name() for operator in model.get_ops())
    products = ("MatMul", "Convolution", "GroupConvolution", "ScaledDotProductAttention", "FakeQuantize")
    return {name: counts[name] for name in products if counts[name]}
