"""Problems of single numbers, in the words of a config error."""

from __future__ import annotations

import math


def at_least(key: str, value: float | None, least: float, unit: str = "") -> list[str]:
    """A problem if `value` is given and below `least`, or without end."""
    if value is None or least <= value < math.inf:
        return []
    return [f"{key} must be >= {least:g}{unit}{unbounded(value)}, got {shown(value)}; give {least:g} or more"]


def positive(key: str, value: float | None) -> list[str]:
    """A problem if `value` is given and not a finite number above 0."""
    if value is None or 0 < value < math.inf:
        return []
    return [f"{key} must be > 0{unbounded(value)}, got {shown(value)}; leave it out or give more"]


def unbounded(value: float) -> str:
    """What is required beside a bound of a number that has no end, or is none."""
    return "" if isinstance(value, int) or math.isfinite(value) else " and finite"


def shown(value: float) -> str:
    """A number as it was given: whole ones may have more digits than a float holds."""
    return str(value) if isinstance(value, int) else f"{value:g}"
