"""A runtime that computes nothing, and a clock that nobody waits for: whole procedures in millions.

`FakeRuntime` says how long calls take and `FakeCalls` draws them; neither knows a clock, so a real
process can sleep for what they say. `FakeMachine` plays them on a virtual clock, with a neighbour
that comes and goes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from optbench.measure.samples import Block
from optbench.measure.schedule import WarmupRule, is_settled
from optbench.measure.server import Trial

Shape = Literal["constant", "lognormal", "ar1", "drifting", "bimodal"]

CALLS_PER_DRAW = 128
SOJOURNS_PER_DRAW = 256
PROBE_SECONDS = 0.001


@dataclass(frozen=True)
class FakeRuntime:
    """How long the calls of a made-up runtime take; `call_seconds` is their mean.

    shape: `constant`; `lognormal` with coefficient of variation `cv`; `ar1`, the same with lag-1
    correlation `autocorrelation` of the logs; `drifting`, lognormal and slower by the share
    `drift_per_call` with each call, so that the mean is that of the first; `bimodal`, lognormal
    about two modes, the slow one `slow_factor` times the fast one and hit with a chance of
    `slow_share`.
    offset_sd: sd of the log of a factor that every process draws once and keeps.
    settling_factor: how much longer the first call after a switch takes.
    stall_call, stall_seconds: number of the call of each process, from 0 and warm-up included, that
    takes so many wall seconds more without using CPU.
    """

    call_seconds: float = 0.010
    shape: Shape = "lognormal"
    cv: float = 0.03
    offset_sd: float = 0.0
    autocorrelation: float = 0.5
    drift_per_call: float = 0.0001
    slow_share: float = 0.05
    slow_factor: float = 2.0
    settling_factor: float = 1.0
    stall_call: int | None = None
    stall_seconds: float = 1.0


class FakeCalls:
    """The call durations of one process of a runtime, in their order."""

    def __init__(self, runtime: FakeRuntime, rng: np.random.Generator) -> None:
        self._runtime = runtime
        self._rng = rng
        offset = math.exp(runtime.offset_sd * rng.standard_normal())
        self._seconds = runtime.call_seconds * offset
        self._log_sd = math.sqrt(math.log1p(runtime.cv**2))
        self._drawn = 0
        self._last_normal = float(rng.standard_normal())
        self._waiting = np.empty(0)

    def draw(self, count: int) -> NDArray[np.float64]:
        """Seconds of the next `count` calls [count], without stalls and settling."""
        while len(self._waiting) < count:
            self._waiting = np.concatenate([self._waiting, self._more(CALLS_PER_DRAW)])
        drawn, self._waiting = self._waiting[:count], self._waiting[count:]
        return drawn

    def _more(self, count: int) -> NDArray[np.float64]:
        runtime = self._runtime
        numbers = np.arange(self._drawn, self._drawn + count)
        self._drawn += count
        if runtime.shape == "constant":
            return np.full(count, self._seconds)
        normals = self._rng.standard_normal(count)
        if runtime.shape == "ar1":
            normals = self._correlated(normals)
        seconds = self._seconds * np.exp(self._log_sd * normals - self._log_sd**2 / 2)
        if runtime.shape == "drifting":
            seconds *= (1 + runtime.drift_per_call) ** numbers
        elif runtime.shape == "bimodal":
            is_slow = self._rng.random(count) < runtime.slow_share
            mean_factor = 1 + runtime.slow_share * (runtime.slow_factor - 1)
            seconds *= np.where(is_slow, runtime.slow_factor, 1.0) / mean_factor
        return seconds

    def _correlated(self, normals: NDArray[np.float64]) -> NDArray[np.float64]:
        share = self._runtime.autocorrelation
        fresh = math.sqrt(1 - share**2)
        result = np.empty_like(normals)
        for index, normal in enumerate(normals):
            self._last_normal = share * self._last_normal + fresh * float(normal)
            result[index] = self._last_normal
        return result


class VirtualClock:
    """Seconds that pass only when someone says so; called like a clock."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        """The time now in seconds."""
        return self.seconds

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.seconds += seconds


class Contention:
    """A neighbour who comes and goes: work takes `factor` times as long while he is there.

    Sojourns in both states are exponential with mean `sojourn_seconds`; a factor of 1 is nobody.
    """

    def __init__(self, factor: float, sojourn_seconds: float, rng: np.random.Generator) -> None:
        self._factor = factor
        self._sojourn_seconds = sojourn_seconds
        self._rng = rng
        self._is_busy = bool(rng.random() < 0.5)
        self._wall = np.zeros(1)
        self._work = np.zeros(1)

    def ends(self, start: float, work_seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        """When pieces of work end [pieces] that follow one another from `start` on, in seconds."""
        total = work_seconds.cumsum()
        if self._factor == 1.0:
            return start + total
        while self._wall[-1] < start + self._factor * total[-1]:
            self._extend()
        done = np.interp(start, self._wall, self._work)
        return np.interp(done + total, self._work, self._wall)

    def _extend(self) -> None:
        sojourns = self._rng.exponential(self._sojourn_seconds, SOJOURNS_PER_DRAW)
        speeds = np.ones(SOJOURNS_PER_DRAW)
        speeds[int(not self._is_busy) :: 2] = 1 / self._factor
        self._wall = np.concatenate([self._wall, self._wall[-1] + np.cumsum(sojourns)])
        self._work = np.concatenate([self._work, self._work[-1] + np.cumsum(sojourns * speeds)])


class FakeMachine:
    """A host of fake workers: one virtual clock, one neighbour, everything from one seed."""

    def __init__(
        self,
        runtimes: Mapping[str, FakeRuntime],
        seed: int | Sequence[int] = 0,
        *,
        contention_factor: float = 1.0,
        sojourn_seconds: float = 1.0,
        start_seconds: float = 0.2,
        switch_seconds: float = 0.0001,
    ) -> None:
        self.clock = VirtualClock()
        self.switch_seconds = switch_seconds
        self._runtimes = runtimes
        self._start_seconds = start_seconds
        self._rng = np.random.default_rng(seed)
        self._contention = Contention(contention_factor, sojourn_seconds, self._rng)

    def start_worker(self, variant: str) -> FakeWorker:
        """A fresh process of a variant, with an offset of its own."""
        self.clock.advance(self._start_seconds)
        return FakeWorker(self, self._runtimes[variant], self._rng)

    def probe(self) -> int:
        """Nanoseconds of a fixed loop of 1 ms."""
        return self.work(np.array([PROBE_SECONDS]))[0]

    def work(self, work_seconds: NDArray[np.float64]) -> list[int]:
        """Do pieces of work one after the other; wall nanoseconds of each [pieces]."""
        nanoseconds = []
        before = self.clock.seconds
        for end in self._contention.ends(before, work_seconds).tolist():
            nanoseconds.append(round((end - before) * 1e9))
            before = end
        self.clock.seconds = before
        return nanoseconds


class FakeWorker:
    """A TimedWorker and a StreamWorker on a FakeMachine."""

    def __init__(self, machine: FakeMachine, runtime: FakeRuntime, rng: np.random.Generator) -> None:
        self.is_closed = False
        self._machine = machine
        self._runtime = runtime
        self._calls = FakeCalls(runtime, rng)
        self._calls_made = 0

    def warm_up(self, rule: WarmupRule) -> list[int]:
        """See TimedWorker.warm_up."""
        times: list[int] = []
        while not is_settled(times, rule):
            times.extend(self.time_block(len(times), 0, 1).nanoseconds)
        return times

    def time_block(self, first_input: int, settling: int, counted: int) -> Block:
        """See TimedWorker.time_block; all inputs take equally long."""
        clock = self._machine.clock
        started = clock.seconds
        work_seconds = self._calls.draw(settling + counted)
        if settling:
            clock.advance(self._machine.switch_seconds)
            work_seconds = work_seconds.copy()
            work_seconds[0] *= self._runtime.settling_factor
        nanoseconds = self._machine.work(work_seconds)
        stalled = self._stalled(settling + counted)
        if stalled is not None:
            clock.advance(self._runtime.stall_seconds)
            nanoseconds[stalled] += round(self._runtime.stall_seconds * 1e9)
        cpu_nanoseconds = round(float(work_seconds[settling:].sum()) * 1e9)
        return Block(nanoseconds, settling, cpu_nanoseconds, round(started * 1e9))

    def offer(self, rate_per_second: float, pattern: NDArray[np.float64]) -> Trial:
        """See StreamWorker.offer; nobody is late."""
        machine, count = self._machine, len(pattern)
        arrivals = machine.clock.seconds + pattern / rate_per_second
        work_seconds, stalled = self._calls.draw(count), self._stalled(count)
        start, end = np.empty(count), np.empty(count)
        free = machine.clock.seconds
        for number, arrival in enumerate(arrivals.tolist()):
            start[number] = machine.clock.seconds = max(arrival, free)
            machine.work(work_seconds[number : number + 1])
            if number == stalled:
                machine.clock.advance(self._runtime.stall_seconds)
            end[number] = free = machine.clock.seconds
        intended, began, done = (np.rint(1e9 * times).astype(np.int64) for times in (arrivals, start, end))
        return Trial(rate_per_second, intended, intended, began, done)

    def close(self) -> None:
        """See TimedWorker.close."""
        self.is_closed = True

    def _stalled(self, count: int) -> int | None:
        first = self._calls_made
        self._calls_made += count
        stall_call = self._runtime.stall_call
        if stall_call is None or not first <= stall_call < self._calls_made:
            return None
        return stall_call - first
