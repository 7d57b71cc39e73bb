"""Result records: what a run found, frozen, typed and versioned. `result.json` is `RunResult`.

Every number is in SI base units and its name ends in the unit. A value that could not be had is null
and stands beside the reason. JSON cannot hold NaN or infinity, so neither can a record.

Schema history
    1   first version
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from optbench.errors import ResultError

SCHEMA_VERSION = 1
RESULT_FILE = "result.json"

Status = Literal["ok", "failed", "skipped"]
Grade = Literal["good", "usable", "poor", "quick look"]
Level = Literal["green", "amber", "red", "unknown"]
Outcome = Literal["pass", "fail", "inconclusive"]
Decision = Literal["SHIP", "DO NOT SHIP", "INCONCLUSIVE", "NOT ASKED"]


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


class Latency(Record, frozen=True):
    """Wall time of the counted forward calls of one variant, pooled over replicates, in seconds."""

    calls: int
    mean_seconds: float
    std_seconds: float
    min_seconds: float
    max_seconds: float
    percentiles: list[Percentile]
    cpu_seconds_per_call: float


class Throughput(Record, frozen=True):
    """Work done per elapsed second of the counted blocks; samples = forwards x batch size."""

    samples_per_second: Estimate
    forwards_per_second: float
    elapsed_seconds: float


class Preparation(Record, frozen=True):
    """Seconds spent making the artifact, each step apart; null where the step was not needed."""

    export_seconds: float | None = None
    optimize_seconds: float | None = None
    quantize_seconds: float | None = None
    from_cache: bool = False


class ColdStart(Record, frozen=True):
    """One freshly started process: imports, load, first call, and its resident memory on the way.

    peak_memory_bytes: highest of all. peak_running_memory_bytes: highest once loaded; null where the
    kernel does not let a process forget the peak of loading.
    """

    import_seconds: float
    load_seconds: float
    first_call_seconds: float
    memory_after_import_bytes: int | None = None
    memory_after_load_bytes: int | None = None
    peak_memory_bytes: int | None = None
    peak_running_memory_bytes: int | None = None
    memory_reason: str | None = None


class ArtifactRecord(Record, frozen=True):
    """The files that were measured: where they are kept, their hash, and the size of the weights."""

    path: str
    format: str
    sha256: str
    size_bytes: int
    details: dict[str, Any] = msgspec.field(default_factory=dict)


class VariantResult(Record, frozen=True):
    """Everything found out about one variant."""

    backend: str
    quantization: str
    graph: str
    threads: int
    runtime: dict[str, Any] = msgspec.field(default_factory=dict)
    artifact: ArtifactRecord | None = None
    preparation: Preparation | None = None
    cold_start: ColdStart | None = None
    latency: Latency | None = None
    throughput: Throughput | None = None


class TimingRecord(Record, frozen=True):
    """How the timing was done, and why it ended when it did."""

    scenario: str
    processes: int
    batch_size: int
    input_length: int
    inputs: str
    seed: int
    replicates: int
    start: str
    wait_policy: str
    calls_per_block: dict[str, int]
    stopped_by: str
    measuring_seconds: float
    starting_seconds: float


class MetricResult(Record, frozen=True):
    """One metric on the same rows for both variants; `difference` is candidate minus baseline.

    p_value: two-sided McNemar mid-p, for metrics that are a share of right rows.
    gate_interval: of the difference, two-sided 90%: each end is a one-sided 5% limit.
    is_share: whether the values are shares, whose difference is told in percentage points.
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


class QualityResult(Record, frozen=True):
    """Baseline and candidate on the same labelled rows."""

    rows: int
    metrics: list[MetricResult]
    agreement: Estimate | None
    broken: int | None = None
    fixed: int | None = None
    evaluation_seconds: dict[str, float] = msgspec.field(default_factory=dict)
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


class Signal(Record, frozen=True):
    """One sign of trouble on the machine: what was seen, from where on it matters, what to do."""

    name: str
    level: Level
    value: float | None
    amber: float | None
    red: float | None
    unit: str
    advice: str | None = None


class Trust(Record, frozen=True):
    """How far the numbers can be believed: poor = any red, usable = any amber, good = neither."""

    grade: Grade
    signals: list[Signal]
    reasons: list[str]


class Comparison(Record, frozen=True):
    """Candidate against baseline; ratios above 1 favour the candidate.

    noise_floor: relative difference that an earlier comparison of a variant with itself showed on this
    machine; a speed-up within it is no difference shown.
    """

    speedup: Estimate
    cpu_speedup: Estimate
    size_ratio: float | None = None
    peak_memory_ratio: float | None = None
    noise_floor: float | None = None
    replicate_log_ratios: list[float] = msgspec.field(default_factory=list)
    replicate_cpu_log_ratios: list[float] = msgspec.field(default_factory=list)


class GateResult(Record, frozen=True):
    """One gate: the bound, what was found, and what would settle it."""

    name: str
    outcome: Outcome
    bound: float
    value: float | None
    interval: Interval | None = None
    needs: str | None = None


class LoadPoint(Record, frozen=True):
    """What a variant did at one offered rate: latencies from the intended arrival, over streams.

    sustained: sustainable, not, or unclear. queue_growth: mean requests by which the queue grew.
    """

    rate_per_second: float
    streams: int
    percentiles: list[Percentile]
    sustained: str
    queue_growth: float


class Capacity(Record, frozen=True):
    """The highest rate of a variant within the bound, and what it was offered.

    stream_rates: where each stream met the bound. service_seconds: mean time from start to completion.
    """

    requests_per_second: Estimate | None
    service_seconds: float
    stream_rates: list[float | None]
    load: list[LoadPoint]
    reason: str | None = None


class ServerResult(Record, frozen=True):
    """The open loop: requests that arrive by themselves; latency counts from the intended arrival.

    bound_seconds: of the `percentile`. lateness_seconds: p99 of how late the generator sent a request,
    which counts as latency. generator_cpu_share: cores that the generator used.
    """

    bound_seconds: float
    bound_reason: str | None
    percentile: float
    arrivals: str
    requests: int
    streams: int
    stopped_by: str
    seconds: float
    variants: dict[str, Capacity]
    capacity_ratio: Estimate | None
    lateness_seconds: float
    generator_cpu_share: float


class Verdict(Record, frozen=True):
    """The answer: the decision, the gates behind it, and one sentence for people."""

    decision: Decision
    gates: list[GateResult]
    sentence: str


class Failure(Record, frozen=True):
    """Why a run has no (complete) answer."""

    kind: str
    stage: str
    message: str
    details: str | None = None


class RunResult(Record, frozen=True, kw_only=True):
    """One run, whole or as far as it came."""

    schema_version: int = SCHEMA_VERSION
    optbench_version: str
    status: Status
    started_at: str
    finished_at: str | None = None
    command: list[str]
    config: dict[str, Any]
    config_hash: str
    environment: dict[str, Any]
    failure: Failure | None = None
    dataset: DatasetRecord | None = None
    variants: dict[str, VariantResult] = msgspec.field(default_factory=dict)
    timing: TimingRecord | None = None
    comparisons: dict[str, Comparison] = msgspec.field(default_factory=dict)
    server: ServerResult | None = None
    quality: QualityResult | None = None
    trust: Trust | None = None
    verdict: Verdict | None = None
    stage_seconds: dict[str, float] = msgspec.field(default_factory=dict)
    notes: list[str] = msgspec.field(default_factory=list)

    @property
    def comparison(self) -> Comparison | None:
        """The candidate against the baseline."""
        return self.comparisons.get("candidate")


def to_json(record: Record) -> bytes:
    """The record as indented UTF-8 JSON that ends in a newline."""
    return msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"


def from_json(data: bytes, source: str = "result") -> RunResult:
    """The RunResult in `data`. Raises ResultError that names `source` and the offending field."""
    try:
        result = msgspec.json.decode(data, type=RunResult)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ResultError(f"{source} is not a readable optbench result: {error}") from error
    if result.schema_version > SCHEMA_VERSION:
        raise ResultError(
            f"{source} has schema version {result.schema_version}, this optbench reads up to "
            f"{SCHEMA_VERSION}; upgrade optbench to read it"
        )
    return result


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` so that `path` holds the old or the new content, whatever happens in between."""
    staging = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with staging.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        staging.replace(path)
    finally:
        staging.unlink(missing_ok=True)


def write_result(directory: Path, result: RunResult) -> Path:
    """Write `result.json` into `directory` atomically; returns its path."""
    path = directory / RESULT_FILE
    write_atomically(path, to_json(result))
    return path


def read_result(path: Path) -> RunResult:
    """Read a `result.json`, or the one in a run directory. Raises ResultError."""
    file = path / RESULT_FILE if path.is_dir() else path
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ResultError(f"{file} cannot be read: {error.strerror}") from error
    return from_json(data, str(file))


def replace(record: RecordType, **changes: Any) -> RecordType:
    """A copy of `record` with some fields changed."""
    return msgspec.structs.replace(record, **changes)
