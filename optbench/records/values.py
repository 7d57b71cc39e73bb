"""What every record is made of."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec


class Record(msgspec.Struct, frozen=True):
    """Base of all records: immutable and compared by value."""


RecordType = TypeVar("RecordType", bound=Record)


class Interval(Record, frozen=True):
    """A two-sided confidence interval; `level` is its nominal coverage."""

    low: float
    high: float
    level: float = 0.95


class Estimate(Record, frozen=True):
    """A value with its interval; `interval` is null where none can be given, and `reason` says why."""

    value: float
    interval: Interval | None = None
    reason: str | None = None


class Percentile(Record, frozen=True):
    """One latency percentile. `seconds` is null until enough calls stand behind it."""

    q: float
    seconds: float | None
    interval: Interval | None = None
    reason: str | None = None


def replace(record: RecordType, **changes: Any) -> RecordType:
    """A copy of `record` with some fields changed."""
    return msgspec.structs.replace(record, **changes)
