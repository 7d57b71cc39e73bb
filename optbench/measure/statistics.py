"""Estimates and their intervals from raw samples. The unit of replication is the process pair.

Calls of one process share its memory layout and its moment, so intervals over calls are far too
narrow; every interval here is a Student t over replicates (Kalibera & Jones 2013, "Rigorous
benchmarking in reasonable time"; figures in docs/methodology.md). theta_r, the log ratio of
replicate r, is positive where the candidate is faster.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from optbench.measure.percentiles import PERCENTILES, percentile
from optbench.measure.samples import Samples
from optbench.records import Estimate, Interval, Latency, Throughput

Clock = Literal["wall", "cpu"]

SEQUENTIAL_ALPHA_SHARE = 0.6
"""Share of the nominal error that an interval uses, as the stop on width uses up the rest.

With normal theta_r, looks at 5, 7, 10, 14, 20 and a stop at +-2%, plain 95% intervals hold the true
ratio in 92.2 to 95.0% of runs, depending on the sd of theta_r; computed at level 0.97 in 95.0 to
97.0% (60,000 runs each at 14 values of the sd from 1 to 8%). Looks 10 to 60 at +-1%: 95.9 to 97.0%;
t-distributed theta_r with 5 degrees of freedom: 95.7 to 97.6%. A share of 0.8 holds 93.6% at worst,
0.7 holds 94.3%. The price against plain intervals is 12% of width at R = 20.
"""
NO_INTERVAL_REASON = "needs at least 2 replicates"
COMPARABLE_REPLICATES = 10
"""Two finished runs are compared only if each has at least so many."""
OUTLIER_MADS = 3.0
MAD_TO_SD = 1.4826
LEAST_OUTLIER = 0.25
OUTLIER_GROUP_CALLS = 5
"""Blocks in a row are pooled up to so many calls, or the outlier itself would move their median."""


@dataclass(frozen=True)
class SpeedDrift:
    """Relative change of the speed-up from the first to the last replicate, and its two-sided p."""

    relative_change: float
    p_value: float


@dataclass(frozen=True)
class WelchTest:
    """Speed-up of the second run over the first one's, with a plain 95% interval."""

    ratio: Estimate
    degrees_of_freedom: float
    p_value: float


def log_ratios(samples: Samples, baseline: str, candidate: str, clock: Clock = "wall") -> list[float]:
    """theta_r = log(seconds per counted call of the baseline / the same of the candidate).

    One value per replicate in ascending order; replicates in which a variant has no counted call or
    no measurable time are left out (a worker died, or the CPU clock did not tick).
    """
    pairs = zip(samples.totals(baseline), samples.totals(candidate), strict=True)
    result = []
    for first, second in pairs:
        times = (
            (first.wall_seconds, second.wall_seconds)
            if clock == "wall"
            else (first.cpu_seconds, second.cpu_seconds)
        )
        if min(first.calls, second.calls) > 0 and min(times) > 0:
            result.append(math.log(times[0] / first.calls) - math.log(times[1] / second.calls))
    return result


def ratio_estimate(log_ratios: Sequence[float], level: float = 0.95) -> Estimate:
    """The speed-up exp(mean theta) with its interval exp(mean +- h), h as in `log_half_width`.

    One replicate gives no interval, and the reason. Raises ValueError without replicates.
    """
    if not log_ratios:
        raise ValueError("a ratio needs at least 1 replicate, got 0")
    centre = math.fsum(log_ratios) / len(log_ratios)
    if len(log_ratios) < 2:
        return Estimate(math.exp(centre), reason=NO_INTERVAL_REASON)
    return log_estimate(centre, log_half_width(log_ratios, level), level)


def log_estimate(centre: float, half_width: float, level: float) -> Estimate:
    """exp of an estimate and its symmetric interval on the log scale."""
    interval = Interval(math.exp(centre - half_width), math.exp(centre + half_width), level)
    return Estimate(math.exp(centre), interval)


def replicate_sd(log_ratios: Sequence[float]) -> float:
    """Standard deviation of theta over replicates (n - 1). Raises ValueError below 2 replicates."""
    if len(log_ratios) < 2:
        raise ValueError(f"a spread {NO_INTERVAL_REASON}, got {len(log_ratios)}")
    return float(np.std(log_ratios, ddof=1))


def student_quantile(replicates: int, level: float) -> float:
    """t with which a two-sided interval over replicates keeps `level` in spite of the stop rule."""
    alpha = SEQUENTIAL_ALPHA_SHARE * (1 - level)
    return float(stdtrit(replicates - 1, 1 - alpha / 2))


def log_half_width(log_ratios: Sequence[float], level: float = 0.95) -> float:
    """h = t sd(theta) / sqrt(R), on the log scale. Raises ValueError below 2 replicates."""
    count = len(log_ratios)
    return student_quantile(count, level) * replicate_sd(log_ratios) / math.sqrt(count)


def half_width(log_ratios: Sequence[float], level: float = 0.95) -> float:
    """Relative half-width of the speed-up, exp(h) - 1. Raises ValueError below 2 replicates."""
    return math.expm1(log_half_width(log_ratios, level))


def replicates_needed(log_ratios: Sequence[float], half_width_target: float, level: float = 0.95) -> int:
    """How many more replicates would reach a relative half-width, if the spread stays as it is.

    Raises ValueError below 2 replicates or without a positive target.
    """
    if half_width_target <= 0:
        raise ValueError(f"half_width_target must be > 0, got {half_width_target:g}")
    spread, target = replicate_sd(log_ratios), math.log1p(half_width_target)

    def reached(count: int) -> bool:
        return student_quantile(count, level) * spread <= target * math.sqrt(count)

    low = high = len(log_ratios)
    while not reached(high):
        low, high = high, 2 * high
    return bisect.bisect_left(range(high), True, lo=low, key=reached) - len(log_ratios)


def drift(log_ratios: Sequence[float]) -> SpeedDrift | None:
    """Trend of theta over the replicates: least squares slope times (R - 1), and its t test.

    None below 3 replicates.
    """
    theta = np.asarray(log_ratios, dtype=np.float64)
    count = len(theta)
    if count < 3:
        return None
    time = np.arange(count) - (count - 1) / 2
    slope = float(time @ theta / (time @ time))
    residuals = theta - theta.mean() - slope * time
    variance = float(residuals @ residuals) / (count - 2) / float(time @ time)
    p_value = two_sided_p(slope, variance, count - 2)
    return SpeedDrift(math.expm1(slope * (count - 1)), p_value)


def two_sided_p(difference: float, variance: float, degrees_of_freedom: float) -> float:
    """p of a t statistic; without any variance 1 for no difference and 0 for every other."""
    if variance == 0:
        return 1.0 if difference == 0 else 0.0
    statistic = abs(difference) / math.sqrt(variance)
    return float(2 * stdtr(degrees_of_freedom, -statistic))


def outlier_share(samples: Samples, variant: str) -> float:
    """Share of counted calls further than 3 x 1.4826 MAD, and 25%, from their neighbourhood's median.

    Without the 25% a runtime that hardly varies, or one with two modes, would have outliers on an idle
    machine. The neighbourhood
    is the block, or the blocks in a row that have at least 5 calls together; the MAD is that of all
    calls, relative to their own neighbourhoods' medians. 0 without counted calls.
    Source: Leys et al. 2013, "Detecting outliers: do not use standard deviation around the mean".
    """
    groups = [
        group / np.median(group) - 1
        for blocks in samples.counted_blocks(variant)
        for group in neighbourhoods(blocks)
    ]
    if not groups:
        return 0.0
    deviations = np.abs(np.concatenate(groups))
    limit = max(LEAST_OUTLIER, OUTLIER_MADS * MAD_TO_SD * float(np.median(deviations)))
    return float(np.mean(deviations > limit))


def neighbourhoods(blocks: Sequence[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
    """Blocks of one replicate joined in their order to groups of at least 5 calls."""
    groups: list[NDArray[np.float64]] = []
    waiting: list[NDArray[np.float64]] = []
    for block in blocks:
        waiting.append(block)
        if sum(map(len, waiting)) >= OUTLIER_GROUP_CALLS:
            groups.append(np.concatenate(waiting))
            waiting = []
    if waiting:
        last = [groups.pop()] if groups else []
        groups.append(np.concatenate([*last, *waiting]))
    return [group for group in groups if len(group)]


def latency(samples: Samples, variant: str) -> Latency:
    """Wall seconds of the counted calls of `variant`, pooled over replicates, and its percentiles.

    Raises ValueError without calls.
    """
    replicates = [np.concatenate(blocks) for blocks in samples.counted_blocks(variant)]
    replicates = [calls for calls in replicates if len(calls)]
    if not replicates:
        raise ValueError(f"no counted calls of {variant!r} to take a latency from")
    cpu_seconds = math.fsum(total.cpu_seconds for total in samples.totals(variant))
    calls = sum(map(len, replicates))
    return Latency(**pooled_facts(replicates), cpu_seconds_per_call=cpu_seconds / calls)


def pooled_facts(replicates: Sequence[NDArray[np.float64]]) -> dict[str, Any]:
    """Count, mean, spread, ends and percentiles of seconds, one array [calls] per replicate, none empty.

    std_seconds is that of single calls (n - 1; 0 for one call).
    """
    pooled = np.concatenate(replicates)
    return {
        "calls": len(pooled),
        "mean_seconds": float(pooled.mean()),
        "std_seconds": float(pooled.std(ddof=1)) if len(pooled) > 1 else 0.0,
        "min_seconds": float(pooled.min()),
        "max_seconds": float(pooled.max()),
        "percentiles": [percentile(q, replicates) for q in PERCENTILES],
    }


def throughput(samples: Samples, variant: str, batch_size: int) -> Throughput:
    """Samples and forwards per elapsed second of the counted blocks.

    The value is all work over all time, so one long stall shows in full; the interval is the t
    interval of the log rates of the replicates, laid about it. Raises ValueError without calls.
    """
    totals = [total for total in samples.totals(variant) if total.wall_seconds > 0]
    if not totals:
        raise ValueError(f"no counted calls of {variant!r} to take a throughput from")
    elapsed = math.fsum(total.wall_seconds for total in totals)
    forwards = sum(total.calls for total in totals) / elapsed
    rate = forwards * batch_size
    if len(totals) < 2:
        estimate = Estimate(rate, reason=NO_INTERVAL_REASON)
    else:
        log_rates = [math.log(total.calls / total.wall_seconds) for total in totals]
        estimate = log_estimate(math.log(rate), log_half_width(log_rates), 0.95)
    return Throughput(estimate, forwards, elapsed)


def welch(first: Sequence[float], second: Sequence[float], level: float = 0.95) -> WelchTest:
    """Speed-up of the second run against the first, by their theta_r, and whether they differ.

    Source: Welch 1947; degrees of freedom after Satterthwaite. Raises ValueError below 2 replicates.
    """
    parts = [replicate_sd(run) ** 2 / len(run) for run in (first, second)]
    variance = math.fsum(parts)
    difference = float(np.mean(second) - np.mean(first))
    freedom = len(first) + len(second) - 2.0
    if variance > 0:  # shares of it, as squares of tiny variances would underflow
        runs = zip(parts, (first, second), strict=True)
        freedom = 1 / sum((part / variance) ** 2 / (len(run) - 1) for part, run in runs)
    h = float(stdtrit(freedom, (1 + level) / 2)) * math.sqrt(variance)
    return WelchTest(
        ratio=log_estimate(difference, h, level),
        degrees_of_freedom=freedom,
        p_value=two_sided_p(difference, variance, freedom),
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """p values adjusted for their number, in the given order. Source: Holm 1979, Scand. J. Statist. 6, 65."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(order):
        highest = max(highest, (len(p_values) - rank) * p_values[index])
        adjusted[index] = min(1.0, highest)
    return adjusted
