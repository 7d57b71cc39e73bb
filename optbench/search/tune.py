"""The search of `+experiment=tune`: a sweep's sampler screens variants; what follows is run here.

Screens are short and look at rows of their own. Recipes that are fast and too bad are mended. The best are
then measured in full, with fresh processes, on rows that no screen has seen: the screen's winner is partly
lucky, and only numbers that chose nothing may speak for it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from optbench.artifacts.store import run_apart
from optbench.config import QualityConfig, RunConfig, TuneConfig
from optbench.delivery.upload import deliver_run, hand_in
from optbench.errors import OptbenchError, Unsupported
from optbench.locations import LOG_FILE
from optbench.onnx_graphs.sensitivity import Part
from optbench.processes import host
from optbench.processes.crew import Templates
from optbench.records import RunResult, Stage, TunedPoint, TuneResult, to_json, write_atomically
from optbench.records.search import TUNE_FILE
from optbench.run import Display, Outcome, run
from optbench.search import tuning
from optbench.stages.draft import Draft, hash_of, plain_config
from optbench.stages.preparing import Preparing

REPAIR_STEPS = (1, 2, 4)
"""How many of the most harmful parts a repair leaves in floating point, one try each."""
RANKING_SHARE = 0.15
"""Of the whole time, the most that the ranking of one recipe's parts may take."""


class ShowsRuns(Display, Protocol):
    """A display that also shows a run's end."""

    def finish(self, result: RunResult, result_file: Path) -> None:
        """Show what the run came to."""


@dataclass(frozen=True)
class Screened:
    """A point with the config that made it, to be run again in full."""

    point: TunedPoint
    config: RunConfig


class Search:
    """One search: what it has seen, and what is left of its time."""

    def __init__(
        self,
        directory: Path,
        tune: TuneConfig,
        margin: float,
        display: Callable[[str], ShowsRuns],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._tune = tune
        self._margin = margin
        self._display = display
        self._clock = clock
        self._begun = clock()
        self._screened: dict[str, Screened] = {}
        self._seen: dict[str, RunResult] = {}
        self._finals: list[TunedPoint] = []
        self._ended_by = "every choice tried"

    def earlier(self, config: RunConfig) -> RunResult | None:
        """The result of the same point, if the sampler has asked for it before."""
        return self._seen.get(key_of(config))

    def refuses(self, config: RunConfig) -> str | None:
        """None, or why a point of the sweep is not screened."""
        if self.earlier(config) is not None:
            return "the search has screened the same variant before"
        return "the search's time for screens is over (tune.budget_seconds)" if self.is_over() else None

    def is_over(self) -> bool:
        """Whether the time for screens is used up."""
        over = self._spent() > self._tune.screen_share * self._tune.budget_seconds
        if over:
            self._ended_by = "its time budget"
        return over

    def add(
        self, choices: Mapping[str, str], config: RunConfig, outcome: Outcome, stage: Stage = "screen"
    ) -> None:
        """Take note of a screened point."""
        self._seen[key_of(config)] = outcome.result
        point = self._point(name_of(choices), stage, choices, outcome)
        self._screened[point.name] = Screened(point, config)

    def points(self) -> list[TunedPoint]:
        """All screened and mended points, then those measured in full."""
        return [*(one.point for one in self._screened.values()), *self._finals]

    def finish(self, templates: Templates | None, stopped: bool = False) -> TuneResult:
        """Mend, measure the best in full, and write the outcome to tune.json; only that when `stopped`."""
        try:
            if stopped:
                self._ended_by = "an interruption"
            else:
                self._mend(templates)
                self._measure_best(templates)
        except KeyboardInterrupt:
            self._ended_by = "an interruption"
            raise
        finally:
            result = self.result()
            write_atomically(self._directory / TUNE_FILE, to_json(result))
        return result

    def result(self) -> TuneResult:
        """The search as far as it has come."""
        points = self.points()
        best = tuning.winner(points)
        return TuneResult(
            margin=self._margin,
            budget_seconds=self._tune.budget_seconds,
            seconds=self._spent(),
            ended_by=self._ended_by,
            points=points,
            front=[point.name for point in tuning.pareto_front(tuning.latest(points))],
            bought=tuning.bought([point for point in points if point.stage == "screen"]),
            winner=None if best is None else best.directory,
            sentence=tuning.sentence(points, self._margin),
        )

    def _point(self, name: str, stage: Stage, choices: Mapping[str, str], outcome: Outcome) -> TunedPoint:
        return tuning.point_of(name, stage, choices, str(outcome.directory), outcome.result, self._margin)

    def _mend(self, templates: Templates | None) -> None:
        for point in tuning.to_repair(self.points(), self._tune.repairs):
            with contextlib.suppress(OptbenchError):
                self._repair(self._screened[point.name], templates)

    def _measure_best(self, templates: Templates | None) -> None:
        hopeful = tuning.finalists(self.points(), 2 * self._tune.finalists)
        for number, point in enumerate(hopeful):
            enough = number >= self._tune.finalists and tuning.winner(self._finals) is not None
            if enough or (number and self._spent() > self._tune.budget_seconds):
                return
            config = self._screened[point.name].config
            full = replace(config, measure=self._tune.measure, quality=self._full_quality(), tune=None)
            outcome = self._run(full, f"final-{number}", f"final: {point.name}", templates)
            self._finals.append(self._point(point.name, "final", point.choices, outcome))

    def _full_quality(self) -> QualityConfig:
        """Up to twice as many finalists may be tested before one passes, so their limits are corrected."""
        return replace(self._tune.quality, margin=self._margin, comparisons=2 * self._tune.finalists)

    def _repair(self, failing: Screened, templates: Templates | None) -> None:
        parts = self._ranked(failing, templates)
        for count in REPAIR_STEPS:
            if count >= len(parts) or self.is_over():
                return
            left_out = parts[:count]
            nodes = [node for part in left_out for node in part.nodes]
            quantization = failing.config.quantization.excluding(nodes)
            if quantization is None:
                return
            config = replace(failing.config, quantization=quantization)
            choices = {**failing.point.choices, "float": "+".join(part.scope for part in left_out)}
            name = name_of(choices)
            outcome = self._run(config, f"repair-{len(self._screened)}", f"repair: {name}", templates)
            self.add(choices, config, outcome, "repair")
            if tuning.is_hopeful(self._screened[name].point):
                return

    def _ranked(self, failing: Screened, templates: Templates | None) -> list[Part]:
        """Parts of the failing recipe's graph, the most harmful first; empty where none can be left out."""
        config = failing.config
        if config.artifact is not None or config.quantization.excluding([]) is None:
            return []
        directory = self._directory / f"ranking-{len(self._screened)}"
        directory.mkdir()
        seconds = RANKING_SHARE * self._tune.budget_seconds
        with contextlib.ExitStack() as stack:
            looking = self._display(failing.point.name).stage(f"looking for what harms {failing.point.name}")
            stack.enter_context(looking)
            stack.enter_context(host.beside_others())
            preparing = Preparing(config, Draft(config, directory), stack, templates)
            spec = preparing.spec()
            examples, _ = preparing.examples(spec)
            source = preparing.source(config.candidate, spec)
            rows = preparing.calibration(config.quantization, examples)
            found: list[Part] = run_apart(
                directory / LOG_FILE,
                "ranking",
                "rank",
                source.directory,
                config.quantization,
                None if rows is None else rows.path,
                preparing.work / "rows.npz",
                (self._tune.repair_rows, seconds),
            )
        return found

    def _run(self, config: RunConfig, place: str, title: str, templates: Templates | None) -> Outcome:
        directory = self._directory / place
        directory.mkdir()
        display = self._display(title)
        outcome = run(config, directory, display, templates)
        display.finish(outcome.result, directory)
        hand_in(directory, outcome.result, config.results_url, self._directory)
        if isinstance(outcome.error, KeyboardInterrupt):
            raise outcome.error
        return outcome

    def _spent(self) -> float:
        return self._clock() - self._begun


def key_of(config: RunConfig) -> str:
    """Equal for equal configs."""
    return hash_of(plain_config(config))


def name_of(choices: Mapping[str, str]) -> str:
    """A point in words, such as 'recipe=openvino-nncf threads=2'."""
    return " ".join(f"{axis}={value}" for axis, value in choices.items())


def leave_out(config: RunConfig, directory: Path, reason: str) -> None:
    """A skipped result for a point that is not run, so that no row is missing."""
    draft = Draft(config, directory)
    draft.fail(Unsupported(reason))
    draft.finish()
    if config.results_url is not None:
        deliver_run(directory, draft.result, config.results_url, directory.parent)
