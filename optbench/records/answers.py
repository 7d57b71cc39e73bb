"""The answers: which rows, which metrics, what changed."""

from __future__ import annotations

from typing import Literal

import msgspec

from optbench.records.values import Estimate, Interval, Record


class NonInferiority(Record, frozen=True):
    """Whether a loss of `margin` is excluded ("not worse"), shown ("worse"), or neither ("cannot tell").

    rows_needed: rows in all that would tell, with 80% power if the difference and spread that were seen are
    the true ones; null where it is told already, or where the loss seen is no smaller than the margin, so
    that no number can be computed from it.
    """

    margin: float
    outcome: Literal["not worse", "worse", "cannot tell"]
    rows_needed: int | None = None


class MetricResult(Record, frozen=True):
    """One metric on the same rows for both variants; `difference` is candidate minus baseline.

    p_value: two-sided McNemar mid-p, for metrics that are a share of right rows.
    gate_interval: of the difference, two-sided 90%: each end is a one-sided 5% limit.
    is_share: whether the values are shares, whose difference is told in percentage points.
    non_inferiority: at quality.margin; null without one, or for a metric that is no share.
    """

    name: str
    higher_is_better: bool
    baseline: float | None
    candidate: float | None
    difference: Estimate | None = None
    reason: str | None = None
    p_value: float | None = None
    gate_interval: Interval | None = None
    is_share: bool = True
    non_inferiority: NonInferiority | None = None


class Drift(Record, frozen=True):
    """How far the candidate's outputs moved, over all positions (a row, or each token of it).

    logit_difference_relative: the largest difference over the baseline's logit sd. kl_mean, kl_p99:
    KL(baseline || candidate) in nats. rank_correlation: Spearman's, of the order of the classes.
    same_first: share of positions with the same most likely class.
    """

    positions: int
    positions_not_finite: int
    logit_difference_mean: float
    logit_difference_max: float
    logit_difference_relative: float | None
    kl_mean: float
    kl_p99: float
    rank_correlation: float
    same_first: float


class VectorDrift(Record, frozen=True):
    """Cosine of each row's embedding to the baseline's."""

    rows: int
    cosine_mean: float
    cosine_p01: float
    cosine_min: float


class WorstRow(Record, frozen=True):
    """A row whose outputs moved most: its number in predictions.parquet, its text, and the answers."""

    row: int
    text: str
    reference: str | None
    baseline: str
    candidate: str
    kl: float | None = None


class GroupResult(Record, frozen=True):
    """One metric among the rows of a group, such as those of a class or of a length.

    difference: with an interval from 30 rows on; below, only the values are told. p_value: of a change,
    adjusted for the number of groups (Holm).
    """

    by: str
    name: str
    rows: int
    metric: str
    baseline: float | None
    candidate: float | None
    difference: Estimate | None = None
    p_value: float | None = None


class QualityResult(Record, frozen=True):
    """Baseline and candidate on the same labelled rows.

    broken, fixed: rows that only the baseline, or only the candidate, gets right. calibration_error:
    expected calibration error by variant. failed_rows: rows that could not be read or encoded.
    """

    rows: int
    metrics: list[MetricResult]
    agreement: Estimate | None
    broken: int | None = None
    fixed: int | None = None
    drift: Drift | None = None
    vector_drift: VectorDrift | None = None
    calibration_error: dict[str, float] = msgspec.field(default_factory=dict)
    groups: list[GroupResult] = msgspec.field(default_factory=list)
    worst_rows: list[WorstRow] = msgspec.field(default_factory=list)
    failed_rows: int = 0
    evaluation_seconds: dict[str, float] = msgspec.field(default_factory=dict)
    evaluation_batch_sizes: dict[str, int] = msgspec.field(default_factory=dict)
    notes: list[str] = msgspec.field(default_factory=list)


class DatasetRecord(Record, frozen=True):
    """Which rows were evaluated: enough to draw exactly the same ones again."""

    path: str
    name: str | None
    split: str
    rows: int
    rows_available: int
    fingerprint: str
    columns: dict[str, str]
    labels: list[str] | None = None
