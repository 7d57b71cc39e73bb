"""The structured config of a run: `RunConfig` and its parts, with every cross-field check.

A value out of range is a problem of the component that holds it; all problems of a config are collected
and reported together (`optbench.components.check`).
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

from optbench.components import (
    Backend,
    Component,
    Dataset,
    Graph,
    Model,
    Priority,
    Quantization,
    Task,
    WaitPolicy,
    register,
)
from optbench.remote import url_problems
from optbench.tracking import Tracking


class InputSource(Enum):
    """What the timed forwards are fed with."""

    random = "random"
    dataset = "dataset"


class Scope(Enum):
    """What a timed call is: the model alone, or raw rows in and answers out."""

    model = "model"
    end_to_end = "end_to_end"


class Start(Enum):
    """How a fresh worker comes to be: forked from a template that has imported, or started anew."""

    fork = "fork"
    spawn = "spawn"


class Scenario(Enum):
    """One call after the other; as much as possible; or requests that arrive by themselves."""

    latency = "latency"
    throughput = "throughput"
    server = "server"


class ArrivalKind(Enum):
    """When requests arrive: by chance at a mean rate, or at equal distances."""

    poisson = "poisson"
    constant = "constant"


class Objective(Enum):
    """What Optuna looks at, in the order of `hydra.sweeper.direction`; see optbench.objectives."""

    samples_per_second = "samples_per_second"
    p95_seconds = "p95_seconds"
    speedup = "speedup"
    quality_loss = "quality_loss"
    size_bytes = "size_bytes"
    peak_memory_bytes = "peak_memory_bytes"


def at_least(key: str, value: float | None, least: float, unit: str = "") -> list[str]:
    """A problem if `value` is given and below `least`, or without end."""
    if value is None or least <= value < math.inf:
        return []
    return [f"{key} must be >= {least:g}{unit}{unbounded(value)}, got {shown(value)}; give {least:g} or more"]


def positive(key: str, value: float | None) -> list[str]:
    """A problem if `value` is given and not a finite number above 0."""
    if value is None or 0 < value < math.inf:
        return []
    return [f"{key} must be > 0{unbounded(value)}, got {shown(value)}; leave it out or give more"]


def unbounded(value: float) -> str:
    """What is required beside a bound of a number that has no end, or is none."""
    return "" if isinstance(value, int) or math.isfinite(value) else " and finite"


def shown(value: float) -> str:
    """A number as it was given: whole ones may have more digits than a float holds."""
    return str(value) if isinstance(value, int) else f"{value:g}"


@dataclass
class ServerConfig(Component):
    """The load of `measure.scenario=server`; a request is one forward of batch_size rows.

    bound_seconds: what the percentile of the latency may be, counted from the intended arrival; null
    takes five times the baseline's mean latency. percentile: which one; 0.95 is p95.
    arrivals: poisson or constant. requests: in one stream.
    rates: offer exactly these requests per second; null looks for the highest rate within the bound.
    budget_seconds: wall clock of the search, starts included; never less than `replicates` take.
    """

    bound_seconds: float | None = None
    percentile: float = 0.95
    arrivals: ArrivalKind = ArrivalKind.poisson
    requests: int = 300
    rates: list[float] | None = None
    budget_seconds: float = 180.0

    def problems(self) -> list[str]:
        """Ranges."""
        found = [
            *at_least("budget_seconds", self.budget_seconds, 0),
            *at_least("requests", self.requests, 1),
            *positive("bound_seconds", self.bound_seconds),
        ]
        if not 0.5 <= self.percentile < 1:
            found.append(f"percentile must lie between 0.5 and 1, got {self.percentile:g}; p95 is 0.95")
        if self.rates is not None and (not self.rates or not all(0 < rate < math.inf for rate in self.rates)):
            found.append(f"rates must hold requests per second > 0, got {self.rates}; null searches")
        return found


def fewest_requests(percentile: float) -> int:
    """Requests of a stream of which enough count for a percentile."""
    from optbench.measure import server  # numpy and scipy, which a help page can do without

    return server.fewest_requests(percentile)


@register("measure", "measure")
@dataclass
class MeasureConfig(Component):
    """How speed is measured; defaults are those of `measure=standard`.

    scenario: latency (one call after the other), throughput (the same, read as samples per second), or
    server (then also requests that arrive by themselves, see `server`).
    processes: of each variant, computing at the same time; only for throughput.
    scope: model times forwards (or generations) over inputs made beforehand; end_to_end times calls that
    take raw rows of the dataset as they are, encode them, run the model and make answers of its outputs.
    inputs: random token ids, or texts of the dataset cut and padded to the length.
    replicates, max_replicates: fewest and most pairs of fresh worker processes.
    precision: stop when the speed-up is known to this relative half-width.
    budget_seconds: wall clock of the timing, starts included; never less than `replicates` take.
    duration_seconds: time each variant for so long in all instead, in exactly `replicates` replicates.
    warmup_calls: fewest calls before timing. warmup_seconds: most time they may take.
    replicate_seconds, block_seconds: length of a replicate, and of a block of calls of one variant.
    start: how workers come to be. wait_policy: how a runtime's threads wait for work.
    priority: raised lets workers go before all other work, so that neighbours disturb less; it needs root
    or CAP_SYS_NICE and is left out without. normal leaves it alone.
    timeout_seconds: a worker that does not answer for so long is ended.
    cold_start: start each variant once in a fresh interpreter and report its load time and memory.
    """

    scenario: Scenario = Scenario.latency
    processes: int = 1
    server: ServerConfig = field(default_factory=ServerConfig)
    scope: Scope = Scope.model
    inputs: InputSource = InputSource.random
    replicates: int = 5
    max_replicates: int = 20
    precision: float = 0.02
    budget_seconds: float = 60.0
    duration_seconds: float | None = None
    warmup_calls: int = 10
    warmup_seconds: float = 5.0
    replicate_seconds: float = 1.5
    block_seconds: float = 0.025
    start: Start = Start.fork
    wait_policy: WaitPolicy = WaitPolicy.runtime
    priority: Priority = Priority.raised
    timeout_seconds: float = 600.0
    cold_start: bool = True

    def problems(self) -> list[str]:
        """Ranges, the order of the replicate counts, and streams too short for their percentile."""
        found = [
            *at_least("processes", self.processes, 1),
            *at_least("replicates", self.replicates, 1),
            *at_least("warmup_calls", self.warmup_calls, 1),
            *at_least("warmup_seconds", self.warmup_seconds, 0),
            *at_least("budget_seconds", self.budget_seconds, 0),
            *at_least("replicate_seconds", self.replicate_seconds, 0.01),
            *at_least("block_seconds", self.block_seconds, 0.001),
            *at_least("duration_seconds", self.duration_seconds, 0.01),
            *at_least("timeout_seconds", self.timeout_seconds, 1),
        ]
        if not 0 < self.precision < 1:
            found.append(
                f"precision must lie between 0 and 1, got {self.precision:g}; 0.02 asks for "
                "an interval of +-2%"
            )
        if self.processes > 1 and self.scenario is not Scenario.throughput:
            found.append(
                f"processes must be 1 for scenario={self.scenario.value}, got {self.processes}; "
                "use measure.scenario=throughput"
            )
        if self.scenario is Scenario.server and 0.5 <= self.server.percentile < 1:
            fewest = fewest_requests(self.server.percentile)
            if fewest > self.server.requests:
                found.append(
                    f"server.requests must be >= {fewest} for a percentile of "
                    f"{self.server.percentile:g}, got {self.server.requests}"
                )
        if self.scenario is Scenario.server and not hasattr(os, "mkfifo"):
            found.append("scenario must be latency or throughput here: a server needs named pipes (POSIX)")
        if self.max_replicates < self.replicates:
            found.append(
                f"max_replicates must be >= replicates ({self.replicates}), got "
                f"{self.max_replicates}; raise max_replicates or lower replicates"
            )
        return found


@register("quality", "quality")
@dataclass
class QualityConfig(Component):
    """Which rows are evaluated, with which metrics, and how much worse is still good enough.

    enabled: whether rows are evaluated at all.
    metrics: names, or paths of `evaluate` modules; null takes the task's own.
    max_eval_samples: evaluate a seeded sample of so many rows. skip_samples: leave out so many rows of the
    seeded order first, such as those that a search has looked at. batch_size: rows per forward pass; null
    takes 16, or 1 where an answer depends on the rows beside it (dynamic quantization, given artifacts).
    max_failed_share: with more rows that cannot be read or encoded there is no verdict.
    margin: how much of a metric that is a share may be lost, such as 0.01; each is then told to be not
    worse, worse, or undecided. Of accuracy it is the same setting as gates.max_accuracy_drop.
    reuse: take a variant's answers from an earlier run of the same files, rows, settings and versions.
    comparisons: of how many candidates this is one; a gate's limit is then one-sided 5% / comparisons, so
    that the best of them may be believed.
    """

    enabled: bool = True
    metrics: list[str] | None = None
    max_eval_samples: int | None = None
    skip_samples: int = 0
    batch_size: int | None = None
    margin: float | None = None
    max_failed_share: float = 0.01
    reuse: bool = True
    comparisons: int = 1

    def problems(self) -> list[str]:
        """Ranges, and metrics that cannot be asked for."""
        found = [
            *at_least("max_eval_samples", self.max_eval_samples, 1),
            *at_least("batch_size", self.batch_size, 1),
            *at_least("comparisons", self.comparisons, 1),
            *at_least("skip_samples", self.skip_samples, 0),
        ]
        if self.margin is not None and not 0 < self.margin < 1:
            found.append(f"margin must lie between 0 and 1, got {self.margin:g}; 0.01 allows one point")
        if not 0 <= self.max_failed_share < 1:
            found.append(f"max_failed_share must be a share below 1, got {self.max_failed_share:g}")
        if self.metrics is not None and not self.metrics:
            found.append(
                "metrics must name at least one metric, got []; leave it out for the task's own, "
                "or skip the evaluation with quality=none"
            )
        return found


@dataclass
class GatesConfig(Component):
    """What the candidate must hold to ship; a gate that is null is not asked.

    min_speedup: how much faster. max_p95_seconds: of a call. min_requests_per_second: capacity within
    measure.server.bound_seconds. max_accuracy_drop: the margin of non-inferiority, as a share: 0.01 is
    one point. max_size_bytes: of the weights. max_peak_rss_bytes: of a cold start.
    accept_poor: let gates on time pass or fail although the machine was disturbed (grade poor); without
    it they cannot tell then.
    """

    min_speedup: float | None = None
    max_p95_seconds: float | None = None
    min_requests_per_second: float | None = None
    max_accuracy_drop: float | None = None
    max_size_bytes: int | None = None
    max_peak_rss_bytes: int | None = None
    accept_poor: bool = False

    def problems(self) -> list[str]:
        """Bounds that nothing could ever meet or miss."""
        bounds = {key: value for key, value in vars(self).items() if key != "accept_poor"}
        found = [problem for key, value in bounds.items() for problem in positive(key, value)]
        if self.max_accuracy_drop is not None and self.max_accuracy_drop >= 1:
            found.append(f"max_accuracy_drop must be a share below 1, got {self.max_accuracy_drop:g}")
        return found


@dataclass
class RunLimits(Component):
    """What one run, or one point of a sweep, may take.

    timeout_seconds: wall clock of all its stages, waiting for other runs on this host included; it then
    fails with what it has measured, and a sweep goes on. null is without limit.
    """

    timeout_seconds: float | None = None

    def problems(self) -> list[str]:
        """Ranges."""
        return at_least("timeout_seconds", self.timeout_seconds, 1)


@register("tune", "tune")
@dataclass
class TuneConfig(Component):
    """A search for the fastest candidate that is not worse: a sweep of short screens, then the best in full.

    budget_seconds: wall clock of all. screen_share: of it for the screens and repairs. finalists: how many
    are measured in full, with `measure` and `quality`, on rows that no screen has seen.
    repairs: how many of the recipes that are faster than all others but too bad are mended, by leaving
    the parts of the graph in floating point that do most harm. repair_rows: rows to find those parts with.
    """

    budget_seconds: float = 900.0
    screen_share: float = 0.6
    finalists: int = 3
    repairs: int = 1
    repair_rows: int = 32
    measure: MeasureConfig = MISSING
    quality: QualityConfig = MISSING

    def problems(self) -> list[str]:
        """Ranges."""
        found = [
            *at_least("budget_seconds", self.budget_seconds, 1),
            *at_least("finalists", self.finalists, 1),
            *at_least("repairs", self.repairs, 0),
            *at_least("repair_rows", self.repair_rows, 1),
        ]
        if not 0 < self.screen_share < 1:
            found.append(f"screen_share must lie between 0 and 1, got {self.screen_share:g}")
        return found


@dataclass
class Variant(Component):
    """One side of the comparison: what is run, and from which files.

    artifact: an existing directory (ONNX or checkpoint) to measure as it is, instead of preparing one.
    threads: of this variant; null takes those of the run.
    """

    backend: Backend = MISSING
    quantization: Quantization = MISSING
    graph: Graph = MISSING
    artifact: str | None = None
    threads: int | None = None

    def problems(self) -> list[str]:
        """Thread count, and preparation steps that an existing artifact rules out."""
        found = at_least("threads", self.threads, 1)
        if self.artifact is not None and self.quantization.recipe() is not None:
            found.append(
                "artifact is measured as it is, so quantization must be none; "
                "drop the quantization or the artifact"
            )
        if self.artifact is not None and self.graph.recipe() is not None:
            found.append(
                f"artifact is measured as it is, so graph must not be {self.graph.level}, which rewrites "
                "files; drop the graph or the artifact"
            )
        return found


@register("baseline", "baseline")
@dataclass
class BaselineConfig(Variant):
    """The variant that the candidate is held against."""


@dataclass
class RunConfig(Component):
    """Everything that decides a run. The candidate's parts stand at the top level.

    artifact: an existing directory to measure as the candidate, instead of preparing one.
    threads: of each variant; auto follows the affinity mask and the cgroup quota.
    batch_size, input_length: shape of the timed inputs, in rows and tokens.
    batch_sizes, input_lengths: points of a grid, with -m sweep=grid.
    seed: of inputs, row order, block order and resampling.
    objectives: what a sweep's sampler looks at; hydra.sweeper.direction says which way each is better.
    tracking: where the result is logged once it is there.
    tune: makes a sweep a search for the best candidate (+experiment=tune).
    resume: directory of an earlier sweep; points that it finished are taken over instead of measured.
    results_url: an fsspec URL, such as s3://bucket/runs, below which each finished run directory is copied.
    run: what a run may take.
    """

    model: Model = MISSING
    task: Task = MISSING
    dataset: Dataset = MISSING
    baseline: BaselineConfig = MISSING
    backend: Backend = MISSING
    quantization: Quantization = MISSING
    graph: Graph = MISSING
    artifact: str | None = None
    measure: MeasureConfig = MISSING
    quality: QualityConfig = MISSING
    gates: GatesConfig = field(default_factory=GatesConfig)
    threads: int | str = "auto"
    batch_size: int = 1
    input_length: int = 32
    batch_sizes: list[int] | None = None
    input_lengths: list[int] | None = None
    seed: int = 0
    objectives: list[Objective] = field(
        default_factory=lambda: [Objective.samples_per_second, Objective.p95_seconds]
    )
    tracking: Tracking = field(default_factory=Tracking)
    tune: TuneConfig | None = None
    resume: str | None = None
    results_url: str | None = None
    run: RunLimits = field(default_factory=RunLimits)

    def problems(self) -> list[str]:
        """Shape, threads and seed, and lists that only a sweep can walk."""
        found = [
            *at_least("batch_size", self.batch_size, 1),
            *at_least("input_length", self.input_length, 1),
            *at_least("seed", self.seed, 0),
            *at_least("threads", self.threads if isinstance(self.threads, int) else None, 1),
        ]
        if isinstance(self.threads, str) and self.threads != "auto":
            found.append(
                f"threads must be a number or auto, got {self.threads!r}; auto follows the "
                "affinity mask and the cgroup quota"
            )
        if self.resume is not None and not Path(self.resume).is_dir():
            found.append(f"resume must be the directory of an earlier sweep, got {self.resume}; it is none")
        found += url_problems("results_url", self.results_url)
        scenario = self.measure.scenario
        if self.gates.min_requests_per_second is not None and scenario is not Scenario.server:
            found.append(
                "gates.min_requests_per_second must go with measure.scenario=server, got scenario="
                f"{scenario.value}; set measure=server"
            )
        if self.tune is not None and self.quality.margin is None:
            found.append("quality.margin must be set for a search: what may be lost, such as 0.01")
        if self.dataset.streaming and self.quality.skip_samples:
            found.append("quality.skip_samples must be 0 with dataset.streaming=true: a stream has no order")
        if self.dataset.streaming and self.quality.max_eval_samples is None:
            found.append(
                "quality.max_eval_samples must be set with dataset.streaming=true: so many rows of the "
                "stream are drawn and kept; set it with quality.max_eval_samples=5000"
            )
        margins = {self.quality.margin, self.gates.max_accuracy_drop} - {None}
        if len(margins) > 1:
            found.append(
                f"quality.margin={self.quality.margin:g} and gates.max_accuracy_drop="
                f"{self.gates.max_accuracy_drop:g} are one and the same setting; give one of them"
            )
        for key, values in (
            ("batch_sizes", self.batch_sizes),
            ("input_lengths", self.input_lengths),
        ):
            for value in values or []:
                found += at_least(key, value, 1)
        return found + [problem for problem in self.candidate.problems() if "threads" not in problem]

    @property
    def candidate(self) -> Variant:
        """The candidate's parts as a variant, to be handled like the baseline."""
        return Variant(self.backend, self.quantization, self.graph, self.artifact)

    @property
    def variants(self) -> dict[str, Variant]:
        """Both sides by name, the baseline first."""
        return {"baseline": self.baseline, "candidate": self.candidate}


def register_run_schema() -> None:
    """Store `RunConfig` as the schema that conf/config.yaml starts from."""
    ConfigStore.instance().store(name="run_schema", node=RunConfig, replace=True)
