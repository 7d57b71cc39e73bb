"""The quality part of a result: metrics, flips, drift, groups and worst rows of two variants."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from optbench.measure.statistics import holm
from optbench.quality.compare import compare_predictions
from optbench.quality.drift import calibration_error, drift_of, row_divergence, vector_drift
from optbench.quality.metrics import Metric
from optbench.quality.paired import GATE_LEVEL, FloatArray, paired_counts, wilson_interval
from optbench.quality.row_metric import RowMetric
from optbench.quality.rows import LEVEL, Statistics, compare_rows, right_rows
from optbench.records import Estimate, GroupResult, QualityResult, WorstRow

Kind = Literal["classification", "regression", "structured"]

WORST_ROWS = 10
LONGEST_TEXT = 300
TESTED_ROWS = 30
"""Groups smaller than this get no interval: they would be read as findings."""


@dataclass(frozen=True)
class Answers:
    """What one variant answered, row by row.

    predictions: in the form of the references. statistics: for the task's own metrics. logits:
    [positions, classes] of each row, or none. vectors: [dimensions] of each row, or none.
    """

    predictions: list[Any]
    statistics: Statistics = field(default_factory=dict)
    logits: list[FloatArray] = field(default_factory=list)
    vectors: list[FloatArray] = field(default_factory=list)


@dataclass(frozen=True)
class Labelled:
    """The rows: right answers (null without labels), texts, and the groups they fall into."""

    kind: Kind
    references: list[Any] | None
    texts: list[str]
    groups: Mapping[str, list[str]]
    own_metrics: Mapping[str, RowMetric]


def compare_variants(
    rows: Labelled,
    baseline: Answers,
    candidate: Answers,
    metrics: Sequence[Metric | RowMetric],
    *,
    seed: int = 0,
    comparisons: int = 1,
) -> QualityResult:
    """Everything about the answers of two variants to the same rows, in the same order.

    comparisons: of how many candidates this is one; each limit of a gate is one-sided 5% / comparisons
    (Bonferroni), so that the best of them may be believed.

    Raises what `compare_predictions` raises.
    """
    gate_level = 1 - (1 - GATE_LEVEL) / comparisons
    scalar = [metric for metric in metrics if isinstance(metric, Metric)]
    result = answered(rows, baseline, candidate, scalar, seed, gate_level)
    found = {metric.name: metric for metric in result.metrics}
    notes = list(result.notes)
    for metric in metrics:
        if isinstance(metric, RowMetric) and metric.name in baseline.statistics:
            sides = (baseline.statistics[metric.name], candidate.statistics[metric.name])
            found[metric.name], note = compare_rows(metric, *sides, seed, gate_level)
            notes += [note] if note else []
    right = [right_answers(rows, side) for side in (baseline, candidate)]
    flips = flips_of([side for side in right if side is not None])
    divergence = divergences(baseline, candidate)
    return replace(
        result,
        metrics=[found[metric.name] for metric in metrics if metric.name in found],
        notes=notes,
        **flips,
        drift=drift_of(baseline.logits, candidate.logits) if baseline.logits else None,
        vector_drift=vector_drift(baseline.vectors, candidate.vectors),
        calibration_error=calibration(right, baseline, candidate),
        groups=grouped(rows, baseline, candidate, metrics, seed),
        worst_rows=worst(rows, baseline, candidate, divergence),
    )


def answered(
    rows: Labelled,
    baseline: Answers,
    candidate: Answers,
    metrics: Sequence[Metric],
    seed: int,
    gate_level: float,
) -> QualityResult:
    """Scalar metrics and agreement."""
    if rows.kind != "structured":
        sides = (baseline.predictions, candidate.predictions)
        return compare_predictions(
            rows.references, *sides, metrics, rows.kind, seed=seed, gate_level=gate_level
        )
    pairs = list(zip(baseline.predictions, candidate.predictions, strict=True))
    agreement = None
    if pairs and pairs[0][0] is not None:
        same = sum(one == two for one, two in pairs)
        agreement = Estimate(same / len(pairs), wilson_interval(same, len(pairs), LEVEL))
    notes = [] if rows.references is not None else ["the rows have no labels, so no metric can be given"]
    return QualityResult(len(rows.texts), [], agreement, notes=notes)


def right_answers(rows: Labelled, answers: Answers) -> NDArray[np.bool_] | None:
    """Which rows are right [rows]; null where that makes no sense."""
    if rows.references is None or rows.kind == "regression":
        return None
    if rows.kind == "classification":
        pairs = zip(rows.references, answers.predictions, strict=True)
        return np.array([reference == prediction for reference, prediction in pairs])
    return right_rows(list(rows.own_metrics.values()), answers.statistics)


def flips_of(right: Sequence[NDArray[np.bool_]]) -> dict[str, int]:
    """Rows that only one of the two gets right; nothing unless both know which are."""
    if len(right) < 2:
        return {}
    counts = paired_counts(*right)
    return {"broken": counts.broken, "fixed": counts.fixed}


def calibration(
    right: Sequence[NDArray[np.bool_] | None], baseline: Answers, candidate: Answers
) -> dict[str, float]:
    """Expected calibration error by variant, where rows have one set of class logits."""
    found = {}
    for name, hits, answers in zip(("baseline", "candidate"), right, (baseline, candidate), strict=True):
        error = None if hits is None else calibration_error(answers.logits, hits)
        if error is not None:
            found[name] = error
    return found


def divergences(baseline: Answers, candidate: Answers) -> FloatArray | None:
    """KL divergence of each row [rows]; null without logits."""
    return row_divergence(baseline.logits, candidate.logits) if baseline.logits else None


ACCURACY = RowMetric("accuracy", True, "share of rows with prediction = reference", is_binary=True)


def grouped(
    rows: Labelled,
    baseline: Answers,
    candidate: Answers,
    metrics: Sequence[Metric | RowMetric],
    seed: int,
) -> list[GroupResult]:
    """The leading metric within each group, so that a loss hidden in the average shows."""
    found = leading(rows, baseline, candidate, metrics)
    if found is None:
        return []
    metric, sides = found
    results = []
    for by, names in rows.groups.items():
        for name in sorted(set(names), key=natural_order):
            inside = np.array([one == name for one in names])
            results.append(group_of(by, name, metric, sides[0][inside], sides[1][inside], seed))
    for name, part in rows.own_metrics.items():
        leader, at, kind = name.partition("@")
        if at and leader == metric.name and name in baseline.statistics:
            results.append(
                group_of("type", kind, part, baseline.statistics[name], candidate.statistics[name], seed)
            )
    return adjusted(results)


def group_of(
    by: str, name: str, metric: RowMetric, baseline: FloatArray, candidate: FloatArray, seed: int
) -> GroupResult:
    """One metric over the rows of one group; only rows that contribute anything count."""
    contributing = int(np.sum(np.any((baseline != 0) | (candidate != 0), axis=1)))
    before, after = metric.of(baseline), metric.of(candidate)
    result = GroupResult(by, name, contributing, metric.name, before, after)
    if contributing < TESTED_ROWS:
        return result
    compared, _ = compare_rows(metric, baseline, candidate, seed)
    return replace(result, difference=compared.difference, p_value=compared.p_value)


def adjusted(groups: list[GroupResult]) -> list[GroupResult]:
    """P values adjusted for how many groups were looked at."""
    tested = [number for number, group in enumerate(groups) if group.p_value is not None]
    raw = [groups[number].p_value or 0.0 for number in tested]
    for number, p_value in zip(tested, holm(raw), strict=True):
        groups[number] = replace(groups[number], p_value=p_value)
    return groups


def natural_order(name: str) -> tuple[int, str]:
    """Numbers before names, and in their own order."""
    first = name.partition(" ")[0]
    return (int(first), name) if first.isdigit() else (sys.maxsize, name)


def leading(
    rows: Labelled, baseline: Answers, candidate: Answers, metrics: Sequence[Metric | RowMetric]
) -> tuple[RowMetric, tuple[FloatArray, FloatArray]] | None:
    """The first metric that rows contribute to, with the statistics of both variants."""
    if rows.kind == "classification":
        right = [right_answers(rows, side) for side in (baseline, candidate)]
        if right[0] is None or right[1] is None:
            return None
        ones = np.ones(len(right[0]))
        one, two = (np.stack([side.astype(np.float64), ones], axis=1) for side in right if side is not None)
        return ACCURACY, (one, two)
    for metric in metrics:
        if isinstance(metric, RowMetric) and metric.name in baseline.statistics:
            return metric, (baseline.statistics[metric.name], candidate.statistics[metric.name])
    return None


def worst(
    rows: Labelled, baseline: Answers, candidate: Answers, divergence: FloatArray | None
) -> list[WorstRow]:
    """Rows whose answer changed, and among them those whose outputs moved most, first."""
    pairs = list(zip(baseline.predictions, candidate.predictions, strict=True))
    moved = distance_of(rows, pairs) if divergence is None else divergence
    changed = np.array([one != two for one, two in pairs], dtype=bool)
    order = np.lexsort((-np.nan_to_num(moved, posinf=math.inf), ~changed))
    chosen = [int(row) for row in order[:WORST_ROWS] if changed[row] or moved[row] > 0]
    return [
        WorstRow(
            row=row,
            text=shortened(rows.texts[row]),
            reference=None if rows.references is None else shortened(str(rows.references[row])),
            baseline=shortened(str(pairs[row][0])),
            candidate=shortened(str(pairs[row][1])),
            kl=finite(divergence, row),
        )
        for row in chosen
    ]


def distance_of(rows: Labelled, pairs: Sequence[tuple[Any, Any]]) -> FloatArray:
    """How far numbers moved [rows]; 0 for answers that are no numbers."""
    if rows.kind != "regression":
        return np.zeros(len(pairs))
    return np.array([abs(float(two) - float(one)) for one, two in pairs])


def finite(values: FloatArray | None, row: int) -> float | None:
    """One value; null where it is missing or infinite: JSON holds neither."""
    return float(values[row]) if values is not None and math.isfinite(values[row]) else None


def shortened(text: str) -> str:
    """The beginning of a text, for lists that people read."""
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]} …"
