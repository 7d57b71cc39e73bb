"""What both variants answer on the same rows, and what their answers are worth."""

from __future__ import annotations

from pathlib import Path

from optbench.artifacts.answers import Answered, AnswerStore
from optbench.components import Priority
from optbench.config import RunConfig, Variant
from optbench.environment import available_cores
from optbench.locations import cache_directory
from optbench.processes.child import Child
from optbench.processes.crew import Crew
from optbench.processes.group import WorkerGroup
from optbench.processes.outputs import Evaluation
from optbench.quality.margin import with_outcomes
from optbench.records import PREDICTIONS_FILE, replace
from optbench.stages.draft import Draft

EVALUATION_BATCH = 16
"""Figures in docs/decisions/0004."""
REUSED = "its answers are those of an earlier run of the same files, rows, settings and versions"


class Answering:
    """Runs the rows through each variant, then scores the answers; fills the draft of a run.

    examples: the process that owns the rows. work: where rows and outputs wait for it.
    """

    def __init__(self, config: RunConfig, draft: Draft, examples: Child, work: Path) -> None:
        self.config = config
        self.draft = draft
        self.examples = examples
        self.work = work
        self.seconds: dict[str, float] = {}

    def evaluate(self, name: str, crew: Crew) -> None:
        """Run all rows through a variant; the outputs wait in the working directory.

        One thread in each process, and a process on each core: it computes the same answers, sooner.
        """
        plan = self._plan(name)

        def compute() -> tuple[float, list[str]]:
            workers = WorkerGroup.of(
                self._processes(), lambda: crew.fresh(name, threads=1, priority=Priority.normal)
            )
            try:
                return workers.evaluate(plan), workers.cautions()
            finally:
                workers.close()

        if self.config.quality.reuse:
            facts = {key: self.draft.result.environment[key] for key in ("machine", "versions")}
            rows, model = self.draft.result.dataset, str(getattr(self.config.model, "path", ""))
            store = AnswerStore(cache_directory(), facts, model, None if rows is None else rows.rows)
            answered = store.answer(crew.assignment(name), plan, self._processes(), compute)
        else:
            answered = Answered(*compute(), before=False)
        self.seconds[name] = answered.seconds
        self.draft.add_cautions(name, answered.cautions)
        if answered.before:
            self.draft.add_cautions(name, [REUSED])

    def score(self, metrics: list[str]) -> None:
        """`metrics` of both variants on the same rows."""
        config = self.config
        quality = self.examples.call(
            "score",
            {name: self._plan(name) for name in config.variants},
            self._processes(),
            metrics,
            self.draft.directory / PREDICTIONS_FILE,
            config.quality.comparisons,
        )
        quality = with_outcomes(quality, config.quality.margin or config.gates.max_accuracy_drop)
        batches = {name: self._batch(one) for name, one in config.variants.items()}
        self.draft.update(
            quality=replace(quality, evaluation_seconds=self.seconds, evaluation_batch_sizes=batches)
        )

    def _plan(self, name: str) -> Evaluation:
        """What a variant's evaluation reads and writes."""
        padding: dict[str, int] = self.examples.call("padding")
        rows, size = self.work / "rows.npz", self._batch(self.config.variants[name])
        return Evaluation(self.config.task, rows, self.work / name, size, padding)

    def _batch(self, variant: Variant) -> int:
        """Rows that are evaluated together: sorted by length, a batch of them is hardly padded."""
        if self.config.quality.batch_size is not None:
            return self.config.quality.batch_size
        alone = variant.quantization.answers_depend_on_batch or variant.artifact is not None
        return 1 if alone else self.config.task.evaluation_batch_size or EVALUATION_BATCH

    def _processes(self) -> int:
        """Processes that share the rows."""
        rows = self.draft.result.dataset
        return min(available_cores(), max(1, rows.rows if rows is not None else 1))
