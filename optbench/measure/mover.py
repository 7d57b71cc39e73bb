"""Intervals of differences from the intervals of their parts.

Source: Zou & Donner 2008, "Construction of confidence limits about effect measures: a general approach"
(MOVER). The parts count as independent; parts that move together only make the interval too wide.
"""

from __future__ import annotations

import math

from optbench.records import Estimate, Interval


def difference(first: Estimate, second: Estimate) -> Estimate:
    """first - second with its interval; without, where either has none, and the reason."""
    value = first.value - second.value
    if first.interval is None or second.interval is None:
        known = first.reason if first.interval is None else second.reason
        return Estimate(value, reason=known or "one of both has no interval")
    low = math.hypot(first.value - first.interval.low, second.interval.high - second.value)
    high = math.hypot(first.interval.high - first.value, second.value - second.interval.low)
    return Estimate(value, Interval(value - low, value + high, first.interval.level))


def logarithm(estimate: Estimate) -> Estimate | None:
    """The log of a positive estimate and of its interval; None if any of them is not positive."""
    ends = estimate.interval
    if estimate.value <= 0 or (ends is not None and min(ends.low, ends.high) <= 0):
        return None
    interval = None if ends is None else Interval(math.log(ends.low), math.log(ends.high), ends.level)
    return Estimate(math.log(estimate.value), interval, estimate.reason)


def ratio(first: Estimate, second: Estimate) -> Estimate | None:
    """first / second with its interval, on the log scale; None unless all is positive and can be held."""
    logs = (logarithm(first), logarithm(second))
    if logs[0] is None or logs[1] is None:
        return None
    found = difference(logs[0], logs[1])
    ends = found.interval
    try:
        interval = None if ends is None else Interval(math.exp(ends.low), math.exp(ends.high), ends.level)
        return Estimate(math.exp(found.value), interval, found.reason)
    except OverflowError:
        return None
