"""One run, from a checked config to its result: the only place that knows the order of the steps."""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from optbench.components import Artifact, check
from optbench.config import RunConfig, Scenario
from optbench.errors import ConfigError, OptbenchError, TimedOut, WorkerError
from optbench.judgement.verdict import judge
from optbench.measure.procedure import Progress
from optbench.processes import host
from optbench.processes.child import Child, no_child_left
from optbench.processes.crew import Crew, Templates
from optbench.processes.deadline import Deadline, OutOfTime
from optbench.processes.examples import Opened
from optbench.processes.termination import exit_code_of
from optbench.records import RunResult
from optbench.stages import serving
from optbench.stages.answering import Answering
from optbench.stages.draft import Draft, refused
from optbench.stages.fitting import require_files
from optbench.stages.preparing import Preparing
from optbench.stages.starting import first_start
from optbench.stages.timing import Timing

VERDICT_CODES = {"NOT ASKED": 0, "SHIP": 0, "DO NOT SHIP": 1, "INCONCLUSIVE": 4}


class Display(Protocol):
    """Where a run says what it is doing."""

    def begin(self, config: RunConfig, directory: Path) -> None:
        """Say what runs, and where its result will lie."""

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
        return exit_code_of(self.error)

    @property
    def left_nothing(self) -> bool:
        """Whether there is nothing to keep, nor a failure to look into: bad input, or an early interrupt."""
        if self.error is None or not self.nothing_measured:
            return False
        return isinstance(self.error, KeyboardInterrupt) or self.exit_code == ConfigError.exit_code

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
        with deadline, no_child_left(), contextlib.ExitStack() as stack:
            check(config)
            require_files(config)
            display.begin(config, directory)
            preparing = Preparing(config, draft, stack, templates)
            Stages(config, draft, display, preparing, deadline).all()
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
        preparing: Preparing,
        deadline: Deadline,
    ) -> None:
        self.config = config
        self.draft = draft
        self.display = display
        self.preparing = preparing
        self.deadline = deadline

    def all(self) -> None:
        """Run every stage: what is timed alone on this machine, all else beside other runs."""
        with host.beside_others(self.waiting):
            crew, artifacts, examples, opened = self.prepare()
        for name in self.config.variants:
            self.start_once(name, crew, artifacts[name])
        if opened is not None and self.config.quality.enabled:
            with host.beside_others(self.waiting):
                self.answer(crew, examples, opened.metrics)
        timing = Timing(self.config, self.draft, self.display)
        with host.timing_alone(self.waiting), self.stage("timing both, in turn", "timing"):
            timing.time(crew)
        timing.hold_against_noise()
        if self.config.measure.scenario is Scenario.server:
            served = self.stage("offering requests to both, in turn", "serving")
            work, log = self.preparing.work, self.preparing.log
            with host.timing_alone(self.waiting), served:
                serving.serve(self.config, self.draft, self.display, crew, work, log)
        verdict = judge(self.draft.result, self.config.gates, self.config.quality.max_failed_share)
        self.draft.update(verdict=verdict)

    def prepare(self) -> tuple[Crew, dict[str, Artifact], Child, Opened | None]:
        """Everything that the variants read, and who makes their workers."""
        preparing = self.preparing
        with self.stage("reading the model", "model"):
            spec = preparing.spec()
        with self.stage("reading the rows", "rows"):
            examples, opened = preparing.examples(spec)
        templates = preparing.templates()
        with self.stage("preparing the models", "preparation"):
            artifacts = preparing.artifacts(spec, examples)
            crew = preparing.crew(artifacts, templates)
            crew.wait_for_templates()
        return crew, artifacts, examples, opened

    def start_once(self, name: str, crew: Crew, artifact: Artifact) -> None:
        """The first start of a variant; a cold one is timed."""
        cold = self.config.measure.cold_start
        title = f"{'cold start' if cold else 'start'} of the {name}"
        place = host.timing_alone if cold else host.beside_others
        with place(self.waiting), self.stage(title, title):
            first_start(self.config, self.draft, crew, name, artifact)

    def answer(self, crew: Crew, examples: Child, metrics: list[str]) -> None:
        """Both variants' answers to the same rows, and what they are worth."""
        answering = Answering(self.config, self.draft, examples, self.preparing.work)
        for name in self.config.variants:
            with self.stage(f"evaluating the {name}", f"evaluation of the {name}"):
                answering.evaluate(name, crew)
        with self.stage("comparing the answers", "quality"):
            answering.score(metrics)

    def waiting(self) -> contextlib.AbstractContextManager[None]:
        """Shows that another run has this machine."""
        return self.stage("waiting for other runs on this machine", "waiting")

    @contextlib.contextmanager
    def stage(self, title: str, name: str) -> Iterator[None]:
        """Show a stage, note its seconds, and save what it found."""
        self.draft.begin(name)
        self.deadline.check()
        begun = time.perf_counter()
        with self.display.stage(title):
            yield
        known = self.draft.result.stage_seconds
        seconds = known.get(name, 0.0) + time.perf_counter() - begun
        self.draft.update(stage_seconds={**known, name: seconds})
        if self.draft.result.variants:
            self.draft.save()
