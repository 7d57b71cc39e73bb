"""Non-inferiority in words: a line for each metric that was held against the margin."""

from __future__ import annotations

from optbench.quality.margin import beyond_margin
from optbench.records import MetricResult, QualityResult
from optbench.units import format_points


def margin_lines(quality: QualityResult | None) -> list[str]:
    """Each metric's outcome at the margin, the interval that says so, and the rows that would tell."""
    metrics = quality.metrics if quality is not None else []
    return [margin_line(metric, quality.rows) for metric in metrics if quality is not None and judged(metric)]


def judged(metric: MetricResult) -> bool:
    """Whether the metric was held against a margin."""
    return metric.non_inferiority is not None and metric.gate_interval is not None


def margin_line(metric: MetricResult, rows: int) -> str:
    """One metric, such as 'accuracy: not worse by more than 1.00 pt (90% interval ...)'."""
    found, interval = metric.non_inferiority, metric.gate_interval
    if found is None or interval is None:
        return ""
    margin = format_points(found.margin).lstrip("+")
    words = {
        "not worse": f"not worse by {margin} or more",
        "worse": f"worse by more than {margin}",
        "cannot tell": f"cannot tell whether it is worse by {margin}",
    }
    line = (
        f"{metric.name}: {words[found.outcome]} "
        f"({interval.level:.0%} interval {format_points(interval.low)} to {format_points(interval.high)})"
    )
    if found.outcome != "cannot tell":
        return line
    if found.rows_needed is None:
        return f"{line}; more rows, or another margin, would tell: {not_computed(metric, found.margin)}"
    return f"{line}; about {found.rows_needed - rows:,} more rows would tell ({found.rows_needed:,} in all)"


def not_computed(metric: MetricResult, margin: float) -> str:
    """Why nobody can say how many rows would tell."""
    change = 0.0 if metric.difference is None else metric.difference.value
    loss = -change if metric.higher_is_better else change
    return f"how many cannot be computed, as the loss seen lies {beyond_margin(loss, margin)}"
