"""The highest rate at which a latency percentile keeps a bound, for each variant and as a ratio.

A replicate is one stream of arrivals and a fresh process of each variant. Each variant is offered that
same stream at one rate after another, in turn with the others, until the rate at which its percentile
meets the bound lies between two rates; interpolation gives the crossing. The crossings of the
replicates give the estimate and its interval.

A short stream crosses early or late by the luck of its arrivals, and one that begins with an empty
queue crosses late at high load. Both are known exactly for a server that always takes equally long:
its crossing on the same stream, against M/D/1 in the long run, is the control variate by which each
crossing is corrected. For lognormal service times with a cv of 10% and a bound of 5 service times it
reduces the error that 95% of searches of 5 streams of 300 requests stay within from 12% to 3%
(`scripts/check_instrument.py capacity`). Source: Lavenberg & Welch 1981, "A perspective on the use of
control variables"; the coefficient is taken as 1.
"""

from __future__ import annotations

import contextlib
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from optbench.measure.md1 import md1_capacity
from optbench.measure.procedure import Progress
from optbench.measure.schedule import WarmupRule, warm_call_seconds
from optbench.measure.server import (
    Arrivals,
    Seconds,
    Trial,
    arrival_pattern,
    first_come_first_served,
    settling_requests,
)
from optbench.measure.statistics import half_width, log_estimate, log_half_width
from optbench.measure.stopping import StopReason, StopRule
from optbench.records import Estimate

FIRST_STEP = 1.15
"""Factor of the first step; every further step in the same direction squares it."""
CLOSE_ENOUGH = 1.08
"""Two rates this close are interpolated between."""
MOST_TRIALS = 12
LEAST_LOAD = 0.02
"""No rate below this share of what a server without any pause could take is tried."""
BISECTIONS = 24


class StreamWorker(Protocol):
    """A process (or its stand-in) that owns one variant and answers requests one after the other."""

    def warm_up(self, rule: WarmupRule) -> list[int]:
        """See TimedWorker.warm_up."""

    def offer(self, rate_per_second: float, pattern: Seconds) -> Trial:
        """Answer the requests of a pattern, see `arrival_pattern`, at a rate; then sleep."""

    def close(self) -> None:
        """End the process. Never raises."""


@dataclass(frozen=True)
class ServerPlan:
    """What is offered, and when to stop.

    bound_seconds: what the percentile of the latency may be. requests: in a stream.
    rates: offer exactly these, in requests per second, instead of looking for the crossing.
    precision: relative half-width of the ratio of the capacities at which to stop.
    """

    bound_seconds: float
    percentile: float = 0.95
    arrivals: Arrivals = "poisson"
    requests: int = 300
    rates: tuple[float, ...] = ()
    replicates: int = 5
    max_replicates: int = 20
    precision: float = 0.02
    budget_seconds: float = 180.0
    warmup: WarmupRule = field(default_factory=WarmupRule)
    seed: int = 0

    def stop_rule(self) -> StopRule:
        """When to stop; a set of rates is offered the least number of times."""
        if self.rates:
            return StopRule(self.replicates, self.replicates, None, None)
        return StopRule(self.replicates, self.max_replicates, self.precision, self.budget_seconds)


@dataclass(frozen=True)
class Crossing:
    """Where one stream of one variant meets the bound; null where it does not, and why.

    raw_per_second: before the correction for the luck of the arrivals.
    """

    rate_per_second: float | None
    raw_per_second: float | None
    reason: str | None = None


@dataclass
class Offered:
    """What was offered so far; it grows while `measure_capacity` runs, so an error loses nothing."""

    trials: list[tuple[int, str, Trial]] = field(default_factory=list)
    """(replicate, variant, trial) in the order of time."""
    crossings: dict[str, list[Crossing]] = field(default_factory=dict)
    """Of each variant, one for each replicate."""
    stopped_by: StopReason | None = None
    seconds: float = 0.0

    def of(self, variant: str, rate_per_second: float | None = None) -> list[Trial]:
        """The trials of a variant, at one rate or at all."""
        return [
            trial
            for _, name, trial in self.trials
            if name == variant and rate_per_second in (None, trial.rate_per_second)
        ]

    def rates(self, variant: str) -> list[float | None]:
        """Crossings of a variant, one for each replicate, in requests per second."""
        return [crossing.rate_per_second for crossing in self.crossings.get(variant, [])]


class StreamSearch:
    """The crossing of one stream: proposes rates, and takes note of what came of them."""

    def __init__(self, start_rate: float, plan: ServerPlan, pattern: Seconds) -> None:
        self._start_rate = start_rate
        self._plan = plan
        self._pattern = pattern
        self._trials: dict[float, Trial] = {}

    def add(self, trial: Trial) -> None:
        """Take note of a trial at a rate that was proposed."""
        self._trials[trial.rate_per_second] = trial

    def next_rate(self) -> float | None:
        """The rate to try next, in requests per second; null when the search is over."""
        if not self._trials:
            return self._start_rate
        if len(self._trials) >= MOST_TRIALS:
            return None
        below, above = self._bracket()
        if below is not None and above is not None:
            return None if above <= below * CLOSE_ENOUGH else math.sqrt(below * above)
        step: float = FIRST_STEP ** (2.0 ** (len(self._trials) - 1))
        if below is not None:
            return below * step
        lowest = min(self._trials)
        floor = LEAST_LOAD / self._trials[lowest].service_seconds
        return None if lowest <= floor else max(floor, lowest / step)

    def crossing(self) -> Crossing:
        """Where the percentile meets the bound: interpolated between two rates, and corrected."""
        below, above = self._bracket()
        bound = self._plan.bound_seconds
        if below is None:
            lowest = min(self._trials)
            found = f"{lowest:.3g} requests per second, the lowest rate tried"
            return Crossing(None, None, f"the bound of {bound:g} s is not kept at {found}")
        if above is None:
            return Crossing(None, None, f"the bound is kept at {below:.3g} requests per second and more")
        low, high = (math.log(self._percentile(rate)) for rate in (below, above))
        share = (math.log(bound) - low) / (high - low)
        raw = below * (above / below) ** share
        service = float(np.mean([self._trials[rate].service_seconds for rate in (below, above)]))
        return Crossing(raw * luck(self._plan, self._pattern, service), raw)

    def _percentile(self, rate: float) -> float:
        return self._trials[rate].percentile_seconds(self._plan.percentile)

    def _bracket(self) -> tuple[float | None, float | None]:
        """The lowest rate at which the bound is missed, and the highest one below it that keeps it."""
        bound = self._plan.bound_seconds
        above = min((r for r in self._trials if self._percentile(r) > bound), default=None)
        kept = (r for r in self._trials if above is None or r < above)
        return max(kept, default=None), above


def luck(plan: ServerPlan, pattern: Seconds, service_seconds: float) -> float:
    """What a constant server sustains in the long run over what it sustains on this pattern.

    1 where even a request alone takes longer than the bound.
    """
    bound, count = plan.bound_seconds, len(pattern)
    if service_seconds >= bound:
        return 1.0
    settling, service = settling_requests(count), np.full(count, service_seconds)
    low, high = math.log(LEAST_LOAD / service_seconds), math.log(4 / service_seconds)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        arrivals = pattern / math.exp(middle)
        latency = (first_come_first_served(arrivals, service)[1] - arrivals)[settling:]
        low, high = (middle, high) if np.quantile(latency, plan.percentile) <= bound else (low, middle)
    long_run = 1 / service_seconds
    if plan.arrivals == "poisson":
        long_run = md1_capacity(service_seconds, bound, plan.percentile)
    return long_run / math.exp(low)


def measure_capacity(
    start_worker: Callable[[str], StreamWorker],
    variants: Sequence[str],
    plan: ServerPlan,
    offered: Offered,
    *,
    clock: Callable[[], float] = time.monotonic,
    on_progress: Callable[[Progress], None] | None = None,
    watch: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext,
) -> Offered:
    """Offer streams to `variants`, the baseline first; fills `offered`.

    start_worker gives a fresh, loaded worker of a variant. `watch` is entered around the streams of a
    replicate. Raises what a worker raises; `offered` holds all complete trials then, and every worker
    is closed.
    """
    rng, rule = random.Random(plan.seed), plan.stop_rule()
    begun = clock()
    for variant in variants:
        offered.crossings.setdefault(variant, [])
    replicate = 0
    while offered.stopped_by is None:
        with started(start_worker, variants, rng) as workers:
            calls = {name: worker.warm_up(plan.warmup) for name, worker in workers.items()}
            seconds = {name: warm_call_seconds(times, plan.warmup) for name, times in calls.items()}
            with watch():
                offer_stream(workers, plan, offered, replicate, seconds)
        replicate += 1
        offered.seconds = clock() - begun
        width = widest(offered, variants)
        offered.stopped_by = rule.decide(replicate, width, offered.seconds)
        if on_progress is not None:
            left = rule.seconds_left(replicate, offered.seconds)
            on_progress(Progress(replicate, width, 0.0 if offered.stopped_by else left))
    return offered


@contextlib.contextmanager
def started(
    start_worker: Callable[[str], StreamWorker], variants: Sequence[str], rng: random.Random
) -> Iterator[dict[str, StreamWorker]]:
    """A fresh worker of each variant, started in random order, closed at the end."""
    with contextlib.ExitStack() as stack:
        workers = {}
        for variant in rng.sample(list(variants), len(variants)):
            workers[variant] = start_worker(variant)
            stack.callback(workers[variant].close)
        yield workers


def offer_stream(
    workers: Mapping[str, StreamWorker],
    plan: ServerPlan,
    offered: Offered,
    replicate: int,
    call_seconds: Mapping[str, float],
) -> None:
    """One replicate: the same stream to every variant, rate by rate in turn."""
    pattern = arrival_pattern(plan.requests, plan.arrivals, [plan.seed, replicate])

    def offer(name: str, rate: float) -> Trial:
        trial = workers[name].offer(rate, pattern)
        offered.trials.append((replicate, name, trial))
        return trial

    for rate in plan.rates:
        for name in workers:
            offer(name, rate)
    if plan.rates:
        return
    searches = {
        name: StreamSearch(first_rate(plan, offered.rates(name), call_seconds[name]), plan, pattern)
        for name in workers
    }
    going = list(searches)
    while going:
        rates = {name: searches[name].next_rate() for name in going}
        going = [name for name in going if rates[name] is not None]
        for name in going:
            searches[name].add(offer(name, rates[name] or 0.0))
    for name, search in searches.items():
        offered.crossings[name].append(search.crossing())


def first_rate(plan: ServerPlan, earlier: Sequence[float | None], call_seconds: float) -> float:
    """Where a search begins: at what earlier streams found, else at what theory says."""
    known = [rate for rate in earlier if rate is not None]
    if known:
        return math.exp(math.fsum(map(math.log, known)) / len(known))
    guess = md1_capacity(call_seconds, plan.bound_seconds, plan.percentile)
    return max(guess, LEAST_LOAD / call_seconds)


def log_rates(offered: Offered, variant: str) -> list[float] | None:
    """Logs of a variant's crossings; null where a stream has none."""
    rates = [rate for rate in offered.rates(variant) if rate is not None]
    return [math.log(rate) for rate in rates] if rates and len(rates) == len(offered.rates(variant)) else None


def capacity(offered: Offered, variant: str) -> Estimate | None:
    """Requests per second at which a variant meets the bound; null where a stream does not meet it."""
    logs = log_rates(offered, variant)
    return None if logs is None else from_logs(logs)


def capacity_ratio(offered: Offered, baseline: str, candidate: str) -> Estimate | None:
    """The candidate's capacity over the baseline's, stream by stream."""
    pairs = [log_rates(offered, name) for name in (baseline, candidate)]
    if pairs[0] is None or pairs[1] is None:
        return None
    return from_logs([after - before for before, after in zip(*pairs, strict=True)])


def from_logs(logs: Sequence[float]) -> Estimate:
    """exp of the mean with its interval over replicates."""
    centre = math.fsum(logs) / len(logs)
    if len(logs) < 2:
        return Estimate(math.exp(centre), reason="needs at least 2 streams")
    return log_estimate(centre, log_half_width(logs), 0.95)


def widest(offered: Offered, variants: Sequence[str]) -> float | None:
    """The widest relative half-width of the ratios so far; null while one has no interval."""
    widths = []
    base = log_rates(offered, variants[0])
    for name in variants[1:]:
        logs = log_rates(offered, name)
        if base is None or logs is None or len(logs) < 2:
            return None
        widths.append(half_width([after - before for before, after in zip(base, logs, strict=True)]))
    return max(widths, default=None)
