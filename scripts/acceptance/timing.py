"""Acceptance of the speed-up: false positives, coverage, power, the stop, and throughput.

Whole procedures, looks and stop included, on made-up runtimes with known answers.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from acceptance.figures import Figure, Options, procedure, share_figure
from optbench.measure.fake import FakeMachine, FakeRuntime
from optbench.measure.procedure import Measured, Procedure, measure_pair
from optbench.measure.statistics import log_ratios, ratio_estimate, throughput

MOST_FALSE_POSITIVES = 0.08
FEWEST_FALSE_POSITIVES = 0.02
LEAST_COVERAGE = 0.92
LEAST_POWER = 0.90
MOST_THROUGHPUT_ERROR = 0.001


@dataclass(frozen=True)
class Cell:
    """A machine, two runtimes on it whose ratio is `ratio`, and how they are measured."""

    name: str
    baseline: FakeRuntime
    candidate: FakeRuntime
    contention_factor: float = 1.0
    sojourn_seconds: float = 1.0
    ratio: float = 1.0
    procedure: Procedure = field(default_factory=Procedure)

    def with_ratio(self, ratio: float) -> Cell:
        """The same with a candidate that is `ratio` times as fast."""
        candidate = replace(self.candidate, call_seconds=self.baseline.call_seconds / ratio)
        return replace(self, candidate=candidate, ratio=ratio, name=f"{self.name}, x{ratio:g}")


USUAL = FakeRuntime(cv=0.03, offset_sd=0.02)
CELLS = (
    Cell("no contention", USUAL, USUAL),
    *(Cell(f"contention {s:g} s", USUAL, USUAL, 1.8, s) for s in (0.02, 0.2, 0.7, 3.0)),
    Cell("unequal tails", replace(USUAL, cv=0.20), replace(USUAL, cv=0.10)),
)
STRICT = Procedure(replicates=10, max_replicates=60, precision=0.01, budget_seconds=600)


@dataclass(frozen=True)
class Answers:
    """What whole procedures said about one cell: errors, half-widths (both log), replicates."""

    errors: list[float]
    half_widths: list[float]
    replicates: list[int]

    @property
    def missed(self) -> float:
        """Share of intervals without the true ratio."""
        return statistics.fmean(abs(e) > h for e, h in zip(self.errors, self.half_widths, strict=True))

    @property
    def note(self) -> str:
        """What it took, and by how much all intervals could shrink before 5% of them missed."""
        needed = np.quantile(np.abs(self.errors) / np.array(self.half_widths), 0.95)
        width = math.expm1(statistics.median(self.half_widths))
        text = f"+-{width:.1%} from {statistics.fmean(self.replicates):.1f} replicates"
        return text if needed >= 0.9 else f"{text}; could be {1 - needed:.0%} narrower"


def ask(cell: Cell, options: Options, true_ratio: float) -> Answers:
    """Run the procedure of a cell `options.runs` times; errors are against `true_ratio`."""
    answers = Answers([], [], [])
    for run in range(options.runs):
        measured = play(cell, options.random_state(cell.name, run))
        thetas = log_ratios(measured.samples, "baseline", "candidate")
        interval = ratio_estimate(thetas).interval
        if interval is None:
            raise RuntimeError(f"{cell.name}: run {run} gave no interval")
        low, high = math.log(interval.low), math.log(interval.high)
        answers.errors.append((low + high) / 2 - math.log(true_ratio))
        answers.half_widths.append((high - low) / 2)
        answers.replicates.append(len(thetas))
    return answers


def play(cell: Cell, random_state: Sequence[int]) -> Measured:
    """One whole procedure on the virtual clock."""
    machine = FakeMachine(
        {"baseline": cell.baseline, "candidate": cell.candidate},
        random_state,
        contention_factor=cell.contention_factor,
        sojourn_seconds=cell.sojourn_seconds,
    )
    return measure_pair(
        machine.start_worker,
        ("baseline", "candidate"),
        replace(cell.procedure, seed=random_state[-1]),
        Measured(),
        clock=machine.clock,
    )


def null_figure(cell: Cell, options: Options) -> Figure:
    """Share of intervals that exclude 1 although nothing differs."""
    answers = ask(cell, options, 1.0)
    caution = "; cautious" if answers.missed < FEWEST_FALSE_POSITIVES else ""
    return share_figure(
        cell.name,
        "exclude 1",
        answers.missed,
        options.runs,
        at_most=MOST_FALSE_POSITIVES,
        note=answers.note + caution,
    )


def coverage_figure(cell: Cell, options: Options) -> Figure:
    """Share of intervals with the true ratio."""
    answers = ask(cell, options, cell.ratio)
    covered = 1 - answers.missed
    return share_figure(
        cell.name, "coverage", covered, options.runs, at_least=LEAST_COVERAGE, note=answers.note
    )


@procedure
def false_positives(options: Options) -> Iterator[Figure]:
    """A/A: how often the interval excludes 1."""
    for cell in CELLS:
        if options.includes(cell.name):
            yield null_figure(cell, options)


@procedure
def coverage(options: Options) -> Iterator[Figure]:
    """Known ratios: how often the interval holds them."""
    for cell in (cell.with_ratio(ratio) for ratio in (1.03, 1.3, 2.5) for cell in CELLS):
        if options.includes(cell.name):
            yield coverage_figure(cell, options)


@procedure
def power(options: Options) -> Iterator[Figure]:
    """3% on a quiet machine: how often it is found within the default budget."""
    quiet = FakeRuntime(cv=0.03, offset_sd=0.01)
    cell = Cell("quiet", quiet, quiet).with_ratio(1.03)
    if options.includes(cell.name):
        answers = ask(cell, options, 1.0)
        yield share_figure(
            cell.name,
            "exclude 1",
            answers.missed,
            options.runs,
            at_least=LEAST_POWER,
            note=answers.note,
        )


@procedure
def sequential_stop(options: Options) -> Iterator[Figure]:
    """Spreads at which the stop on width bites hardest, in the standard and in the strict mode."""
    for sd in (0.01, 0.016, 0.023, 0.03, 0.04):
        offset = replace(USUAL, offset_sd=sd)
        cell = Cell(f"offset sd {sd:.1%}", offset, offset)
        if options.includes(cell.name):
            yield null_figure(cell, options)
            yield coverage_figure(cell.with_ratio(1.3), options)
    for sd in (0.01, 0.015, 0.023):
        offset = replace(USUAL, offset_sd=sd)
        cell = Cell(f"strict, offset sd {sd:.1%}", offset, offset, procedure=STRICT)
        if options.includes(cell.name):
            yield null_figure(cell, options)


@procedure
def stalled_throughput(options: Options) -> Iterator[Figure]:
    """A stall of 1 s in every process: throughput must be items over elapsed seconds, with it."""
    batch_size, stall_seconds, call_seconds = 8, 1.0, 0.010
    stalling = FakeRuntime(call_seconds, "constant", stall_call=31, stall_seconds=stall_seconds)
    steady = FakeRuntime(call_seconds, "constant")
    cell = Cell("stall of 1 s", steady, stalling)
    if not options.includes(cell.name):
        return
    measured = play(cell, options.random_state(cell.name, 0))
    replicates = len(measured.samples.replicates())
    for variant, stalls in (("baseline", 0), ("candidate", replicates)):
        calls = sum(total.calls for total in measured.samples.totals(variant))
        truth = batch_size * calls / (calls * call_seconds + stalls * stall_seconds)
        found = throughput(measured.samples, variant, batch_size).samples_per_second.value
        error = abs(found / truth - 1)
        note = f"{found:.2f} samples/s, true {truth:.2f}"
        passed = error <= MOST_THROUGHPUT_ERROR
        yield Figure(f"{cell.name}, {variant}", "error", error, "<= 0.1%", passed, note)
