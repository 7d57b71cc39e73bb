"""Speed, size, memory and how far to believe them."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from optbench.records.values import Estimate, Percentile, Record

Grade = Literal["good", "usable", "poor", "quick look"]
Level = Literal["green", "amber", "red", "unknown"]


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


class PhaseLatency(Record, frozen=True):
    """Seconds of one phase of the counted calls of one variant, pooled over replicates."""

    calls: int
    mean_seconds: float
    std_seconds: float
    min_seconds: float
    max_seconds: float
    percentiles: list[Percentile]


class Generation(Record, frozen=True):
    """The phases of calls that generate tokens.

    new_tokens: of each call and row. first_token: from the start of a call until its first token is known.
    per_output_token: the rest of a call over its decode steps; null where there is one token only.
    output_tokens_per_second: of all rows of a batch together, over whole calls.
    """

    new_tokens: int
    first_token: PhaseLatency
    per_output_token: PhaseLatency | None
    output_tokens_per_second: Estimate


class EndToEnd(Record, frozen=True):
    """What calls from raw rows to answers are made of.

    model: its forward alone. processing: the rest, which encodes rows and makes answers of outputs.
    model_share: of the time of all counted calls.
    """

    model: PhaseLatency
    processing: PhaseLatency
    model_share: float


class Preparation(Record, frozen=True):
    """Seconds spent making the artifact, each step apart; null where the step was not needed."""

    export_seconds: float | None = None
    optimize_seconds: float | None = None
    quantize_seconds: float | None = None
    from_cache: bool = False


class ColdStart(Record, frozen=True):
    """One freshly started process: imports, load, first call, and its resident memory on the way.

    compile_seconds: how much of the first call was compiling, null where nothing is compiled; next to
    nothing where the code was found in a cache (compiled_before).
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
    compile_seconds: float | None = None
    compiled_before: bool = False


class ArtifactRecord(Record, frozen=True):
    """The files that were measured: where they are kept, their hash, and the size of the weights."""

    path: str
    format: str
    sha256: str
    size_bytes: int
    details: dict[str, Any] = msgspec.field(default_factory=dict)


class KernelReport(Record, frozen=True):
    """What runs in integer kernels, told by the runtime after its own graph optimization.

    nodes: of matrix products, convolutions and attention; integer_nodes: those computed in integers.
    float_nodes: names of the others, at most 20 of them. weight_share: of the weights' elements, those
    kept in integers of 8 bits or fewer. time_share: of the kernel time of `nodes` in one profiled look,
    that of integer_nodes; it varies from look to look. leftover_qdq: quantize and dequantize nodes that no
    kernel absorbed.
    kernel_seconds: of one call, by kernel, longest first.
    """

    nodes: int
    integer_nodes: int
    float_nodes: list[str] = msgspec.field(default_factory=list)
    weight_share: float | None = None
    time_share: float | None = None
    leftover_qdq: int = 0
    kernel_seconds: dict[str, float] = msgspec.field(default_factory=dict)
    reason: str | None = None


class VariantResult(Record, frozen=True):
    """Everything found out about one variant. label: its runtime and quantization in a few words."""

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
    kernels: KernelReport | None = None
    generation: Generation | None = None
    label: str = ""
    end_to_end: EndToEnd | None = None

    @property
    def size_bytes(self) -> int | None:
        """Size of the weights."""
        return None if self.artifact is None else self.artifact.size_bytes

    @property
    def peak_memory_bytes(self) -> int | None:
        """Highest resident set of a cold start."""
        return None if self.cold_start is None else self.cold_start.peak_memory_bytes


class TimingRecord(Record, frozen=True):
    """How the timing was done, and why it ended when it did. scope: model, or end_to_end."""

    scenario: str
    processes: int
    batch_size: int
    input_length: int | None
    inputs: str
    seed: int
    replicates: int
    start: str
    wait_policy: str
    calls_per_block: dict[str, int]
    stopped_by: str
    measuring_seconds: float
    starting_seconds: float
    new_tokens: int | None = None
    scope: str = "model"


class Comparison(Record, frozen=True):
    """Candidate against baseline; ratios above 1 favour the candidate.

    noise_floor: relative difference that an earlier comparison of a variant with itself showed on this
    machine; a speed-up within it is no difference shown. first_token_speedup,
    per_output_token_speedup: of the phases of calls that generate tokens. model_speedup: of the model
    within calls from raw rows to answers.
    """

    speedup: Estimate
    cpu_speedup: Estimate
    size_ratio: float | None = None
    peak_memory_ratio: float | None = None
    noise_floor: float | None = None
    replicate_log_ratios: list[float] = msgspec.field(default_factory=list)
    replicate_cpu_log_ratios: list[float] = msgspec.field(default_factory=list)
    first_token_speedup: Estimate | None = None
    per_output_token_speedup: Estimate | None = None
    model_speedup: Estimate | None = None


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

    @property
    def is_disturbed(self) -> bool:
        """Whether nobody should rely on the timings; the grade of a quick look does not tell."""
        return self.grade == "poor" or any(signal.level == "red" for signal in self.signals)
