"""A search over variants: what was screened, what each choice bought, and which one won."""

from __future__ import annotations

from typing import Literal

import msgspec

from optbench.records.values import Estimate, Record

TUNE_FILE = "tune.json"
"""The outcome of a search, in its directory."""

Stage = Literal["screen", "repair", "final"]


class TunedPoint(Record, frozen=True):
    """One variant that the search looked at, in a short screen or in full.

    choices: axis to value, such as {'recipe': 'openvino-nncf', 'threads': '2'}. quality_loss: how much the
    leading metric lost, in its own unit. outcome: 'not worse', 'worse' or 'cannot tell' at the margin.
    reason: why there are no numbers.
    """

    name: str
    stage: Stage
    choices: dict[str, str]
    directory: str
    status: str
    speedup: Estimate | None = None
    quality_loss: float | None = None
    agreement: float | None = None
    outcome: str | None = None
    reason: str | None = None
    excluded_nodes: int = 0


class Choice(Record, frozen=True):
    """What one value of an axis bought against another, over pairs of points that are equal otherwise.

    speedup_ratio: geometric mean over the pairs. quality_change: mean change of the loss.
    """

    axis: str
    value: str
    against: str
    pairs: int
    speedup_ratio: float
    quality_change: float | None


class TuneResult(Record, frozen=True, kw_only=True):
    """The whole search. front: names of the points that no other beats in speed and quality at once."""

    schema_version: int = 1
    margin: float
    budget_seconds: float
    seconds: float
    ended_by: str
    points: list[TunedPoint]
    front: list[str]
    bought: list[Choice] = msgspec.field(default_factory=list)
    winner: str | None = None
    sentence: str
