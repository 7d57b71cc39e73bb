"""The whole timing of a run: fresh workers, warm-up, interleaved blocks, again until it is enough."""

from __future__ import annotations

import contextlib
import dataclasses
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from optbench.measure.samples import Samples
from optbench.measure.schedule import (
    BlockPlan,
    TimedWorker,
    WarmupRule,
    counted_calls,
    run_replicate,
    warm_call_seconds,
)
from optbench.measure.statistics import half_width, log_ratios
from optbench.measure.stopping import StopReason, StopRule


@dataclass(frozen=True)
class Procedure:
    """How to measure; the same settings and seed give the same schedule.

    replicates: least number of replicates. precision: relative half-width of the speed-up at which
    to stop. duration_seconds: counted seconds per variant in all, spread evenly over exactly
    `replicates` replicates; it replaces the stop rule and `plan.replicate_seconds`.
    """

    replicates: int = 5
    max_replicates: int = 20
    precision: float = 0.02
    budget_seconds: float = 60.0
    duration_seconds: float | None = None
    warmup: WarmupRule = field(default_factory=WarmupRule)
    plan: BlockPlan = field(default_factory=BlockPlan)
    seed: int = 0

    def stop_rule(self) -> StopRule:
        """When to stop."""
        if self.duration_seconds is not None:
            return StopRule(self.replicates, self.replicates, None, None)
        return StopRule(self.replicates, self.max_replicates, self.precision, self.budget_seconds)

    def block_plan(self, starting_seconds: float) -> BlockPlan:
        """How long a replicate is, where starting and warming up its workers took so many seconds.

        At least as long as that, so that not all time goes into starting, but within what the budget
        leaves to the least number of replicates. Half and half takes at most twice as long as the best
        split, whatever share of the variance lies between processes (Kalibera & Jones 2013).
        """
        if self.duration_seconds is not None:
            counted_seconds = self.duration_seconds / self.replicates
            return dataclasses.replace(self.plan, counted_seconds=counted_seconds)
        affordable_seconds = self.budget_seconds / self.replicates - starting_seconds
        seconds = max(self.plan.replicate_seconds, min(starting_seconds, affordable_seconds))
        return dataclasses.replace(self.plan, replicate_seconds=seconds)


@dataclass(frozen=True)
class Warmup:
    """Wall nanoseconds of each warm-up call of one worker, in call order."""

    replicate: int
    variant: str
    nanoseconds: Sequence[int]


@dataclass
class Measured:
    """What was measured so far; it grows while `measure_pair` runs, so an error loses nothing.

    calls_per_block: counted calls of a block, as many as the fastest warm-up so far asks for: a first
    one beside a busy neighbour must not shorten the blocks for good. plan: length of a replicate,
    fixed by the first warm-up.
    stopped_by: null if it did not end.
    measuring_seconds: wall clock of the blocks with all switches. starting_seconds: of starting,
    loading and warming up the workers.
    """

    samples: Samples = field(default_factory=Samples)
    warmups: list[Warmup] = field(default_factory=list)
    calls_per_block: dict[str, int] = field(default_factory=dict)
    plan: BlockPlan | None = None
    stopped_by: StopReason | None = None
    measuring_seconds: float = 0.0
    starting_seconds: float = 0.0


@dataclass(frozen=True)
class Progress:
    """How far a procedure is: the half-width of the speed-up so far, and the most that may come.

    With several candidates it is the widest half-width; null before the second replicate.
    """

    replicates_done: int
    half_width: float | None
    seconds_left: float | None


Watch = Callable[[int, Mapping[str, TimedWorker]], contextlib.AbstractContextManager[None]]
"""Entered around the timed blocks of each replicate, with its number and its workers."""


def unwatched(replicate: int, workers: Mapping[str, TimedWorker]) -> contextlib.AbstractContextManager[None]:
    """Nobody looks."""
    return contextlib.nullcontext()


def measure_pair(
    start_worker: Callable[[str], TimedWorker],
    variants: Sequence[str],
    procedure: Procedure,
    measured: Measured,
    *,
    clock: Callable[[], float] = time.monotonic,
    probe: Callable[[], int] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    watch: Watch = unwatched,
) -> Measured:
    """Time `variants`, the baseline first and any number of candidates after it; fills `measured`.

    start_worker gives a fresh, loaded worker of a variant; it is called in random order, once per
    variant and replicate. `watch` surrounds the blocks of a replicate, to read counters. `clock` gives
    seconds. Raises what a worker raises; `measured` holds all complete pairs then, and every worker
    is closed.
    """
    rng = random.Random(procedure.seed)
    rule = procedure.stop_rule()
    thetas: dict[str, list[float]] = {candidate: [] for candidate in variants[1:]}
    begun = clock()
    replicate = 0
    while measured.stopped_by is None:
        before = len(measured.samples.blocks)
        time_replicate(start_worker, variants, procedure, measured, replicate, rng, clock, probe, watch)
        replicate += 1
        latest = Samples(measured.samples.blocks[before:])
        for candidate, theta in thetas.items():
            theta.extend(log_ratios(latest, variants[0], candidate))
        width = widest(thetas)
        elapsed_seconds = clock() - begun
        measured.stopped_by = rule.decide(replicate, width, elapsed_seconds)
        if on_progress is not None:
            left = rule.seconds_left(replicate, elapsed_seconds)
            on_progress(Progress(replicate, width, 0.0 if measured.stopped_by else left))
    return measured


def time_replicate(
    start_worker: Callable[[str], TimedWorker],
    variants: Sequence[str],
    procedure: Procedure,
    measured: Measured,
    replicate: int,
    rng: random.Random,
    clock: Callable[[], float],
    probe: Callable[[], int] | None,
    watch: Watch,
) -> None:
    """One replicate: start fresh workers in random order, warm them up, time them, close them."""
    with contextlib.ExitStack() as stack:
        begun = clock()
        workers: dict[str, TimedWorker] = {}
        for variant in rng.sample(list(variants), len(variants)):
            workers[variant] = start_worker(variant)
            stack.callback(workers[variant].close)
        for variant, worker in workers.items():
            times = worker.warm_up(procedure.warmup)
            measured.warmups.append(Warmup(replicate, variant, times))
        warm = clock()
        measured.starting_seconds += warm - begun
        if measured.plan is None:
            measured.plan = procedure.block_plan(warm - begun)
        for variant, calls in calls_per_block(measured.warmups[-len(workers) :], procedure).items():
            measured.calls_per_block[variant] = max(calls, measured.calls_per_block.get(variant, 0))
        try:
            stack.enter_context(watch(replicate, workers))
            run_replicate(
                measured.samples,
                replicate,
                workers,
                measured.calls_per_block,
                measured.plan,
                rng,
                clock,
                probe,
            )
        finally:
            measured.measuring_seconds += clock() - warm


def calls_per_block(warmups: Sequence[Warmup], procedure: Procedure) -> dict[str, int]:
    """Counted calls of each variant in a block, from how long its last warm-up calls took."""
    return {
        warmup.variant: counted_calls(
            warm_call_seconds(warmup.nanoseconds, procedure.warmup), procedure.plan.block_seconds
        )
        for warmup in warmups
    }


def widest(thetas: Mapping[str, Sequence[float]]) -> float | None:
    """The widest relative half-width of several candidates; null while one has no interval."""
    if not thetas or min(map(len, thetas.values())) < 2:
        return None
    return max(half_width(theta) for theta in thetas.values())
