"""The grammar of `--fail-if`: metric, operator, number; parsed, never evaluated."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass

from optbench.errors import ConfigError
from optbench.records.comparison import Judgement, Measure
from optbench.records.result import Outcome

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
        reason = f"{condition.metric} is not known of both"
        return Judgement(condition.text, "inconclusive", None, reason)
    if measure.exact:
        return Judgement(condition.text, "fail" if condition.holds(change.value) else "pass", change)
    if change.interval is None:
        return Judgement(condition.text, "inconclusive", change, change.reason or "there is no interval")
    ends = [condition.holds(end) for end in (change.interval.low, change.interval.high)]
    outcome: Outcome = "inconclusive"
    reason = "the interval holds the bound"
    if not any(ends):
        return Judgement(condition.text, "pass", change)
    if all(ends):
        if 1 / (1 + floor) < change.value < 1 + floor and condition.metric in ("speedup", "cpu_speedup"):
            reason = f"a variant differs from itself by {floor:.1%} on this machine"
        elif adjusted_p is not None and adjusted_p > SIGNIFICANT:
            reason = f"p {adjusted_p:.2g} against the bound, adjusted for the number of points"
        else:
            return Judgement(condition.text, "fail", change)
    return Judgement(condition.text, outcome, change, reason)
