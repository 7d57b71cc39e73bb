"""Baseline and candidate predictions on the same rows, as the quality part of a result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from msgspec.structs import replace

from optbench.errors import ConfigError, DataError
from optbench.quality.metrics import METRICS, Column, Kind, Metric, Rows, rows_of
from optbench.quality.paired import (
    GATE_LEVEL,
    FloatArray,
    mcnemar_mid_p,
    paired_bootstrap,
    paired_counts,
    paired_t_interval,
    tango_interval,
    wilson_interval,
)
from optbench.quality.rare import FEW_CHANGED_ROWS, rare_change_interval, rare_change_note
from optbench.records import Estimate, Interval, MetricResult, QualityResult

_LEVEL = 0.95
_TRIED_LABELS = 10
_TRIED_ROWS = 20


@dataclass(frozen=True)
class _Rows:
    """References and both predictions [rows], in one form."""

    references: Column
    baseline: Column
    candidate: Column


@dataclass(frozen=True)
class _Difference:
    """Candidate minus baseline: `interval` gives it at any level, or null and the reason."""

    value: float
    interval: Callable[[float], Interval | None]
    reason: str | None = None
    p_value: float | None = None
    note: str | None = None


def compare_predictions(
    references: Rows | None,
    baseline: Rows,
    candidate: Rows,
    metrics: Sequence[Metric],
    kind: Kind,
    *,
    seed: int = 0,
    gate_level: float = GATE_LEVEL,
) -> QualityResult:
    """Metrics, agreement and flips of two variants; all of [rows], in the same order.

    Without references there is no metric, and a note says so. Raises DataError for rows that do not
    fit together or to `kind`, ConfigError for a metric of the other kind.
    """
    predictions = rows_of(baseline, kind), rows_of(candidate, kind)
    right = rows_of(references, kind) if references is not None else predictions[0]
    rows = _Rows(right, *predictions)
    _check_fit(rows, metrics, kind)
    notes = [_distance(rows)] if kind == "regression" else []
    agreement = _agreement(rows) if kind == "classification" else None
    if references is None:
        notes.append("the rows have no labels, so no metric can be given")
        return QualityResult(len(right), [], agreement, notes=notes)
    results = [_metric_result(metric, rows, seed, gate_level) for metric in metrics]
    broken = fixed = None
    if kind == "classification":
        counts = paired_counts(rows.baseline == right, rows.candidate == right)
        broken, fixed = counts.broken, counts.fixed
    return QualityResult(
        rows=len(right),
        metrics=[result for result, _ in results],
        agreement=agreement,
        broken=broken,
        fixed=fixed,
        notes=notes + [note for _, note in results if note],
    )


def largest_effect(metric: Metric, references: Column, predictions: Column) -> float | None:
    """Rows times the most that another prediction in one row changes the metric; None if unknown.

    Tried are, for labels, one row of each of the 10 rarest references with each of the 10 rarest
    labels; for numbers, the rows with the 20 smallest and largest references with the smallest and
    the largest prediction.
    """
    before = metric.compute(references, predictions).value
    effects = []
    for row, value in _other_predictions(references, predictions):
        changed = predictions.copy()
        changed[row] = value
        after = metric.compute(references, changed).value
        if before is not None and after is not None:
            effects.append(abs(after - before))
    return len(references) * max(effects) if effects else None


def _other_predictions(references: Column, predictions: Column) -> list[tuple[int, Any]]:
    if references.dtype.kind == "f":
        order = np.argsort(references, kind="stable")
        rows = np.unique(np.concatenate([order[:_TRIED_ROWS], order[-_TRIED_ROWS:]]))
        values: Any = np.array([predictions.min(), predictions.max()])
    else:
        labels, counts = np.unique(np.concatenate([references, predictions]), return_counts=True)
        values = labels[np.argsort(counts, kind="stable")][:_TRIED_LABELS]
        right = references == predictions
        rows = np.array([_row_of(label, references, right) for label in values])
    pairs = ((int(row), value) for row in rows if row >= 0 for value in values)
    return [(row, value) for row, value in pairs if value != predictions[row]]


def _row_of(label: Any, references: Column, right: Column) -> int:
    """A row with that reference, a right one if there is any, -1 without."""
    found = np.flatnonzero(references == label)
    if not len(found):
        return -1
    return int(found[np.argmax(right[found])])


def _metric_result(
    metric: Metric, rows: _Rows, seed: int, gate_level: float
) -> tuple[MetricResult, str | None]:
    before = metric.compute(rows.references, rows.baseline)
    after = metric.compute(rows.references, rows.candidate)
    result = MetricResult(
        metric.name, metric.higher_is_better, before.value, after.value, is_share=metric.is_share
    )
    if before.value is None or after.value is None:
        reason = f"baseline: {before.reason}" if before.reason else f"candidate: {after.reason}"
        return replace(result, reason=reason), None
    found = _difference(metric, rows, after.value - before.value, seed)
    interval = found.interval(_LEVEL)
    difference = Estimate(found.value, interval, None if interval else found.reason)
    gate = found.interval(gate_level)
    result = replace(result, difference=difference, gate_interval=gate, p_value=found.p_value)
    return result, found.note


def _difference(metric: Metric, rows: _Rows, value: float, seed: int) -> _Difference:
    sides = []
    if metric.per_row is not None:
        sides = [metric.per_row(rows.references, side) for side in (rows.baseline, rows.candidate)]
        if sides[0].dtype == np.bool_:
            return _flips(*sides)
    changed = int(np.sum(rows.baseline != rows.candidate))
    if changed < FEW_CHANGED_ROWS:
        return _rare_change(metric, rows, value, changed)
    if sides:
        return _Difference(value, partial(paired_t_interval, sides[1] - sides[0]))
    return _resampled(metric, rows, value, seed)


def _flips(baseline_right: Column, candidate_right: Column) -> _Difference:
    counts = paired_counts(baseline_right, candidate_right)
    return _Difference(
        value=(counts.fixed - counts.broken) / counts.rows,
        interval=partial(tango_interval, counts.broken, counts.fixed, counts.rows),
        p_value=mcnemar_mid_p(counts.broken, counts.fixed),
    )


def _rare_change(metric: Metric, rows: _Rows, value: float, changed: int) -> _Difference:
    count = len(rows.references)
    largest = largest_effect(metric, rows.references, rows.baseline)
    if largest is None:
        return _Difference(
            value,
            lambda level: None,
            f"{changed} of {count} rows changed, too few to resample, and the rows do not show "
            "what another prediction would do",
        )
    note = rare_change_note(metric.name, changed, count, largest)
    return _Difference(value, partial(rare_change_interval, value, changed, count, largest), note=note)


def _resampled(metric: Metric, rows: _Rows, value: float, seed: int) -> _Difference:
    def change(weights: FloatArray, right: Column, before: Column, after: Column) -> FloatArray:
        return metric.weighted(weights, right, after) - metric.weighted(weights, right, before)

    columns = rows.references, rows.baseline, rows.candidate
    try:
        drawn = paired_bootstrap(change, *columns, resamples=metric.resamples, seed=seed)
    except (ConfigError, DataError) as error:  # a module of `evaluate` may refuse a resample
        return _Difference(value, lambda level: None, f"resampling failed: {error}")
    reason = f"undefined in {drawn.undefined} of {metric.resamples} resamples"
    return _Difference(value, drawn.interval, reason)


def _agreement(rows: _Rows) -> Estimate:
    same, count = int(np.sum(rows.baseline == rows.candidate)), len(rows.baseline)
    return Estimate(same / count, wilson_interval(same, count, _LEVEL))


def _distance(rows: _Rows) -> str:
    distance = np.abs(rows.candidate - rows.baseline)
    finite = distance[np.isfinite(distance)]
    if len(finite) < len(distance):
        return f"{len(distance) - len(finite)} of {len(distance)} rows have a prediction not finite"
    return f"mean |candidate - baseline| {finite.mean():.3g}, largest {finite.max():.3g}"


def _check_fit(rows: _Rows, metrics: Sequence[Metric], kind: Kind) -> None:
    columns = rows.references, rows.baseline, rows.candidate
    lengths = [len(column) for column in columns]
    if len(set(lengths)) > 1:
        raise DataError(
            "references, baseline and candidate predictions must have the same rows, got "
            f"{lengths[0]}, {lengths[1]} and {lengths[2]}"
        )
    if len({column.dtype.kind for column in columns}) > 1:
        raise DataError(
            "references and predictions must be all whole numbers or all strings, got "
            + ", ".join(f"{column.dtype.name} such as {column[0]!r}" for column in columns)
        )
    wrong = [metric.name for metric in metrics if metric.kind not in (None, kind)]
    if wrong:
        fitting = ", ".join(name for name, metric in METRICS.items() if metric.kind == kind)
        raise ConfigError(f"quality.metrics must suit {kind}, got {', '.join(wrong)}; choose among {fitting}")
