"""Acceptance of the open loop: what theory says about waiting, stalls and capacity is what comes out."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from acceptance.figures import Figure, Options, procedure, share_figure
from optbench.measure.capacity import Offered, ServerPlan, capacity, capacity_ratio, measure_capacity
from optbench.measure.fake import FakeMachine, FakeRuntime
from optbench.measure.md1 import md1_capacity, md1_mean_wait

SERVICE_SECONDS = 0.005
CONSTANT = FakeRuntime(SERVICE_SECONDS, "constant")
VARYING = FakeRuntime(SERVICE_SECONDS, cv=0.03, offset_sd=0.01)
VARIANTS = ("baseline", "candidate")
MOST_WAIT_ERROR = 0.10
MOST_CAPACITY_ERROR = 0.05
LEAST_COVERAGE = 0.92
COSTLY = 20
"""A search costs as much as so many whole procedures of the closed loop."""


def play(plan: ServerPlan, options: Options, cell: str, run: int, *runtimes: FakeRuntime) -> Offered:
    """One whole search on the virtual clock."""
    random_state = options.random_state(cell, run)
    machine = FakeMachine(dict(zip(VARIANTS, runtimes, strict=True)), random_state)
    plan = replace(plan, seed=random_state[-1] + 1_000_003 * options.seed)
    return measure_capacity(machine.start_worker, VARIANTS, plan, Offered(), clock=machine.clock)


def error_figure(cell: str, name: str, error: float, most: float, note: str) -> Figure:
    """A relative error against the most that is allowed."""
    return Figure(cell, name, error, f"<= {most:.0%}", error <= most, note)


@procedure
def server(options: Options) -> Iterator[Figure]:
    """M/D/1: mean wait, and a stall of 1 s that a closed loop would hide."""
    for rho in (0.5, 0.8):
        cell = f"M/D/1, rho {rho:g}"
        if options.includes(cell):
            rate = rho / SERVICE_SECONDS
            plan = ServerPlan(1.0, rates=(rate,), requests=20_000, replicates=5)
            trials = play(plan, options, cell, 0, CONSTANT, CONSTANT).of("baseline")
            wait = float(np.mean([trial.counted_seconds.mean() for trial in trials])) - SERVICE_SECONDS
            truth = md1_mean_wait(rate, SERVICE_SECONDS)
            note = f"mean wait {wait * 1e3:.3f} ms, theory {truth * 1e3:.3f} ms"
            yield error_figure(cell, "error", abs(wait / truth - 1), MOST_WAIT_ERROR, note)
    cell = "stall of 1 s at 100/s"
    if options.includes(cell):
        plan = ServerPlan(1.0, rates=(100.0,), requests=1000, replicates=20)
        stalling = replace(CONSTANT, stall_call=500, stall_seconds=1.0)
        trials = play(plan, options, cell, 0, CONSTANT, stalling).of("candidate")
        found = float(np.mean([np.mean(trial.latency_seconds > 0.1) for trial in trials]))
        truth = 0.18  # work left u seconds after it: 1 - u (1 - rho), above 0.1 s for 1.8 of 10 seconds
        note = f"{found:.1%} of requests wait over 0.1 s, {truth:.0%} by theory; a closed loop shows 0.1%"
        yield error_figure(cell, "error", abs(found / truth - 1), MOST_WAIT_ERROR, note)


@dataclass(frozen=True)
class Cell:
    """A runtime, a bound in service times, and whether theory knows the capacity (null: only the ratio)."""

    name: str
    runtime: FakeRuntime
    factor: float


CELLS = (
    *(Cell(f"constant, bound {factor} s", CONSTANT, factor) for factor in (2, 5, 20)),
    *(
        Cell(
            f"cv 3%, offsets 1%, bound {factor} s",
            FakeRuntime(SERVICE_SECONDS, cv=0.03, offset_sd=0.01),
            factor,
        )
        for factor in (5, 20)
    ),
)


@procedure
def server_capacity(options: Options) -> Iterator[Figure]:
    """The capacity against M/D/1, and coverage of a true ratio of capacities."""
    runs = max(10, options.runs // COSTLY)
    for cell in CELLS:
        if not options.includes(cell.name):
            continue
        bound = cell.factor * SERVICE_SECONDS
        faster = replace(cell.runtime, call_seconds=SERVICE_SECONDS / 1.5)
        truth = md1_capacity(SERVICE_SECONDS, bound)
        ratio = md1_capacity(SERVICE_SECONDS / 1.5, bound) / truth
        errors, held = [], []
        for run in range(runs):
            offered = play(ServerPlan(bound), options, cell.name, run, cell.runtime, faster)
            found, compared = capacity(offered, "baseline"), capacity_ratio(offered, *VARIANTS)
            if found is None or compared is None or compared.interval is None:
                raise RuntimeError(f"{cell.name}: run {run} found no capacity")
            errors.append(abs(found.value / truth - 1))
            held.append(compared.interval.low <= ratio <= compared.interval.high)
        note = f"95% of {runs} searches; median {float(np.median(errors)):.2%}"
        worst = float(np.quantile(errors, 0.95))
        yield error_figure(cell.name, "error", worst, MOST_CAPACITY_ERROR, note)
        yield share_figure(
            cell.name,
            "coverage",
            math.fsum(held) / runs,
            runs,
            at_least=LEAST_COVERAGE,
            note=f"ratio {ratio:.3f}",
        )
