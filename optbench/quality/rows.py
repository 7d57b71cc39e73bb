"""Metrics of structured answers (tags, spans, rankings) of two variants against each other, row by row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from optbench.quality.paired import (
    GATE_LEVEL,
    FloatArray,
    mcnemar_mid_p,
    paired_bootstrap,
    paired_counts,
    tango_interval,
)
from optbench.quality.rare import FEW_CHANGED_ROWS, rare_change_interval, rare_change_note
from optbench.quality.row_metric import RowMetric
from optbench.records import Estimate, Interval, MetricResult

LEVEL = 0.95

Statistics = Mapping[str, FloatArray]
"""Metric name to what each row contributes: float64 [rows, statistics]."""

IntervalAt = Callable[[float], Interval | None]


def compare_rows(
    metric: RowMetric,
    baseline: FloatArray,
    candidate: FloatArray,
    seed: int,
    gate_level: float = GATE_LEVEL,
) -> tuple[MetricResult, str | None]:
    """One metric of both variants from their statistics [rows, statistics], and a note if one is due."""
    before, after = metric.of(baseline), metric.of(candidate)
    result = partial(
        MetricResult, metric.name, metric.higher_is_better, before, after, is_share=metric.is_share
    )
    if before is None or after is None:
        side = "baseline" if before is None else "candidate"
        return result(reason=f"{side}: {metric.name} is undefined: it is 0/0"), None
    changed = int(np.sum(np.any(baseline != candidate, axis=1)))
    interval: IntervalAt
    reason = note = p_value = None
    if metric.is_binary:
        counts = paired_counts(baseline[:, 0] > 0, candidate[:, 0] > 0)
        interval = partial(tango_interval, counts.broken, counts.fixed, counts.rows)
        p_value = mcnemar_mid_p(counts.broken, counts.fixed)
    elif changed < FEW_CHANGED_ROWS:
        rows, largest = len(baseline), largest_effect(metric, baseline)
        interval = partial(rare_change_interval, after - before, changed, rows, largest)
        note = rare_change_note(metric.name, changed, rows, largest)
    else:
        interval, reason = resampled(metric, baseline, candidate, seed)
    found = interval(LEVEL)
    difference = Estimate(after - before, found, None if found else reason)
    return result(difference=difference, p_value=p_value, gate_interval=interval(gate_level)), note


def largest_effect(metric: RowMetric, statistics: FloatArray) -> float:
    """Rows times the most that one row's answer, gone all wrong, changes the metric."""
    total = statistics.sum(axis=0)
    without = metric.value(total - statistics + metric.worst(statistics))
    effects = np.abs(without - metric.value(total[None]))
    return float(np.nanmax(effects)) * len(statistics)


def resampled(
    metric: RowMetric, baseline: FloatArray, candidate: FloatArray, seed: int
) -> tuple[IntervalAt, str]:
    """The paired bootstrap's intervals, and the reason where it gives none."""
    width = baseline.shape[1]
    distinct, codes = np.unique(np.concatenate([baseline, candidate], axis=1), axis=0, return_inverse=True)

    def change(weights: FloatArray, drawn: NDArray[np.int64]) -> FloatArray:
        sums = weights @ distinct[drawn]
        return metric.value(sums[:, width:]) - metric.value(sums[:, :width])

    found = paired_bootstrap(change, codes.reshape(-1), seed=seed)
    return found.interval, f"undefined in {found.undefined} of 10000 resamples"


def right_rows(metrics: Sequence[RowMetric], statistics: Statistics) -> NDArray[np.bool_] | None:
    """Which rows are right [rows], by the first metric that says so; null where none does."""
    for metric in metrics:
        if metric.is_binary and not metric.is_agreement and metric.name in statistics:
            return np.asarray(statistics[metric.name][:, 0] > 0)
    return None
