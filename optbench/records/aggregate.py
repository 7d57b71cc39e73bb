"""Many results side by side: `results.json` is `Aggregate`, one `Point` for every point of a sweep.

Schema history of Aggregate
    1   first version
    2   "running" as the status of a point
"""

from __future__ import annotations

from typing import Literal

import msgspec

from optbench.records.answers import MetricResult
from optbench.records.result import Decision
from optbench.records.speed import Grade, Latency, Throughput
from optbench.records.values import Estimate, Record

AGGREGATE_VERSION = 2
PLAN_FILE = "sweep.json"
"""What a sweep means to run, in its directory; written before its first point."""

PointStatus = Literal["ok", "running", "failed", "skipped", "missing", "unreadable"]


class SweepPlan(Record, frozen=True):
    """The grid that a sweep walks: the values of every key it was given, in their order."""

    axes: dict[str, list[str]]
    schema_version: int = AGGREGATE_VERSION


class Side(Record, frozen=True, kw_only=True):
    """One variant of a point; numbers are null where the run did not come so far.

    label: backend and quantization in words. cold_start_seconds: from a fresh process to its first
    answer. requests_per_second: the capacity of a server within the bound. products: matrix products and
    the like in the graph; integer_products: those computed in integers; integer_time_share: of their time.
    """

    label: str
    backend: str
    quantization: str
    graph: str | None = None
    threads: int | None = None
    artifact: str | None = None
    sha256: str | None = None
    size_bytes: int | None = None
    peak_memory_bytes: int | None = None
    cold_start_seconds: float | None = None
    latency: Latency | None = None
    throughput: Throughput | None = None
    requests_per_second: Estimate | None = None
    products: int | None = None
    integer_products: int | None = None
    integer_time_share: float | None = None


class Point(Record, frozen=True, kw_only=True):
    """One candidate of one run, or a point that left no result.

    status: running has not come to its end yet, missing has no result.json, unreadable a damaged one;
    `reason` tells why there is no answer. name: the directory relative to the aggregate's root; of a point
    that never started, where it stands in its sweep. axes: those overrides in which points differ.
    group: number of its group; null where too little is known. variant: the candidate's name in the
    result. capacity_ratio: of servers.
    """

    directory: str
    name: str
    status: PointStatus
    reason: str | None = None
    stage: str | None = None
    log: str | None = None
    group: int | None = None
    overrides: list[str] = msgspec.field(default_factory=list)
    axes: dict[str, str] = msgspec.field(default_factory=dict)
    schema_version: int | None = None
    started_at: str | None = None
    finished_at: str | None = None
    config_hash: str | None = None
    model: str | None = None
    dataset: str | None = None
    scenario: str | None = None
    batch_size: int | None = None
    input_length: int | None = None
    variant: str = "candidate"
    baseline: Side | None = None
    candidate: Side | None = None
    replicates: int = 0
    speedup: Estimate | None = None
    cpu_speedup: Estimate | None = None
    capacity_ratio: Estimate | None = None
    size_ratio: float | None = None
    peak_memory_ratio: float | None = None
    noise_floor: float | None = None
    rows: int | None = None
    metrics: list[MetricResult] = msgspec.field(default_factory=list)
    agreement: Estimate | None = None
    broken: int | None = None
    fixed: int | None = None
    grade: Grade | None = None
    grade_reasons: list[str] = msgspec.field(default_factory=list)
    decision: Decision | None = None
    sentence: str | None = None

    @property
    def leading_metric(self) -> MetricResult | None:
        """The first metric with a value of both sides."""
        known = (m for m in self.metrics if m.baseline is not None and m.candidate is not None)
        return next(known, None)


class Group(Record, frozen=True):
    """Points whose timings may be compared: the same machine, threads and library versions."""

    number: int
    points: int
    facts: dict[str, str | None]


class Aggregate(Record, frozen=True, kw_only=True):
    """Every point found below some directories, failed and missing ones included.

    axes: keys in which the points differ, with their values. differing: facts in which the groups
    differ. counts: points by status.
    """

    schema_version: int = AGGREGATE_VERSION
    optbench_version: str
    created_at: str
    root: str
    directories: list[str]
    counts: dict[PointStatus, int]
    axes: dict[str, list[str]]
    groups: list[Group]
    differing: list[str]
    points: list[Point]
    notes: list[str] = msgspec.field(default_factory=list)
