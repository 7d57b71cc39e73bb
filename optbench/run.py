"""One run, from a checked config to its result: the only place that knows the order of the steps."""

from __future__ import annotations

import contextlib
import shutil
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from optbench import assemble, components, host, serving
from optbench.answers import Answered, AnswerStore
from optbench.artifacts import ArtifactStore, CalibrationRows
from optbench.checkpoint import read_spec
from optbench.components import Artifact, LoadOptions, ModelSpec, Priority, Quantization, Task
from optbench.config import InputSource, RunConfig, Scenario, Scope, Start, Variant
from optbench.crew import Crew, Templates
from optbench.deadline import Deadline, OutOfTime
from optbench.draft import Draft, refused
from optbench.end_to_end import WholeCalls
from optbench.environment import available_cores
from optbench.errors import ConfigError, OptbenchError, TimedOut, Unsupported, WorkerError
from optbench.examples import ENVIRONMENT, Opened
from optbench.group import WorkerGroup
from optbench.locations import LOG_FILE, cache_directory
from optbench.measure.procedure import Progress
from optbench.outputs import Evaluation
from optbench.process import Child, no_child_left, start
from optbench.quality.margin import with_outcomes
from optbench.records import KernelReport, RunResult, replace
from optbench.timing import Timing
from optbench.verdict import judge
from optbench.worker import Assignment, LoadReport, RemoteWorker

PREDICTIONS_FILE = "predictions.parquet"
VERDICT_CODES = {"NOT ASKED": 0, "SHIP": 0, "DO NOT SHIP": 1, "INCONCLUSIVE": 4}
EVALUATION_BATCH = 16
"""Figures in docs/decisions/0004."""
REUSED = "its answers are those of an earlier run of the same files, rows, settings and versions"
COLD_CALLS = 5
"""Calls after the first one that a cold start makes before its peak memory is read."""


class Display(Protocol):
    """Where a run says what it is doing."""

    def stage(self, title: str) -> contextlib.AbstractContextManager[None]:
        """Show a stage while it lasts."""

    def progress(self, progress: Progress) -> None:
        """Show how far the timing has come."""


@dataclass(frozen=True)
class Outcome:
    """What a run leaves: its result, and the code and objectives derived from it."""

    result: RunResult
    directory: Path
    error: BaseException | None

    @property
    def exit_code(self) -> int:
        """The error's code; for a complete run 0, 1 if a gate fails, 4 if one is undecided."""
        if self.error is None:
            verdict = self.result.verdict
            return VERDICT_CODES[verdict.decision] if verdict is not None else 0
        return self.error.exit_code if isinstance(self.error, OptbenchError) else 130

    @property
    def nothing_measured(self) -> bool:
        """Whether the run ended before it had anything worth keeping."""
        return not self.result.variants


def run(
    config: RunConfig,
    directory: Path,
    display: Display,
    templates: Templates | None = None,
    command: Sequence[str] | None = None,
) -> Outcome:
    """Run `config`; `result.json` in `directory` grows stage by stage. Raises nothing foreseeable.

    templates: kept by the caller for further runs; by default the run has its own. command: what the
    result says it was started with; by default this process's own command line.
    """
    draft = Draft(config, directory, command)
    deadline = Deadline(config.run.timeout_seconds)
    error: BaseException | None = None
    try:
        components.check(config)
        with deadline, no_child_left(), contextlib.ExitStack() as stack:
            Stages(config, draft, display, stack, templates, deadline).all()
        draft.update(status="ok")
    except (OptbenchError, KeyboardInterrupt, OutOfTime) as caught:
        error = caught
    except OSError as caught:
        error = WorkerError(refused(caught.filename or directory, caught))
    except Exception as caught:  # a sweep must go on, and what was measured must be kept
        reason = f"{type(caught).__name__}: {caught}; this is a defect of optbench, please report it"
        error = WorkerError(reason, traceback.format_exc())
    deadline.end()
    if deadline.expired and isinstance(error, WorkerError | OutOfTime):
        error = TimedOut(timeout_message(deadline.seconds or 0.0, draft.stage))
    if error is not None:
        draft.fail(error)
    try:
        draft.finish()
    except WorkerError as caught:
        error = error if isinstance(error, KeyboardInterrupt) else caught
        draft.fail(error)
    return Outcome(draft.result, directory, error)


def timeout_message(seconds: float, stage: str) -> str:
    """Why a run was ended, and what to do."""
    return (
        f"the run was not done within run.timeout_seconds={seconds:g} and was ended in its stage "
        f"'{stage}'; raise run.timeout_seconds, or ask for less (measure.budget_seconds=, "
        "quality.max_eval_samples=)"
    )


class Stages:
    """The steps of a run in their order."""

    def __init__(
        self,
        config: RunConfig,
        draft: Draft,
        display: Display,
        stack: contextlib.ExitStack,
        templates: Templates | None = None,
        deadline: Deadline | None = None,
    ) -> None:
        self.deadline = deadline or Deadline(None)
        self.config = config
        self.draft = draft
        self.display = display
        self.stack = stack
        self.kept_templates = templates
        self.log = draft.directory / LOG_FILE
        self.work = Path(stack.enter_context(working_directory(draft.directory)))
        self.store = ArtifactStore(cache_directory(), self.log)
        stack.callback(self.store.close)
        self.metrics: list[str] = []
        self.whole_calls: WholeCalls | None = None
        self.evaluation_seconds: dict[str, float] = {}

    def all(self) -> None:
        """Run every stage: what is timed alone on this machine, all else beside other runs."""
        with host.beside_others(self.waiting):
            crew, artifacts, examples, opened = self.prepare()
        for name in self.config.variants:
            self.start_once(name, crew, artifacts[name])
        if opened is not None and self.config.quality.enabled:
            with host.beside_others(self.waiting):
                self.answer(crew, examples)
        timing = Timing(self.config, self.draft, self.display)
        with host.timing_alone(self.waiting), self.stage("timing both, in turn", "timing"):
            timing.time(crew)
        timing.hold_against_noise()
        if self.config.measure.scenario is Scenario.server:
            served = self.stage("offering requests to both, in turn", "serving")
            with host.timing_alone(self.waiting), served:
                serving.serve(self.config, self.draft, self.display, crew, self.work, self.log)
        verdict = judge(self.draft.result, self.config.gates, self.config.quality.max_failed_share)
        self.draft.update(verdict=verdict)

    def prepare(self) -> tuple[Crew, dict[str, Artifact], Child, Opened | None]:
        """Everything that the variants read, and who makes their workers."""
        with self.stage("reading the model", "model"):
            spec = self.spec()
        with self.stage("reading the rows", "rows"):
            examples, opened = self.examples(spec)
        templates = self.templates()
        with self.stage("preparing the models", "preparation"):
            artifacts = {name: self.artifact(name, spec, examples) for name in self.config.variants}
            self.draft.add_notes(note for artifact in artifacts.values() for note in artifact.notes)
            crew = self.crew(artifacts, examples, templates)
            crew.wait_for_templates()
        return crew, artifacts, examples, opened

    def start_once(self, name: str, crew: Crew, artifact: Artifact) -> None:
        """The first start of a variant; a cold one is timed."""
        cold = self.config.measure.cold_start
        kind = "cold start" if cold else "start"
        place = host.timing_alone if cold else host.beside_others
        with place(self.waiting), self.stage(f"{kind} of the {name}", f"{kind} of the {name}"):
            self.first_start(name, crew, artifact)

    def answer(self, crew: Crew, examples: Child) -> None:
        """Both variants' answers to the same rows, and what they are worth."""
        for name in self.config.variants:
            with self.stage(f"evaluating the {name}", f"evaluation of the {name}"):
                self.evaluate(name, crew, examples)
        with self.stage("comparing the answers", "quality"):
            self.score(examples)

    def waiting(self) -> contextlib.AbstractContextManager[None]:
        """Shows that another run has this machine."""
        return self.stage("waiting for other runs on this machine", "waiting")

    @contextlib.contextmanager
    def stage(self, title: str, name: str) -> Iterator[None]:
        """Show a stage, note its seconds, and save what it found."""
        self.draft.stage = name
        self.deadline.check()
        begun = time.perf_counter()
        with self.display.stage(title):
            yield
        known = self.draft.result.stage_seconds
        seconds = known.get(name, 0.0) + time.perf_counter() - begun
        self.draft.update(stage_seconds={**known, name: seconds})
        if self.draft.result.variants:
            self.draft.save()

    def spec(self) -> ModelSpec:
        """The model's own facts, held against everything else. Raises ConfigError, Unsupported."""
        config = self.config
        spec = read_spec(config.model.resolve(), config.model.trust_remote_code)
        require_fit(config, spec)
        for name, variant in config.variants.items():
            self.note(name, variant.quantization.cautions())
            self.note(name, variant.backend.cautions_about(variant.quantization))
        return spec

    def examples(self, spec: ModelSpec) -> tuple[Child, Opened | None]:
        """The process that owns the rows, and what it found; rows are read only if they are needed."""
        config = self.config
        from_rows = config.measure.inputs is InputSource.dataset
        whole = config.measure.scope is Scope.end_to_end
        needs_rows = config.quality.enabled or from_rows or whole
        child = self.reader(spec, needs_rows)
        opened = None
        if needs_rows:
            metrics = config.quality.metrics if config.quality.enabled else []
            quality = config.quality
            opened = child.call("open", quality.max_eval_samples, metrics, quality.skip_samples)
            self.metrics = opened.metrics
            self.draft.update(dataset=opened.record, notes=[*self.draft.result.notes, *opened.notes])
            child.call("write_rows", self.work / "rows.npz")
        shape = (config.batch_size, config.input_length)
        child.call("write_feeds", self.work / "feeds.npz", shape, from_rows)
        if whole:
            self.whole_calls = WholeCalls(config.task, spec, child.call("raw_batches", config.batch_size))
        return child, opened

    def reader(self, spec: ModelSpec, needs_rows: bool) -> Child:
        """The process that owns the rows: that of the point before, if it was asked for the same."""
        config = self.config
        arguments = (config.task, config.dataset, spec, config.seed)

        def begin(log: Path) -> Child:
            child = start(
                "dataset",
                "optbench.examples:ExampleHost",
                *arguments,
                environment=ENVIRONMENT,
                log=log,
                is_shared=self.kept_templates is not None,
            )
            try:
                child.receive()
            except BaseException:
                child.close()
                raise
            return child

        if self.kept_templates is not None:
            return self.kept_templates.reader(repr((*arguments, needs_rows)), begin)
        child = begin(self.log)
        self.stack.callback(child.close)
        return child

    def templates(self) -> Templates | None:
        """Template processes, importing while the models are prepared."""
        if self.config.measure.start is Start.spawn:
            return None
        templates = self.kept_templates
        if templates is None:
            templates = Templates(self.log)
            self.stack.callback(templates.close)
        for name, variant in self.config.variants.items():
            if not variant.backend.may_fork():
                continue
            templates.get(name, variant.backend.imports, self.environment(variant))
        return templates

    def artifact(self, name: str, spec: ModelSpec, examples: Child) -> Artifact:
        """The files of one variant, prepared or found in the cache."""
        variant = self.config.variants[name]
        backend = variant.backend
        if variant.artifact is not None:
            return self.store.existing(Path(variant.artifact).expanduser(), backend.artifact_formats)
        quantization = variant.quantization
        if quantization.target_format is None:
            return self.source(variant, spec)
        rows = self.calibration(quantization, examples)  # first, as an export takes long
        return self.store.quantized(self.source(variant, spec), quantization, rows)

    def source(self, variant: Variant, spec: ModelSpec) -> Artifact:
        """See prepared_source."""
        return prepared_source(self.store, self.config.task, variant, spec)

    def calibration(self, quantization: Quantization, examples: Child) -> CalibrationRows | None:
        """Encoded rows for a quantization to look at, none of which is evaluated."""
        count = quantization.calibration_rows()
        if not count:
            return None
        path = self.work / f"calibration-{count}.npz"
        drawn = examples.call("write_calibration", path, count)
        self.draft.add_notes(drawn.notes)
        return CalibrationRows(path, drawn.fingerprint)

    def threads(self, variant: Variant) -> int:
        """Threads of each process of a variant: its own, the run's, or its share of the cores."""
        if variant.threads is not None:
            return variant.threads
        if isinstance(self.config.threads, int):
            return self.config.threads
        return max(1, available_cores() // self.config.measure.processes)

    def environment(self, variant: Variant) -> dict[str, str]:
        """Environment of a variant's workers; everything they load is local by then."""
        measure = self.config.measure
        needed = variant.backend.environment(self.threads(variant), measure.wait_policy)
        return {"HF_HUB_OFFLINE": "1", **needed}

    def crew(self, artifacts: Mapping[str, Artifact], examples: Child, templates: Templates | None) -> Crew:
        """Makes the workers; also starts the result's variants."""
        measure = self.config.measure
        assignments = {}
        for name, variant in self.config.variants.items():
            options = LoadOptions(
                threads=self.threads(variant),
                wait_policy=measure.wait_policy,
                graph_level=variant.graph.session_level,
                model_class=self.config.task.model_class,
                priority=measure.priority,
                quantization=variant.quantization,
                new_tokens=self.config.task.generated_tokens,
                trust_remote_code=self.config.model.trust_remote_code,
            )
            assignments[name] = Assignment(
                variant.backend,
                artifacts[name],
                options,
                self.work / "feeds.npz",
                self.environment(variant),
            )
        return Crew(
            assignments, templates, self.log, measure.timeout_seconds, measure.processes, self.whole_calls
        )

    def first_start(self, name: str, crew: Crew, artifact: Artifact) -> None:
        """What a variant is; in a fresh interpreter also its load, first call, and the memory they take."""
        cold = self.config.measure.cold_start
        worker = crew.spawned(name) if cold else crew.fresh(name)
        try:
            running = worker.settle(COLD_CALLS)
            self.require_threads(name, worker.report)
            found = assemble.variant_result(self.config.variants[name], artifact, worker.report)
            if cold:
                found = replace(found, cold_start=assemble.cold_start(worker.report, running))
            self.draft.update(variants={**self.draft.result.variants, name: found})
            self.note(name, worker.report.cautions)
            if self.may_be_quantized(name):
                self.draft.variant(name, kernels=kernels_or_reason(worker))
        finally:
            worker.close()

    def may_be_quantized(self, name: str) -> bool:
        """Whether a variant claims to compute in integers, or nobody knows."""
        variant = self.config.variants[name]
        return variant.artifact is not None or variant.quantization.recipe() is not None

    def evaluate(self, name: str, crew: Crew, examples: Child) -> None:
        """Run all rows through a variant; the outputs wait in the working directory.

        One thread in each process, and a process on each core: it computes the same answers, sooner.
        """
        plan = self.evaluation(name, examples)

        def compute() -> tuple[float, list[str]]:
            workers = WorkerGroup.of(
                self.evaluators(), lambda: crew.fresh(name, threads=1, priority=Priority.normal)
            )
            try:
                return workers.evaluate(plan), workers.cautions()
            finally:
                workers.close()

        if self.config.quality.reuse:
            facts = {key: self.draft.result.environment[key] for key in ("machine", "versions")}
            store = AnswerStore(cache_directory(), facts)
            answered = store.answer(crew.assignment(name), plan, self.evaluators(), compute)
        else:
            answered = Answered(*compute(), before=False)
        self.evaluation_seconds[name] = answered.seconds
        self.note(name, answered.cautions)
        if answered.before:
            self.note(name, [REUSED])

    def note(self, name: str, cautions: Sequence[str]) -> None:
        """Say aloud what a runtime did otherwise than asked."""
        self.draft.add_notes(f"{name}: {caution}" for caution in cautions)

    def evaluation(self, name: str, examples: Child) -> Evaluation:
        """What a variant's evaluation reads and writes."""
        padding: dict[str, int] = examples.call("padding")
        rows, size = self.work / "rows.npz", self.evaluation_batch(self.config.variants[name])
        return Evaluation(self.config.task, rows, self.work / name, size, padding)

    def evaluation_batch(self, variant: Variant) -> int:
        """Rows that are evaluated together: sorted by length, a batch of them is hardly padded."""
        if self.config.quality.batch_size is not None:
            return self.config.quality.batch_size
        alone = variant.quantization.answers_depend_on_batch or variant.artifact is not None
        return 1 if alone else self.config.task.evaluation_batch_size or EVALUATION_BATCH

    def evaluators(self) -> int:
        """Processes that share the rows."""
        rows = self.draft.result.dataset
        return min(available_cores(), max(1, rows.rows if rows is not None else 1))

    def require_threads(self, name: str, report: LoadReport) -> None:
        """Raise WorkerError if a runtime did not take the thread count it was given."""
        wanted = self.threads(self.config.variants[name])
        effective = report.settings["threads"]
        if effective != wanted:
            raise WorkerError(
                f"the {name} runs with {effective} threads although {wanted} were set; the "
                "comparison would not be fair"
            )

    def score(self, examples: Child) -> None:
        """Metrics of both variants on the same rows."""
        quality = examples.call(
            "score",
            {name: self.evaluation(name, examples) for name in self.config.variants},
            self.evaluators(),
            self.metrics,
            self.draft.directory / PREDICTIONS_FILE,
            self.config.quality.comparisons,
        )
        margin = self.config.quality.margin or self.config.gates.max_accuracy_drop
        quality = with_outcomes(quality, margin)
        batches = {name: self.evaluation_batch(one) for name, one in self.config.variants.items()}
        self.draft.update(
            quality=replace(
                quality, evaluation_seconds=self.evaluation_seconds, evaluation_batch_sizes=batches
            )
        )


def prepared_source(store: ArtifactStore, task: Task, variant: Variant, spec: ModelSpec) -> Artifact:
    """What a variant's quantization reads: the checkpoint, exported and rewritten as far as needed."""
    backend, quantization = variant.backend, variant.quantization
    artifact = store.checkpoint(spec)
    if (quantization.source_format or backend.artifact_formats[0]) == "onnx":
        opset = getattr(backend, "opset", None)
        artifact = store.exported(artifact, task.export_task, opset, spec.trust_remote_code)
    if variant.graph.recipe() is not None:
        artifact = store.optimized(artifact, variant.graph)
    return artifact


def require_fit(config: RunConfig, spec: ModelSpec) -> None:
    """Raise ConfigError, MissingExtra or Unsupported if a config does not fit the model or itself."""
    generated = config.task.generated_tokens or 0
    if config.task.has_length and spec.max_length is not None:
        longest = spec.max_length - generated
        if config.input_length > longest:
            new = f" less the {generated} new tokens" if generated else ""
            raise ConfigError(
                f"input_length must not exceed {longest}, the longest input of this model{new}, "
                f"got {config.input_length}; set it with input_length={max(1, longest)}"
            )
    if reasons := objections(config, spec):
        raise Unsupported("\n".join(reasons))


def objections(config: RunConfig, spec: ModelSpec) -> list[str]:
    """Why the parts of a config do not fit each other or the model. Raises MissingExtra."""
    reasons = [config.task.supports(spec)]
    if config.measure.scope is Scope.end_to_end:
        reasons.append(config.task.refuses_pipeline())
    for variant in config.variants.values():
        backend, quantization, graph = variant.backend, variant.quantization, variant.graph
        for part in (backend, quantization):
            if missing := part.missing_extra():
                raise missing
        if config.task.generated_tokens and not backend.can_generate:
            name = components.component_name(backend)
            reasons.append(f"backend={name} cannot generate tokens, and this task does; choose another")
        reasons += [
            backend.supports(spec, graph),
            graph.supports(spec, backend),
            quantization.supports(spec, backend),
        ]
    return list(dict.fromkeys(reason for reason in reasons if reason))


def kernels_or_reason(worker: RemoteWorker) -> KernelReport | None:
    """What runs in integer kernels; a look that fails costs its answer and not the run."""
    try:
        return worker.kernels()
    except OptbenchError as error:
        return KernelReport(0, 0, reason=f"the look at the kernels failed: {error}")


@contextlib.contextmanager
def working_directory(directory: Path) -> Iterator[Path]:
    """A directory for files that only this run's processes exchange; gone at the end."""
    place = directory / ".work"
    shutil.rmtree(place, ignore_errors=True)  # of a run that was killed here before
    place.mkdir(mode=0o700, parents=True)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
