"""Two finished runs or sweeps against each other: `optbench compare --format json` is `RunComparison`.

Schema history of RunComparison
    1   first version
"""

from __future__ import annotations

from typing import Literal

import msgspec

from optbench.records.result import Outcome
from optbench.records.values import Estimate, Record

COMPARISON_VERSION = 1

Finding = Literal["faster", "slower", "no difference shown", "not tested"]
Basis = Literal["same model", "paired", "unpaired"]
PairStatus = Literal["compared", "only in A", "only in B", "not compared", "failed in B"]


class Difference(Record, frozen=True):
    """A field in which A and B differ."""

    field: str
    a: str
    b: str


class Measure(Record, frozen=True):
    """One quantity of both candidates, and how it changed.

    change: B's over A's for ratios, B's minus A's for changes of metrics; `reason` of the estimate says
    why it has no interval. exact: it has no uncertainty, such as a file's size. is_share: the change is told
    in percentage points. basis: how a metric's change was told: from the answers of both to the same rows
    (`paired`), from both differences to the baseline (`unpaired`, and basis_reason says why), or without
    doubt, since the same files, settings and versions answered (`same model`). rows: on how many.
    broken, fixed: those that only A's, or only B's, candidate gets right.
    """

    a: float | None
    b: float | None
    change: Estimate | None
    exact: bool = False
    is_share: bool = False
    basis: Basis | None = None
    basis_reason: str | None = None
    rows: int | None = None
    broken: int | None = None
    fixed: int | None = None


class Judgement(Record, frozen=True):
    """One condition at one point: fail means that it holds beyond doubt.

    rows_needed: evaluated rows in all that would settle an undecided condition on a metric, with 80% power
    at the change that was seen; null where that is not the question, or no number would.
    """

    condition: str
    outcome: Outcome
    change: Estimate | None = None
    reason: str | None = None
    rows_needed: int | None = None


class ComparedPoint(Record, frozen=True, kw_only=True):
    """A point of the grid in both runs.

    finding: about B's speed. p_value: Welch's t; p_value_adjusted: for the number of points (Holm).
    """

    name: str
    status: PairStatus
    a: str | None = None
    b: str | None = None
    reason: str | None = None
    finding: Finding = "not tested"
    finding_reason: str | None = None
    p_value: float | None = None
    p_value_adjusted: float | None = None
    noise_floor: float | None = None
    measures: dict[str, Measure] = msgspec.field(default_factory=dict)
    judgements: list[Judgement] = msgspec.field(default_factory=list)


class RunComparison(Record, frozen=True, kw_only=True):
    """B against A at every point; `environment` differs in spite of a warning, `config` on purpose."""

    schema_version: int = COMPARISON_VERSION
    optbench_version: str
    a: str
    b: str
    conditions: list[str]
    environment: list[Difference]
    config: list[Difference]
    points: list[ComparedPoint]
    notes: list[str] = msgspec.field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """3 if a point of B failed, 1 if a condition fails, 4 if one is undecided, else 0."""
        if any(point.status == "failed in B" for point in self.points):
            return 3
        outcomes = {judged.outcome for point in self.points for judged in point.judgements}
        return 1 if "fail" in outcomes else 4 if "inconclusive" in outcomes else 0
