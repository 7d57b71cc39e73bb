"""Latency percentiles, reported once they are earned, with intervals over replicates.

The order-statistic interval of pooled calls takes them for independent; with offsets between
processes of 2% it covers a third of what it promises. Woodruff's interval takes the replicates as
the independent units instead.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from optbench.records import Interval, Percentile

PERCENTILES = (0.5, 0.9, 0.95, 0.99, 0.999)
EARNED_CHANCE = 0.05
"""A percentile is earned once the largest call lies above it with a chance of 95%."""
LIMIT_CHANCE = 0.01
"""An interval needs the largest call above the percentile with 99%: its upper limit may be that call.

At 97.5% the p95 of 75 calls in 5 processes holds in 90% of runs, the p90 of 40 in 91%.
"""
LEVEL = 0.95
INTERVAL_REPLICATES = 5
PROCESSES_IN_TAIL = 0.2
"""An interval needs so many processes times the share of the tail: p99 20 replicates, p99.9 200.

Below that the tail is that of one process: p99 at R = 5 holds in 88% of runs, p99.9 at R = 20 in 86
to 92%.
"""
WIDENING = {0.9: 1.1, 0.95: 1.15, 0.99: 1.2}
"""Factor on the half-width from a percentile on.

Without it p90 holds in 93.2 to 95.1%, p95 in 92.3 to 94.4% and p99 in 90.6 to 91.8% of runs, with it
in 94.7 to 96.6, 95.0 to 96.7 and 95.2 to 96.0% (offset sd 2%; calls lognormal with cv 3%, independent
or AR(1) 0.5; 300, 1,000 and 5,000 calls in all; R = 5, 10, 20, p99 at 20; 2,000 runs each:
`scripts/check_instrument.py percentiles`).
"""


def earned_calls(q: float, chance: float = EARNED_CHANCE) -> int:
    """Calls of which the largest exceeds the q-quantile but for a `chance`: log(chance) / log(q).

    Source: the tolerance limit of Wilks 1941, as used by MLPerf's early stopping.
    """
    return math.ceil(math.log(chance) / math.log(q))


def percentile(q: float, replicates: Sequence[NDArray[np.float64]]) -> Percentile:
    """The pooled q-quantile in seconds (linear between order statistics), with its interval.

    replicates: seconds of the counted calls, one array [calls] per replicate. What the calls cannot
    support is null, with the reason.
    """
    pooled = np.concatenate(replicates) if replicates else np.empty(0)
    missing = earned_calls(q) - len(pooled)
    if missing > 0:
        return Percentile(q, None, reason=f"needs {count(missing, 'more call')}")
    seconds = float(np.quantile(pooled, q))
    if reason := interval_refused(q, replicates):
        return Percentile(q, seconds, reason=reason)
    return Percentile(q, seconds, woodruff(q, replicates))


def interval_replicates(q: float) -> int:
    """Least number of replicates behind an interval of the q-quantile."""
    return max(INTERVAL_REPLICATES, math.ceil(round(PROCESSES_IN_TAIL / (1 - q), 6)))


def interval_refused(q: float, replicates: Sequence[NDArray[np.float64]]) -> str | None:
    """Why a percentile gets no interval, or None.

    Where processes differ by more than their calls do, a high percentile is a statement about rare
    processes: five of them know it as little as five calls would (p95 holds in 67 to 88%).
    """
    missing = interval_replicates(q) - len(replicates)
    if missing > 0:
        return f"the interval needs {count(missing, 'more replicate')}"
    missing = earned_calls(q, LIMIT_CHANCE) - sum(map(len, replicates))
    if missing > 0:
        return f"the interval needs {count(missing, 'more call')}"
    processes = math.ceil(round(1 / (1 - q), 6))
    if q > 0.5 and len(replicates) < processes and differ_more_than_calls(replicates):
        missing = processes - len(replicates)
        return (
            "processes differ by more than the calls within them; the interval needs "
            f"{count(missing, 'more replicate')}"
        )
    return None


def differ_more_than_calls(replicates: Sequence[NDArray[np.float64]]) -> bool:
    """Whether the sd of the replicates' means exceeds the sd of the calls within them."""
    between = float(np.var([calls.mean() for calls in replicates], ddof=1))
    within = float(np.mean([calls.var(ddof=1) if len(calls) > 1 else 0.0 for calls in replicates]))
    return between > within


def woodruff(q: float, replicates: Sequence[NDArray[np.float64]]) -> Interval:
    """Pooled quantiles at q - h and q + h, h = t_{R-1} times the standard error of the share below.

    The share of calls at or below the pooled quantile is a ratio over replicates of unequal size;
    its standard error is never taken below that of independent calls. Clipped at the extremes.
    Source: Woodruff 1952, "Confidence intervals for medians and other position measures".
    """
    pooled = np.concatenate(replicates)
    centre = np.quantile(pooled, q)
    sizes = np.array([len(calls) for calls in replicates], dtype=np.float64)
    below = np.array([np.count_nonzero(calls <= centre) for calls in replicates])
    number = len(replicates)
    residuals = (below - sizes * below.sum() / sizes.sum()) / sizes.sum()
    clustered = number / (number - 1) * float(residuals @ residuals)
    variance = max(clustered, q * (1 - q) / len(pooled))
    widening = max((factor for start, factor in WIDENING.items() if q >= start), default=1.0)
    h = widening * float(stdtrit(number - 1, (1 + LEVEL) / 2)) * math.sqrt(variance)
    low, high = np.quantile(pooled, [max(0.0, q - h), min(1.0, q + h)])
    return Interval(float(low), float(high), LEVEL)


def count(number: int, noun: str) -> str:
    """'1 more call', '2 more calls'."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
