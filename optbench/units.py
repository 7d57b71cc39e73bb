"""Numbers for people. Files hold SI base units; this is the only module that scales them."""

from __future__ import annotations

MISSING_TEXT = "–"


def format_seconds(value: float | None) -> str:
    """Three significant digits in the unit that reads best: 0.00412 -> '4.12 ms'."""
    if value is None:
        return MISSING_TEXT
    magnitude = abs(value)
    for limit, factor, unit in ((1e-3, 1e6, "µs"), (1.0, 1e3, "ms"), (120.0, 1.0, "s")):
        if magnitude < limit:
            return f"{three_digits(value * factor)} {unit}"
    return f"{value / 60:.1f} min"


def format_bytes(value: float | None) -> str:
    """Decimal megabytes, as file listings and model hubs count them: 5_300_000 -> '5.30 MB'."""
    if value is None:
        return MISSING_TEXT
    for limit, factor, unit in ((1e3, 1.0, "B"), (1e6, 1e3, "kB"), (1e9, 1e6, "MB")):
        if abs(value) < limit:
            return f"{three_digits(value / factor) if factor > 1 else int(value)} {unit}"
    return f"{three_digits(value / 1e9)} GB"


def format_rate(value: float | None, unit: str = "/s") -> str:
    """A rate with three significant digits: 241.3 -> '241/s'."""
    return MISSING_TEXT if value is None else f"{three_digits(value)}{unit}"


def format_ratio(value: float | None) -> str:
    """A speed-up or other ratio: 1.4142 -> '1.41x'."""
    return MISSING_TEXT if value is None else f"{three_digits(value)}x"


def format_share(value: float | None, digits: int = 1) -> str:
    """A share in percent: 0.0213 -> '2.1%'."""
    return MISSING_TEXT if value is None else f"{100 * value:.{digits}f}%"


def format_points(value: float | None) -> str:
    """A difference of shares in percentage points, signed: -0.004 -> '-0.40 pt'."""
    return MISSING_TEXT if value is None else f"{100 * value + 0.0:+.2f} pt"  # minus zero is zero


def format_difference(value: float, is_share: bool) -> str:
    """A signed difference: of shares in percentage points, of anything else as it is."""
    if is_share:
        return format_points(value)
    return f"{'+' if value >= 0 else '-'}{three_digits(abs(value))}"


def three_digits(value: float) -> str:
    """Three significant digits without an exponent for everyday magnitudes."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    if abs(value) >= 1:
        return f"{value:.2f}"
    if abs(value) >= 0.1:
        return f"{value:.3f}"
    return f"{value:.3g}"


def to_milliseconds(seconds: float | None) -> float | None:
    """Seconds in milliseconds, for readers of the former Optimum body."""
    return None if seconds is None else seconds * 1e3
