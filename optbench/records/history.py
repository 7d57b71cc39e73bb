"""How one configuration has changed on one machine: a line of `optbench history`."""

from __future__ import annotations

from optbench.records.values import Record


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
