"""Static int8, with scales from calibration rows: its settings are known, it is not built yet."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from optbench.components import Backend, Component, ModelSpec, Quantization, register
from optbench.errors import Unsupported

NOT_YET = "quant=static is not available in this version; use quant=dynamic or quant=none"


@dataclass
class Calibration(Component):
    """Which rows calibrate, and how ranges are found from them."""

    method: str = "minmax"
    num_samples: int = 128
    moving_average: bool = False
    moving_average_constant: float = 0.01
    percentile: float = 99.99


@register("quant", "static")
@dataclass
class StaticQuantization(Quantization):
    """Weights and activations int8, with scales from calibration."""

    operators_to_quantize: list[str] = field(default_factory=list)
    node_exclusion: list[str] = field(default_factory=list)
    per_channel: bool = True
    reduce_range: bool = False
    calibration: Calibration = field(default_factory=Calibration)

    def problems(self) -> list[str]:
        """Refused until it is built."""
        return [f"approach must be dynamic or none: {NOT_YET}"]

    def supports(self, spec: ModelSpec, backend: Backend) -> str | None:
        """Refused until it is built."""
        return NOT_YET

    def recipe(self) -> dict[str, Any] | None:
        """No recipe until it is built."""
        return None

    def apply(self, source: Path, target: Path, calibration: Any = ()) -> dict[str, Any]:
        """Raises Unsupported."""
        raise Unsupported(NOT_YET)
