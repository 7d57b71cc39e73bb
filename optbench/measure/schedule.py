"""When which variant computes: replicates of fresh workers, and in each one random pairs of blocks.

Only one worker computes at any moment. A block is one settling call, which is recorded and never
counted, and as many counted calls as fill about `block_seconds`; blocks are short because the noise
of a machine is long-ranged, so neighbours in time share it (docs/methodology.md, "Alternate finely").
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from optbench.measure.samples import Block, Placed, Samples

SETTLING_CALLS = 1
MIN_PAIRS = 2
MAX_CALLS_PER_BLOCK = 1000
SHORT_CALL_SECONDS = 0.020
"""A block of calls shorter than this counts at least two of them."""
WARMUP_WINDOW_SECONDS = 0.5
"""A warm-up window of slower calls has fewer of them, or the warm-up would outlast the timing."""
FEWEST_WINDOW_CALLS = 2


@dataclass(frozen=True)
class WarmupRule:
    """Warm up until the last `window` calls' median is within `tolerance` of the `window` before.

    A window is no longer than half a second, but at least two calls; `min_calls` does not hold for
    calls that take longer than that.
    """

    min_calls: int = 10
    max_seconds: float = 5.0
    window: int = 10
    tolerance: float = 0.05


class TimedWorker(Protocol):
    """A process (or its stand-in) that owns one variant and times it on request."""

    def warm_up(self, rule: WarmupRule) -> list[int]:
        """Call until settled; wall nanoseconds of each call. Freezes garbage collection at the end."""

    def time_block(self, first_input: int, settling: int, counted: int) -> Block:
        """Time `settling + counted` calls on inputs first_input, first_input + 1, ...; then sleep."""

    def close(self) -> None:
        """End the process. Never raises."""


@dataclass(frozen=True)
class BlockPlan:
    """How long a replicate and its blocks are, in seconds of wall clock.

    counted_seconds: where set, a replicate lasts until the counted calls of every variant add up to
    it, however long that takes, and `replicate_seconds` does not matter.
    """

    replicate_seconds: float = 1.5
    block_seconds: float = 0.025
    counted_seconds: float | None = None


def is_settled(nanoseconds: Sequence[int], rule: WarmupRule) -> bool:
    """Whether the warm-up may end after calls that took `nanoseconds` each: settled, or out of time.

    Source: Barrett et al. 2017, "Virtual machine warmup blows hot and cold", on why a fixed number
    of warm-up calls is no rule; the windows and the tolerance are ours.
    """
    if not nanoseconds:
        return False
    call_seconds = warm_call_seconds(nanoseconds, rule)
    window = max(1, rule.window)
    least = rule.min_calls
    if window * call_seconds > WARMUP_WINDOW_SECONDS:
        window = min(window, max(FEWEST_WINDOW_CALLS, int(WARMUP_WINDOW_SECONDS / call_seconds)))
    if call_seconds > WARMUP_WINDOW_SECONDS:
        least = min(least, 2 * window)
    if len(nanoseconds) < least:
        return False
    if sum(nanoseconds) >= rule.max_seconds * 1e9:
        return True
    if len(nanoseconds) < 2 * window:
        return False
    last = statistics.median(nanoseconds[-window:])
    before = statistics.median(nanoseconds[-2 * window : -window])
    return abs(last - before) <= rule.tolerance * before


def warm_call_seconds(nanoseconds: Sequence[int], rule: WarmupRule) -> float:
    """Median seconds of the last window of a warm-up; 0 where nothing was called."""
    last = nanoseconds[-max(1, rule.window) :]
    return statistics.median(last) / 1e9 if last else 0.0


def counted_calls(call_seconds: float, block_seconds: float) -> int:
    """Counted calls in a block, so that settling and counted calls fill about `block_seconds`."""
    fewest = 2 if call_seconds < SHORT_CALL_SECONDS else 1
    if call_seconds <= 0:
        return MAX_CALLS_PER_BLOCK
    fitting = math.ceil(block_seconds / call_seconds) - SETTLING_CALLS
    return min(MAX_CALLS_PER_BLOCK, max(fewest, fitting))


def run_replicate(
    samples: Samples,
    replicate: int,
    workers: Mapping[str, TimedWorker],
    calls_per_block: Mapping[str, int],
    plan: BlockPlan,
    rng: random.Random,
    clock: Callable[[], float],
    probe: Callable[[], int] | None = None,
) -> None:
    """Append the blocks of one replicate to `samples`, pair by pair in random order, as planned.

    All variants see the same inputs in the same order. `clock` gives seconds; `probe` returns the
    nanoseconds of a fixed CPU loop, run before each pair as a gauge of the machine's own noise.
    Raises what a worker raises; the complete pairs before it are in `samples` then.
    """
    names = list(workers)
    started = clock()
    counted_nanoseconds = dict.fromkeys(names, 0)
    pair = 0
    while pair < MIN_PAIRS or not is_over(plan, clock() - started, counted_nanoseconds):
        probed = None if probe is None else probe()
        rng.shuffle(names)
        blocks = []
        for position, name in enumerate(names):
            block = workers[name].time_block(pair, SETTLING_CALLS, calls_per_block[name])
            blocks.append(Placed(replicate, pair, position, name, block))
            counted_nanoseconds[name] += block.counted_nanoseconds
        samples.extend(blocks)
        if probed is not None:
            samples.probe_nanoseconds.append((replicate, pair, probed))
        pair += 1


def is_over(plan: BlockPlan, passed_seconds: float, counted_nanoseconds: Mapping[str, int]) -> bool:
    """Whether a replicate has lasted as long as planned."""
    if plan.counted_seconds is None:
        return passed_seconds >= plan.replicate_seconds
    return min(counted_nanoseconds.values()) >= plan.counted_seconds * 1e9
