"""Gates in their own terms: points, times, sizes, ratios; one form for every page and line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from optbench.records import GateResult, Interval
from optbench.units import (
    format_bytes,
    format_points,
    format_rate,
    format_ratio,
    format_seconds,
    format_share,
)

Form = Callable[[float], str]


@dataclass(frozen=True)
class Terms:
    """What a gate is about in a word or two, how its numbers are written, and how the ends of an interval."""

    about: str
    form: Form
    ends: Form


def plain_points(value: float) -> str:
    """A size in percentage points: 0.01 -> '1.00 pt', with a sign only below zero."""
    return format_points(value).removeprefix("+")


def plain_number(value: float) -> str:
    """A number of which nothing more is known."""
    return f"{value + 0.0:.4g}"


TERMS = {
    "min_speedup": Terms("speed-up", format_ratio, format_ratio),
    "max_p95_seconds": Terms("p95", format_seconds, format_seconds),
    "min_requests_per_second": Terms("capacity", format_rate, format_rate),
    "max_accuracy_drop": Terms("drop", plain_points, format_points),
    "max_size_bytes": Terms("weights", format_bytes, format_bytes),
    "max_peak_rss_bytes": Terms("peak memory", format_bytes, format_bytes),
    "max_failed_share": Terms("rows not read", format_share, format_share),
}
OTHER = Terms("found", plain_number, plain_number)


def terms_of(name: str) -> Terms:
    """The terms of a gate; those of a later version's gates are not known."""
    return TERMS.get(name, OTHER)


def beside_bound(value: float, bound: float, form: Form) -> str:
    """A number in its form; where rounding would put it on the bound, the side on which it lies."""
    text = form(value)
    if value == bound or text.lstrip("+") != form(bound).lstrip("+"):
        return text
    return f"just {'below' if value < bound else 'above'} {text}"


def gate_line(gate: GateResult) -> str:
    """A gate, its outcome, what was found, and what would settle it."""
    terms = terms_of(gate.name)
    line = f"gate {gate.name}={gate.bound:.15g}: {gate.outcome}"
    if gate.value is not None:
        line += f", {terms.about} {beside_bound(gate.value, gate.bound, terms.form)}"
    if gate.interval is not None:
        line += f" ({interval_text(gate.interval, gate.bound, terms.ends)})"
    return line + (f"; to settle it: {gate.needs}" if gate.needs else "")


def interval_text(interval: Interval, bound: float, form: Form) -> str:
    """'90% interval -0.07 pt to +0.64 pt'."""
    low, high = (beside_bound(end, bound, form) for end in (interval.low, interval.high))
    return f"{interval.level:.0%} interval {low} to {high}"
