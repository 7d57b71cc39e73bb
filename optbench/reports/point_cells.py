"""Cells of a point's row: a few characters each, rendering only."""

from __future__ import annotations

from collections.abc import Callable

from optbench.records.aggregate import Point
from optbench.records.values import Estimate
from optbench.reports.escape import one_line
from optbench.units import (
    MISSING_TEXT,
    format_bytes,
    format_difference,
    format_rate,
    format_ratio,
    format_seconds,
    format_share,
    three_digits,
)

SHAPE_AXES = {"batch_size": "batch", "input_length": "length"}
LONGEST_VARIANT = 100


def variant_name(point: Point) -> str:
    """The candidate in a few words: its recipe or its label, and every axis that those do not tell."""
    label = point.axes.get("recipe") or (point.candidate.label if point.candidate is not None else "")
    told = {*label.split(), "none"} if label else set()
    name = [label] if label else []
    if point.variant != "candidate":
        name.append(point.variant)
    name += [
        f"{key}={value}"
        for key, value in point.axes.items()
        if key not in SHAPE_AXES and value not in told and not (key == "artifact" and "artifact " in label)
    ]
    return one_line(" ".join(name) or MISSING_TEXT, LONGEST_VARIANT)


def shape_cell(key: str) -> Callable[[Point], str]:
    """The cell of a shape axis; a point without result shows what was asked for."""

    def cell(point: Point) -> str:
        value = getattr(point, key)
        return str(value) if value is not None else point.axes.get(key, MISSING_TEXT)

    return cell


def speedup_cell(point: Point) -> str:
    """The speed-up with its interval, or what became of the point."""
    if point.status != "ok":
        return point.status
    return ratio_with_interval(point.speedup)


def map_cell(point: Point) -> str:
    """A speed-up and half its interval's width, or what became of the point."""
    estimate = point.speedup
    if point.status != "ok" or estimate is None:
        return point.status
    if estimate.interval is None:
        return format_ratio(estimate.value)
    width = estimate.interval.high - estimate.interval.low
    return f"{format_ratio(estimate.value)} ±{three_digits(width / 2)}"


def ratio_with_interval(estimate: Estimate | None) -> str:
    """1.41x (1.38 to 1.44); without interval the value alone."""
    if estimate is None:
        return MISSING_TEXT
    if estimate.interval is None:
        return format_ratio(estimate.value)
    low, high = (three_digits(end) for end in (estimate.interval.low, estimate.interval.high))
    return f"{format_ratio(estimate.value)} ({low} to {high})"


def latency_cell(point: Point) -> str:
    """p50 of the candidate with its interval, and p95."""
    side = point.candidate
    if side is None or side.latency is None:
        return MISSING_TEXT
    known = {item.q: item for item in side.latency.percentiles}
    middle, high = known.get(0.5), known.get(0.95)
    text = format_seconds(middle.seconds if middle else None)
    if middle is not None and middle.interval is not None:
        ends = (format_seconds(end) for end in (middle.interval.low, middle.interval.high))
        text += f" ({' to '.join(ends)})"
    return f"{text} / {format_seconds(high.seconds if high else None)}"


def throughput_cell(point: Point) -> str:
    """Samples per second of the candidate."""
    side = point.candidate
    rate = side.throughput if side is not None else None
    return format_rate(rate.samples_per_second.value if rate is not None else None)


def capacity_cell(point: Point) -> str:
    """Requests per second of a server's candidate, against the baseline's."""
    found = point.candidate.requests_per_second if point.candidate is not None else None
    if found is None:
        return MISSING_TEXT
    ratio = f" ({format_ratio(point.capacity_ratio.value)})" if point.capacity_ratio is not None else ""
    return format_rate(found.value) + ratio


def integer_cell(point: Point) -> str:
    """How many matrix products the candidate computes in integers, and their share of one look's time."""
    side = point.candidate
    if side is None or not side.products:
        return MISSING_TEXT
    known = side.integer_time_share is not None and point.grade != "poor"
    share = f" ({format_share(side.integer_time_share, 0)})" if known else ""
    return f"{side.integer_products}/{side.products}{share}"


def size_cell(point: Point) -> str:
    """Weights of the candidate."""
    return format_bytes(point.candidate.size_bytes if point.candidate is not None else None)


def memory_cell(point: Point) -> str:
    """Peak memory of the candidate."""
    return format_bytes(point.candidate.peak_memory_bytes if point.candidate is not None else None)


def metric_cell(point: Point) -> str:
    """The leading metric of the candidate, its difference and the interval of that."""
    metric = point.leading_metric
    if metric is None or metric.candidate is None:
        return MISSING_TEXT
    text = f"{metric.candidate:.4f}"
    if metric.difference is None:
        return text
    value = format_difference(metric.difference.value, metric.is_share)
    interval = metric.difference.interval
    if interval is None:
        return f"{text} {value}"
    low, high = (format_difference(end, metric.is_share) for end in (interval.low, interval.high))
    return f"{text} {value} ({low.removesuffix(' pt')} to {high.removesuffix(' pt')})"


def agreement_cell(point: Point) -> str:
    """Share of answers that stay the same."""
    return format_share(point.agreement.value) if point.agreement is not None else MISSING_TEXT


def grade_cell(point: Point) -> str:
    """How far to believe the row."""
    return point.grade or MISSING_TEXT


def decision_cell(point: Point) -> str:
    """What the gates said."""
    return point.decision or MISSING_TEXT
