"""How the answers of two runs' candidates differ: row by row where both kept theirs to the same rows.

A change is paired (as between two variants of one run) if predictions.parquet of both hold the same rows and
give the metrics that the results hold; else it follows from both differences to the baseline. It is none at
all where the same files, settings and versions answered.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from optbench.errors import OptbenchError
from optbench.measure import mover
from optbench.quality.compare import compare_predictions
from optbench.quality.metrics import METRICS
from optbench.quality.paired import FloatArray, PairedCounts, paired_counts, tango_interval
from optbench.quality.rows import compare_rows
from optbench.quality.squad import SQUAD_METRICS, squad_statistics
from optbench.records import PREDICTIONS_FILE, Estimate, Interval, MetricResult
from optbench.records.comparison import Measure
from optbench.records.values import replace
from optbench.results import conditions
from optbench.results.pairing import Loaded

ROW = ("row", "text", "reference")
OTHER_ROWS = (
    "A and B answered other rows: evaluate the same ones in both (dataset, seed, quality.max_eval_samples)"
)
NOT_ANSWERS = ("measure.", "gates.", "run.", "tracking.", "tune.", "objectives", "quality.margin")
"""Beginnings of settings that no answer depends on."""
NEVER_BY_ROW = "needs more of each answer than is kept"


@dataclass(frozen=True)
class Recorded:
    """What both candidates answered to the same rows [rows], and whether each agreed with its baseline."""

    references: list[Any]
    a: list[Any]
    b: list[Any]
    agreed_a: list[bool]
    agreed_b: list[bool]


def changes(a: Loaded, b: Loaded) -> dict[str, Measure | None]:
    """B's change of each metric that both have, and of the agreement with the baseline."""
    kept = recorded(a, b)
    found = dict(unpaired(a, b, kept if isinstance(kept, str) else NEVER_BY_ROW))
    if isinstance(kept, Recorded):
        paired = paired_changes(a, b, kept)
        found |= {name: measure for name, measure in paired if name in found}
        if kept.a == kept.b and same_model(a, b):
            found = {name: unchanged(measure) for name, measure in found.items()}
    return found


def recorded(a: Loaded, b: Loaded) -> Recorded | str:
    """The answers of both row by row, or why they cannot be paired."""
    if not same_rows(a, b):
        return OTHER_ROWS
    tables = []
    for side, item in (("A", a), ("B", b)):
        try:
            tables.append(read_table(Path(item.point.directory), item.point.variant))
        except Exception as error:  # pyarrow raises many kinds for a damaged file
            why = "is gone" if isinstance(error, FileNotFoundError) else "cannot be read"
            return f"{PREDICTIONS_FILE} of {side} {why}; keep it beside result.json to have answers paired"
    one, two = tables
    if not one.select(ROW).equals(two.select(ROW)):
        return f"{PREDICTIONS_FILE} of both must hold the same rows, and does not"
    answers = [table.column(name).to_pylist() for table in tables for name in ("baseline", "candidate")]
    agreed = [[x == y for x, y in zip(*answers[at : at + 2], strict=True)] for at in (0, 2)]
    return Recorded(one.column("reference").to_pylist(), answers[1], answers[3], *agreed)


def read_table(directory: Path, variant: str) -> Any:
    """Rows and answers of a run; the column of `variant` is called candidate. Raises what pyarrow raises."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(directory / PREDICTIONS_FILE) as opened:  # read_table would import pandas
        table = opened.read(columns=[*ROW, "baseline", variant])
    return table.select([*ROW, "baseline", variant]).rename_columns([*ROW, "baseline", "candidate"])


def same_rows(a: Loaded, b: Loaded) -> bool:
    """Whether both evaluated the same rows, by what their results say."""
    prints = [None if item.result.dataset is None else item.result.dataset.fingerprint for item in (a, b)]
    return prints[0] == prints[1] and a.point.rows == b.point.rows


def same_model(a: Loaded, b: Loaded) -> bool:
    """Whether the same files answered with the same settings, libraries and machine: nothing can differ."""
    files = [None if item.point.candidate is None else item.point.candidate.sha256 for item in (a, b)]
    settings = [
        {key: value for key, value in item.settings.items() if not key.startswith(NOT_ANSWERS)}
        for item in (a, b)
    ]
    return (
        bool(files[0])
        and files[0] == files[1]
        and settings[0] == settings[1]
        and a.result.optbench_version == b.result.optbench_version
        and a.facts == b.facts
    )


def unchanged(measure: Measure | None) -> Measure | None:
    """A change of exactly nothing; as it was where the values differ all the same."""
    if measure is None or measure.a != measure.b:
        return measure
    return replace(measure, change=Estimate(0.0), exact=True, basis="same model", basis_reason=None)


def unpaired(a: Loaded, b: Loaded, why: str) -> Iterator[tuple[str, Measure | None]]:
    """Changes from what the results hold; without interval where the rows differ."""
    form: Callable[[Estimate], Estimate] = as_it_is if same_rows(a, b) else without_interval
    rows = a.point.rows if same_rows(a, b) else None
    others = {metric.name: metric for metric in b.point.metrics}
    for one in a.point.metrics:
        two = others.get(one.name)
        if two is not None and one.candidate is not None and two.candidate is not None:
            change = form(metric_change(one.candidate, two.candidate, one, two))
            made = Measure(one.candidate, two.candidate, change, is_share=one.is_share, rows=rows)
            yield f"{one.name}{conditions.CHANGE}", replace(made, basis="unpaired", basis_reason=why)
    if a.point.agreement is not None and b.point.agreement is not None:
        change = form(mover.difference(b.point.agreement, a.point.agreement))
        ends = (a.point.agreement.value, b.point.agreement.value)
        made = Measure(*ends, change, is_share=True, rows=rows)
        yield f"agreement{conditions.CHANGE}", replace(made, basis="unpaired", basis_reason=why)


def as_it_is(change: Estimate) -> Estimate:
    """The same."""
    return change


def without_interval(change: Estimate) -> Estimate:
    """A change between other rows."""
    return Estimate(change.value, reason=OTHER_ROWS)


def metric_change(before: float, after: float, one: MetricResult, two: MetricResult) -> Estimate:
    """B's metric minus A's; the width comes from both differences to the same baseline."""
    value = after - before
    if one.difference is None or two.difference is None:
        return Estimate(value, reason="the metric's difference has no interval")
    width = mover.difference(two.difference, one.difference)
    ends, shift = width.interval, value - width.value
    interval = None if ends is None else Interval(ends.low + shift, ends.high + shift, ends.level)
    return Estimate(value, interval, width.reason)


def paired_changes(a: Loaded, b: Loaded, kept: Recorded) -> Iterator[tuple[str, Measure]]:
    """Changes that the answers themselves tell and that agree with both results."""
    seeds = [item.result.config.get("seed") for item in (a, b)]
    seed = seeds[1] if isinstance(seeds[1], int) else 0
    others = {metric.name: metric for metric in b.point.metrics}
    for one in a.point.metrics:
        two = others.get(one.name)
        found = None if two is None else by_row(one.name, kept, seed)
        if found is not None and two is not None and agree(found, one, two):
            counts = counts_of(one.name, kept) if found.p_value is not None else None
            made = Measure(one.candidate, two.candidate, found.difference, is_share=one.is_share)
            yield f"{one.name}{conditions.CHANGE}", paired(made, kept, counts)
    if a.point.agreement is not None and b.point.agreement is not None and kept.a:
        counts = paired_counts(np.array(kept.agreed_a, bool), np.array(kept.agreed_b, bool))
        ends = (a.point.agreement.value, b.point.agreement.value)
        if close(ends[0], np.mean(kept.agreed_a)) and close(ends[1], np.mean(kept.agreed_b)):
            interval = tango_interval(counts.broken, counts.fixed, counts.rows)
            change = Estimate((counts.fixed - counts.broken) / counts.rows, interval)
            yield f"agreement{conditions.CHANGE}", paired(Measure(*ends, change, is_share=True), kept, counts)


def paired(measure: Measure, kept: Recorded, counts: PairedCounts | None) -> Measure:
    """A measure that says on how many rows it was paired, and which of them changed."""
    made = replace(measure, basis="paired", rows=len(kept.a))
    return made if counts is None else replace(made, broken=counts.broken, fixed=counts.fixed)


def by_row(name: str, kept: Recorded, seed: int) -> MetricResult | None:
    """A metric of both candidates on the same rows; null where the kept answers do not tell it."""
    metric = METRICS.get(name)
    try:
        if name in SQUAD_METRICS:
            one, two = (squad_rows(name, kept, side) for side in (kept.a, kept.b))
            return compare_rows(SQUAD_METRICS[name], one, two, seed)[0]
        if metric is None or metric.kind is None:
            return None
        compared = compare_predictions(kept.references, kept.a, kept.b, [metric], metric.kind, seed=seed)
        return compared.metrics[0]
    except (OptbenchError, ValueError, TypeError, KeyError):  # a file that somebody else wrote
        return None


def squad_rows(name: str, kept: Recorded, answers: Sequence[Any]) -> FloatArray:
    """What each question contributes; accepted answers are kept as JSON. Raises ValueError, TypeError."""
    accepted = [json.loads(item) if isinstance(item, str) else item for item in kept.references]
    return squad_statistics(accepted, answers)[name]


def counts_of(name: str, kept: Recorded) -> PairedCounts:
    """Rows that only A's or only B's candidate gets right."""
    if name in SQUAD_METRICS:
        right = [squad_rows(name, kept, side)[:, 0] > 0 for side in (kept.a, kept.b)]
    else:
        right = [
            np.array([x == y for x, y in zip(kept.references, side, strict=True)])
            for side in (kept.a, kept.b)
        ]
    return paired_counts(right[0], right[1])


def agree(found: MetricResult, one: MetricResult, two: MetricResult) -> bool:
    """Whether the kept answers give the values that the results hold; else they belong to other runs."""
    return close(one.candidate, found.baseline) and close(two.candidate, found.candidate)


def close(stored: float | None, computed: Any) -> bool:
    """Whether two numbers are one, but for rounding."""
    return stored is not None and computed is not None and math.isclose(stored, computed, abs_tol=1e-9)
