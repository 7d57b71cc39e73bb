"""Everything that decides a run."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import ClassVar

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

from optbench.components import (
    Backend,
    Component,
    Dataset,
    Graph,
    Model,
    Quantization,
    Task,
    component_name,
    register,
)
from optbench.config.measure import InputSource, MeasureConfig, Scenario, Scope
from optbench.config.quality import GatesConfig, QualityConfig
from optbench.config.ranges import at_least
from optbench.results.remote import url_problems
from optbench.tracking.tracker import Tracking


class Objective(Enum):
    """What Optuna looks at, in the order of `hydra.sweeper.direction`; see optbench.search.objectives."""

    samples_per_second = "samples_per_second"
    p95_seconds = "p95_seconds"
    speedup = "speedup"
    quality_loss = "quality_loss"
    size_bytes = "size_bytes"
    peak_memory_bytes = "peak_memory_bytes"


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

    unquantized: ClassVar[str] = "quant=none"
    """What chooses no quantization for this side; what a run quantizes with unless told is not none."""

    def title(self, made_as: str | None = None) -> str:
        """Runtime and quantization in a few words; of given files the name of their directory.

        made_as: the quantization that given files are known to have; null where nothing is known.
        """
        if self.artifact is None:
            return " ".join(filter(None, (self.backend.label(), self.quantization.label())))
        name = Path(os.path.normpath(Path(self.artifact).expanduser().absolute())).name
        if made_as is None:
            return f"{self.backend.label()}, artifact {name}"
        known = [] if made_as == "none" else [made_as]
        return " ".join([self.backend.label(), *known, f"(artifact {name})"])

    def problems(self) -> list[str]:
        """Thread count, and preparation steps that an existing artifact rules out."""
        found = at_least("threads", self.threads, 1)
        if self.artifact is not None and self.quantization.recipe() is not None:
            found.append(
                f"artifact={self.artifact} is measured as it is, so nothing is quantized, got "
                f"{component_name(self.quantization)}; add {self.unquantized}"
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

    unquantized: ClassVar[str] = "quant@baseline.quantization=none"


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
        if self.input_length != RunConfig.input_length and self.measure.scope is Scope.end_to_end:
            found.append(
                "input_length must be left out with measure.scope=end_to_end, whose calls take rows as they "
                f"are, got {self.input_length}; drop one of the two"
            )
        if self.gates.max_accuracy_drop is not None and not self.quality.enabled:
            found.append(
                f"gates.max_accuracy_drop={self.gates.max_accuracy_drop:g} must go with an evaluation, and "
                "quality.enabled is false (quality=none); drop one of the two"
            )
        if len(set(self.margins.values())) > 1:
            found.append(
                f"quality.margin={self.quality.margin:g} and gates.max_accuracy_drop="
                f"{self.gates.max_accuracy_drop:g} are one and the same setting; give one of them"
            )
        for key, values in self.grid.items():
            for value in values:
                found += at_least(f"{key}s", value, 1)
        return found + self.candidate.problems()

    @property
    def grid(self) -> dict[str, list[int]]:
        """The values of a grid by the key that a point has one of; empty where there is no grid."""
        return {"batch_size": self.batch_sizes or [], "input_length": self.input_lengths or []}

    @property
    def margins(self) -> dict[str, float]:
        """What may be lost of a quality metric, by the key that says so."""
        given = {
            "gates.max_accuracy_drop": self.gates.max_accuracy_drop,
            "quality.margin": self.quality.margin,
        }
        return {key: value for key, value in given.items() if value is not None}

    @property
    def needs_rows(self) -> bool:
        """Whether any row of the dataset is read: to be evaluated, or to be timed."""
        timed = self.measure.inputs is InputSource.dataset or self.measure.scope is Scope.end_to_end
        return self.quality.enabled or timed

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
