"""How configurations have changed on their machines: `optbench history --format json` is `History`.

Schema history of History
    1   first version
"""

from __future__ import annotations

from optbench.records.values import Record

HISTORY_VERSION = 1


class Trend(Record, frozen=True, kw_only=True):
    """The last finished run of a configuration, and its change against the median of those before.

    speedup_change, p95_change: relative. metric_change: a difference. Null without an earlier run.
    """

    model: str | None
    baseline: str | None
    candidate: str | None
    variant: str
    batch_size: int | None
    input_length: int | None
    machine: str | None
    config_hash: str
    runs: int
    first_at: str
    last_at: str
    directory: str
    speedup: float | None
    speedup_change: float | None
    p95_seconds: float | None
    p95_change: float | None
    size_bytes: int | None
    metric: str | None
    metric_value: float | None
    metric_change: float | None
    grade: str | None


class History(Record, frozen=True, kw_only=True):
    """A trend for each configuration, variant and machine with a finished run, the latest changed first."""

    schema_version: int = HISTORY_VERSION
    optbench_version: str
    file: str
    trends: list[Trend]
