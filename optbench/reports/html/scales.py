"""Scales of charts: from values to places on the paper, and the ticks between."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

MOST_TICKS = 200
SMALLEST, LARGEST = 1e-300, 1e300
"""Values beyond are put onto the ends: arithmetic with them would overflow."""


@dataclass(frozen=True)
class Scale:
    """Values from `low` to `high` onto places from `start` to `end`; equal ratios are equally long if log."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """The place of a value; values outside are put onto the nearer end."""
        value = min(max(value, self.low), self.high)
        low, high = self._step(self.low), self._step(self.high)
        if not high > low:
            return (self.start + self.end) / 2
        return self.start + (self._step(value) - low) / (high - low) * (self.end - self.start)

    def _step(self, value: float) -> float:
        return math.log(value) if self.log else value

    def holds(self, value: float) -> bool:
        """Whether a value lies on the scale."""
        return self.low <= value <= self.high

    def ticks(self, count: int = 6) -> list[float]:
        """About `count` round values within the scale, ascending."""
        if self.log and self.high / self.low >= 8:
            found = decades(self.low, self.high, count)
            if len(found) >= 3:
                return found
        return round_values(self.low, self.high, count)


def scale(
    values: Iterable[float],
    start: float,
    end: float,
    log: bool = False,
    margin: float = 0.06,
) -> Scale:
    """A scale that holds all finite values with some air around them; on a log scale, the positive ones."""
    kept = [
        min(max(value, SMALLEST if log else -LARGEST), LARGEST)
        for value in values
        if math.isfinite(value) and (value > 0 or not log)
    ]
    low, high = (min(kept), max(kept)) if kept else (1.0, 1.0)
    if log:
        factor = max((high / low) ** margin, 1.002)
        if math.isfinite(high * factor) and low / factor > 0:
            low, high = low / factor, high * factor
        return Scale(low, high, start, end, log=True)
    air = margin * (high - low) or margin * abs(high) or 1.0
    return Scale(low - air, high + air, start, end)


def round_values(low: float, high: float, count: int) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten between two values."""
    span = high - low
    if not span > 0 or not math.isfinite(span):
        return [low]
    raw = span / max(1, count)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next((power * factor for factor in (1, 2, 5) if power * factor >= raw), 10 * power)
    first, last = math.ceil(low / step), math.floor(high / step)
    if last - first > MOST_TICKS:
        return [low, high]
    digits = max(0, 1 - math.floor(math.log10(step)))
    return [round(index * step, min(digits, 15)) for index in range(first, last + 1)]


def decades(low: float, high: float, count: int) -> list[float]:
    """Powers of ten between two values, with 2 and 5 between them where there is room."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for factors in ((1, 2, 5), (1, 3), (1,)):
        found = [factor * 10.0**power for power in range(first, last + 1) for factor in factors]
        found = [value for value in found if low <= value <= high]
        if len(found) <= count + 2:
            return found
    skip = math.ceil(len(found) / count)
    return found[::skip]
