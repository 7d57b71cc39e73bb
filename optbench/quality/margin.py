"""Non-inferiority at a margin: for each metric whether too much is lost, and how many rows would tell."""

from __future__ import annotations

import math
from statistics import NormalDist

from msgspec.structs import replace

from optbench.quality.paired import judge_margin, rows_needed, upper_probability
from optbench.records import Interval, MetricResult, NonInferiority, QualityResult


def with_outcomes(quality: QualityResult, margin: float | None) -> QualityResult:
    """`quality` with the outcome of each metric that is a share and has an interval; as it is without margin.

    margin: as a share, 0.01 is one point; it has no meaning for metrics in other units.
    """
    if margin is None:
        return quality
    metrics = [
        replace(metric, non_inferiority=outcome_of(metric, quality, margin)) for metric in quality.metrics
    ]
    return replace(quality, metrics=metrics)


def outcome_of(metric: MetricResult, quality: QualityResult, margin: float) -> NonInferiority | None:
    """Whether the metric's gate interval excludes a loss of `margin`; null where that makes no sense."""
    if not metric.is_share or metric.difference is None or metric.gate_interval is None:
        return None
    interval = metric.gate_interval
    outcome = judge_margin(interval, margin, metric.higher_is_better)
    if outcome != "cannot tell":
        return NonInferiority(margin, outcome)
    gain = metric.difference.value if metric.higher_is_better else -metric.difference.value
    needed = rows_needed(gain, row_variance(metric, quality), margin, interval.level)
    return NonInferiority(margin, outcome, None if needed is None else max(needed, quality.rows + 1))


def beyond_margin(loss: float, margin: float) -> str:
    """Where a loss that is no smaller than the margin lies, in words."""
    return "at the margin" if math.isclose(loss, margin, abs_tol=1e-12) else "beyond the margin"


def row_variance(metric: MetricResult, quality: QualityResult) -> float:
    """Variance of one row's difference: from the counts of broken and fixed rows, else from the interval."""
    broken, fixed = quality.broken, quality.fixed
    if metric.p_value is not None and broken is not None and fixed is not None:
        value = metric.difference.value if metric.difference is not None else 0.0
        if math.isclose(value, (fixed - broken) / quality.rows, abs_tol=1e-12):  # the rows of this metric
            return (broken + fixed) / quality.rows - value**2
    return 0.0 if metric.gate_interval is None else spread(metric.gate_interval, quality.rows)


def spread(interval: Interval, rows: int) -> float:
    """Variance of one row behind an interval of a mean over `rows`, as if it were normal."""
    z = NormalDist().inv_cdf(upper_probability(interval.level))
    return rows * ((interval.high - interval.low) / (2 * z)) ** 2
