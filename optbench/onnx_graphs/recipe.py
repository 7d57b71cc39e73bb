"""How ranges of activations are found: the settings, shared by what calibrates and what is calibrated."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from optbench.components import Component


class Method(Enum):
    """How a range is found from the values of a tensor."""

    minmax = "minmax"
    entropy = "entropy"
    percentile = "percentile"
    distribution = "distribution"


@dataclass
class Calibration(Component):
    """Which ranges activations get, from how many rows.

    method: minmax (the most extreme values), entropy (the range whose 128 steps tell most about the
        values), percentile (leaves out the rarest values), or distribution (symmetric, the largest
        absolute value; onnxruntime made it for float8).
    num_samples: rows, drawn from dataset.calibration_split or from rows that are not evaluated.
    moving_average: with minmax, follow the ends of each row slowly instead of taking the most extreme.
    moving_average_constant: what each further row counts.
    num_bins: of a histogram; with entropy 128 would be the same as minmax.
    percentile: of the values that lie within the range.
    memory_bytes: what the activations of one histogram pass may take.
    """

    method: Method = Method.minmax
    num_samples: int = 128
    moving_average: bool = False
    moving_average_constant: float = 0.01
    num_bins: int = 2048
    percentile: float = 99.99
    memory_bytes: int = 1_000_000_000

    def problems(self) -> list[str]:
        """Ranges."""
        found = []
        for key, least in (("num_samples", 1), ("num_bins", 512), ("memory_bytes", 1)):
            if getattr(self, key) < least:
                found.append(f"{key} must be >= {least}, got {getattr(self, key)}; set it with {key}={least}")
        if not 0 < self.moving_average_constant <= 1:
            found.append(
                "moving_average_constant must lie between 0 and 1, got "
                f"{self.moving_average_constant:g}; 0.01 follows slowly"
            )
        if self.moving_average and self.method is not Method.minmax:
            found.append(
                f"moving_average must be false with method={self.method.value}: only minmax has ends to "
                "follow; drop one of the two"
            )
        if not 50 < self.percentile <= 100:
            found.append(f"percentile must lie between 50 and 100, got {self.percentile:g}; try 99.99")
        return found

    def recipe(self) -> dict[str, Any]:
        """What decides the ranges; how much memory it may take does not."""
        found: dict[str, Any] = {"method": self.method.value}
        if self.method is Method.minmax:
            found["moving_average"] = self.moving_average_constant if self.moving_average else None
        else:
            found["num_bins"] = self.num_bins
        if self.method is Method.percentile:
            found["percentile"] = self.percentile
        return found

    def weight_of_rows(self) -> float | None:
        """What each further row counts in the moving average; null without one."""
        return self.moving_average_constant if self.moving_average else None
