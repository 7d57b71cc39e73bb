"""Everything that the variants of a run read, and who makes their workers."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from optbench.artifacts.store import ArtifactStore, CalibrationRows
from optbench.checkpoint import read_spec
from optbench.components import Artifact, LoadOptions, ModelSpec, Priority, Quantization, Task
from optbench.config import InputSource, RunConfig, Scope, Start, Variant
from optbench.environment import available_cores
from optbench.locations import LOG_FILE, cache_directory
from optbench.processes.child import Child, start
from optbench.processes.crew import Crew, Templates
from optbench.processes.end_to_end import WholeCalls
from optbench.processes.examples import ENVIRONMENT, Opened
from optbench.processes.this_process import niceness
from optbench.processes.worker import Assignment
from optbench.stages.draft import Draft
from optbench.stages.fitting import require_fit

KEPT_NICE = (
    "optbench was started with niceness {}, so its workers keep it: measure.priority=raised goes before "
    "other work only where nobody asked to go behind it"
)


class Preparing:
    """Prepares the parts of a run in the order of its methods, and fills its draft with what it finds.

    work: directory for files that only this run's processes exchange; it goes when `stack` is closed.
    kept_templates: of the caller, for further runs; null where the run has its own.
    """

    def __init__(
        self,
        config: RunConfig,
        draft: Draft,
        stack: contextlib.ExitStack,
        kept_templates: Templates | None = None,
    ) -> None:
        self.config = config
        self.draft = draft
        self.stack = stack
        self.kept_templates = kept_templates
        self.log = draft.directory / LOG_FILE
        self.work = Path(stack.enter_context(working_directory(draft.directory)))
        self.store = ArtifactStore(cache_directory(), self.log)
        stack.callback(self.store.close)
        self.whole_calls: WholeCalls | None = None

    def spec(self) -> ModelSpec:
        """The model's own facts, held against everything else. Raises ConfigError, Unsupported."""
        config = self.config
        spec = read_spec(config.model.resolve(), config.model.trust_remote_code)
        require_fit(config, spec)
        for name, variant in config.variants.items():
            self.draft.add_cautions(name, variant.quantization.cautions())
            self.draft.add_cautions(name, variant.backend.cautions_about(variant.quantization))
        if config.measure.priority is not priority_of(config):
            self.draft.add_notes([KEPT_NICE.format(niceness())])
        return spec

    def examples(self, spec: ModelSpec) -> tuple[Child, Opened | None]:
        """The process that owns the rows, and what it found; rows are read only if they are needed."""
        config = self.config
        from_rows = config.measure.inputs is InputSource.dataset
        whole = config.measure.scope is Scope.end_to_end
        needs_rows = config.quality.enabled or from_rows or whole
        child = self._reader(spec, needs_rows)
        opened = None
        if needs_rows:
            metrics = config.quality.metrics if config.quality.enabled else []
            quality = config.quality
            opened = child.call("open", quality.max_eval_samples, metrics, quality.skip_samples)
            self.draft.update(dataset=opened.record, notes=[*self.draft.result.notes, *opened.notes])
            child.call("write_rows", self.work / "rows.npz")
        shape = (config.batch_size, config.input_length)
        child.call("write_feeds", self.work / "feeds.npz", shape, from_rows)
        if whole:
            self.whole_calls = WholeCalls(config.task, spec, child.call("raw_batches", config.batch_size))
        return child, opened

    def _reader(self, spec: ModelSpec, needs_rows: bool) -> Child:
        """The process that owns the rows: that of the point before, if it was asked for the same."""
        config = self.config
        arguments = (config.task, config.dataset, spec, config.seed)

        def begin(log: Path) -> Child:
            child = start(
                "dataset",
                "optbench.processes.examples:ExampleHost",
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
            if variant.backend.may_fork():
                templates.get(name, variant.backend.imports, self._environment(variant))
        return templates

    def artifacts(self, spec: ModelSpec, examples: Child) -> dict[str, Artifact]:
        """The files of each variant, prepared or found in the cache."""
        found = {
            name: self._artifact(variant, spec, examples) for name, variant in self.config.variants.items()
        }
        self.draft.add_notes(note for artifact in found.values() for note in artifact.notes)
        return found

    def _artifact(self, variant: Variant, spec: ModelSpec, examples: Child) -> Artifact:
        if variant.artifact is not None:
            return self.store.existing(Path(variant.artifact).expanduser(), variant.backend.artifact_formats)
        quantization = variant.quantization
        if quantization.target_format is None:
            return self.source(variant, spec)
        rows = self.calibration(quantization, examples)  # first, as an export takes long
        return self.store.quantized(self.source(variant, spec), quantization, rows)

    def source(self, variant: Variant, spec: ModelSpec) -> Artifact:
        """What the variant's quantization reads."""
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

    def crew(self, artifacts: Mapping[str, Artifact], templates: Templates | None) -> Crew:
        """Who makes the workers."""
        measure = self.config.measure
        assignments = {
            name: self._assignment(variant, artifacts[name]) for name, variant in self.config.variants.items()
        }
        return Crew(
            assignments, templates, self.log, measure.timeout_seconds, measure.processes, self.whole_calls
        )

    def _assignment(self, variant: Variant, artifact: Artifact) -> Assignment:
        """What the workers of a variant are told."""
        measure, task = self.config.measure, self.config.task
        options = LoadOptions(
            threads=threads_of(self.config, variant),
            wait_policy=measure.wait_policy,
            graph_level=variant.graph.session_level,
            model_class=task.model_class,
            priority=priority_of(self.config),
            quantization=variant.quantization,
            new_tokens=task.generated_tokens,
            trust_remote_code=self.config.model.trust_remote_code,
        )
        feeds = self.work / "feeds.npz"
        return Assignment(variant.backend, artifact, options, feeds, self._environment(variant))

    def _environment(self, variant: Variant) -> dict[str, str]:
        """Environment of a variant's workers; everything they load is local by then."""
        threads = threads_of(self.config, variant)
        needed = variant.backend.environment(threads, self.config.measure.wait_policy)
        return {"HF_HUB_OFFLINE": "1", **needed}


def threads_of(config: RunConfig, variant: Variant) -> int:
    """Threads of each process of a variant: its own, the run's, or its share of the cores."""
    if variant.threads is not None:
        return variant.threads
    if isinstance(config.threads, int):
        return config.threads
    return max(1, available_cores() // config.measure.processes)


def priority_of(config: RunConfig) -> Priority:
    """The priority of workers as configured; whoever started us behind other work (nice) meant it."""
    return Priority.normal if (niceness() or 0) > 0 else config.measure.priority


def prepared_source(store: ArtifactStore, task: Task, variant: Variant, spec: ModelSpec) -> Artifact:
    """What a variant's quantization reads: the checkpoint, exported and rewritten as far as needed."""
    backend, quantization = variant.backend, variant.quantization
    artifact = store.checkpoint(spec)
    if (quantization.source_format or backend.artifact_formats[0]) == "onnx":
        artifact = store.exported(artifact, task.export_task, backend.export_opset, spec.trust_remote_code)
    if variant.graph.recipe() is not None:
        artifact = store.optimized(artifact, variant.graph)
    return artifact


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
