"""The grammar of `--fail-if`: metric, operator, number; parsed, never evaluated."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

from optbench.errors import ConfigError
from optbench.quality.paired import MOST_ROWS, rows_to_tell, upper_probability
from optbench.records.comparison import Judgement, Measure
from optbench.records.values import Estimate, Interval

OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
PATTERN = re.compile(
    r"\s*([A-Za-z][\w@.\-]*)\s*(<=|>=|<|>)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*", re.ASCII
)
RATIOS = (
    "speedup",
    "cpu_speedup",
    "p50_ratio",
    "p90_ratio",
    "p95_ratio",
    "p99_ratio",
    "size_ratio",
    "peak_memory_ratio",
    "capacity_ratio",
)
SPEEDS = ("speedup", "cpu_speedup")
CHANGE = "_change"
SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Condition:
    """When a comparison fails: the change of `metric` stands in this relation to `bound`."""

    metric: str
    sign: str
    bound: float

    @property
    def text(self) -> str:
        """The condition as it is written."""
        return f"{self.metric}{self.sign}{self.bound:g}"

    def holds(self, value: float) -> bool:
        """Whether a value lies in the range that fails."""
        return OPERATORS[self.sign](value, self.bound)


def parse(text: str) -> Condition:
    """The condition in `text`. Raises ConfigError with the grammar."""
    match = PATTERN.fullmatch(text)
    known = match is not None and (match[1] in RATIOS or match[1].endswith(CHANGE))
    if match is None or not known:
        raise ConfigError(
            f"--fail-if must be METRIC OP NUMBER, such as 'speedup<0.97', got {text!r}; METRIC is one of "
            f"{', '.join(RATIOS)}, agreement_change, or NAME_change of a metric, OP is <, <=, > or >="
        )
    return Condition(match[1], match[2], float(match[3]))


def judge(condition: Condition, measure: Measure | None, adjusted_p: float | None, floor: float) -> Judgement:
    """Whether a condition holds beyond doubt, is ruled out, or neither.

    adjusted_p: of the change against the bound, for the number of points; null where none is known.
    floor: a speed-up within it is no difference, so it cannot fail.
    """
    change = measure.change if measure is not None else None
    if measure is None or change is None:
        return Judgement(condition.text, "inconclusive", None, f"{condition.metric} is not known of both")
    if measure.exact:
        return Judgement(condition.text, "fail" if condition.holds(change.value) else "pass", change)
    if change.interval is None:
        return Judgement(condition.text, "inconclusive", change, change.reason or "there is no interval")
    ends = {condition.holds(end) for end in (change.interval.low, change.interval.high)}
    if len(ends) == 2:
        return undecided(condition, measure, change, change.interval)
    if ends == {False}:
        return Judgement(condition.text, "pass", change)
    reason: str | None = None
    if 1 / (1 + floor) < change.value < 1 + floor and condition.metric in SPEEDS:
        reason = f"a variant differs from itself by {floor:.1%} on this machine"
    elif adjusted_p is not None and adjusted_p > SIGNIFICANT:
        reason = f"p {adjusted_p:.2g} against the bound, adjusted for the number of points"
    return Judgement(condition.text, "inconclusive" if reason else "fail", change, reason)


def undecided(condition: Condition, measure: Measure, change: Estimate, interval: Interval) -> Judgement:
    """A condition whose bound lies within the interval, with what would settle it."""
    reason = "the interval holds the bound"
    if condition.metric in SPEEDS:
        more = f"{reason}; more replicates in both runs narrow it (measure.replicates)"
        return Judgement(condition.text, "inconclusive", change, more)
    if measure.rows is None:
        return Judgement(condition.text, "inconclusive", change, reason)
    needed = rows_to_tell(change.value, condition.bound, row_variance(measure, change, interval))
    if needed is None:
        told = f"{reason}; more rows would tell, but a change that lies on it does not say how many"
    else:
        told = f"{reason}; about {needed:,} rows would settle it, {measure.rows:,} here"
    return Judgement(condition.text, "inconclusive", change, told, needed)


def row_variance(measure: Measure, change: Estimate, interval: Interval) -> float:
    """The variance of one row's change: by the rows that changed, else from the interval's width."""
    rows = float(min(measure.rows or 0, MOST_ROWS))
    if measure.broken is not None and measure.fixed is not None and rows:
        return (measure.broken + measure.fixed) / rows - change.value * change.value
    if not 0 < interval.level < 1:  # of a damaged result
        return math.inf
    z = NormalDist().inv_cdf(upper_probability(interval.level))
    deviation = (interval.high - interval.low) / (2 * z)
    return rows * deviation * deviation  # a power would raise for what a damaged result may hold
