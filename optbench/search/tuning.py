"""What a search makes of its points: who goes on, what each choice bought, and who won. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from optbench.quality.paired import judge_margin
from optbench.records import Choice, RunResult, Stage, TunedPoint
from optbench.search.objectives import quality_loss
from optbench.units import format_ratio

BROKEN_SHARE = 0.5
"""A screen in which fewer answers stay the same is not worth a full measurement, whatever it leaves open."""


def point_of(
    name: str, stage: Stage, choices: Mapping[str, str], directory: str, result: RunResult, margin: float
) -> TunedPoint:
    """The search's view of a finished run."""
    quality = result.quality
    agreement = None if quality is None or quality.agreement is None else quality.agreement.value
    excluded = 0
    candidate = result.variants.get("candidate")
    if candidate is not None and candidate.artifact is not None:
        excluded = int(candidate.artifact.details.get("nodes_excluded", 0))
    return TunedPoint(
        name=name,
        stage=stage,
        choices=dict(choices),
        directory=directory,
        status=result.status,
        speedup=None if result.comparison is None else result.comparison.speedup,
        quality_loss=quality_loss(result),
        agreement=agreement,
        outcome=outcome(result, margin),
        reason=None if result.failure is None else result.failure.message,
        excluded_nodes=excluded,
    )


def outcome(result: RunResult, margin: float) -> str | None:
    """Whether the leading metric lost less than `margin`, by its gate limits; null without a metric."""
    for metric in result.quality.metrics if result.quality is not None else []:
        if metric.gate_interval is not None:
            return judge_margin(metric.gate_interval, margin, metric.higher_is_better)
    return None


def speed(point: TunedPoint) -> float:
    """The speed-up; 0 where there is none."""
    return 0.0 if point.speedup is None else point.speedup.value


def is_hopeful(point: TunedPoint) -> bool:
    """Whether a screened point may turn out not worse."""
    if point.speedup is None or point.outcome in (None, "worse"):
        return False
    return point.agreement is None or point.agreement >= BROKEN_SHARE


def finalists(points: Sequence[TunedPoint], count: int) -> list[TunedPoint]:
    """The fastest points that may turn out not worse, the fastest first."""
    return sorted(filter(is_hopeful, points), key=speed, reverse=True)[:count]


def to_repair(points: Sequence[TunedPoint], count: int) -> list[TunedPoint]:
    """Points that are too bad to go on and faster than any that may; the fastest first."""
    best = max((speed(point) for point in points if is_hopeful(point)), default=0.0)
    failing = [point for point in points if point.speedup is not None and not is_hopeful(point)]
    faster = [point for point in failing if speed(point) > max(best, 1.0)]
    return sorted(faster, key=speed, reverse=True)[:count]


def pareto_front(points: Sequence[TunedPoint]) -> list[TunedPoint]:
    """Points that no other beats in speed without losing more quality; the fastest first."""
    known = [point for point in points if point.speedup is not None and point.quality_loss is not None]
    front: list[TunedPoint] = []
    for point in sorted(known, key=lambda one: (-speed(one), one.quality_loss)):
        if not front or (point.quality_loss or 0.0) < (front[-1].quality_loss or 0.0):
            front.append(point)
    return front


def latest(points: Sequence[TunedPoint]) -> list[TunedPoint]:
    """Each variant once, as it was measured last."""
    return list({point.name: point for point in points}.values())


def bought(points: Sequence[TunedPoint]) -> list[Choice]:
    """For each axis, each value against the axis's most frequent one; only over otherwise equal points."""
    known = [point for point in points if point.speedup is not None]
    choices = []
    for axis in sorted({axis for point in known for axis in point.choices}):
        values = [point.choices[axis] for point in known if axis in point.choices]
        usual = max(sorted(set(values)), key=values.count)
        for value in sorted(set(values) - {usual}):
            pairs = [
                (one, two) for one in known for two in known if differ_only(one, two, axis, usual, value)
            ]
            if pairs:
                choices.append(choice(axis, value, usual, pairs))
    return sorted(choices, key=lambda one: -abs(math.log(one.speedup_ratio)))


def differ_only(one: TunedPoint, two: TunedPoint, axis: str, first: str, second: str) -> bool:
    """Whether two points of one stage have these values on `axis` and are equal on every other."""
    if (one.choices.get(axis), two.choices.get(axis), one.stage) != (first, second, two.stage):
        return False
    return {**one.choices, axis: ""} == {**two.choices, axis: ""}


def choice(axis: str, value: str, against: str, pairs: Sequence[tuple[TunedPoint, TunedPoint]]) -> Choice:
    """What `value` bought over these pairs (against, value)."""
    ratios = [math.log(speed(two) / speed(one)) for one, two in pairs]
    losses = [
        two.quality_loss - one.quality_loss
        for one, two in pairs
        if one.quality_loss is not None and two.quality_loss is not None
    ]
    change = math.fsum(losses) / len(losses) if losses else None
    return Choice(axis, value, against, len(pairs), math.exp(math.fsum(ratios) / len(ratios)), change)


def winner(points: Sequence[TunedPoint]) -> TunedPoint | None:
    """The fastest point that was measured in full and is not worse."""
    passed = [point for point in points if point.stage == "final" and point.outcome == "not worse"]
    return max(passed, key=speed, default=None)


def sentence(points: Sequence[TunedPoint], margin: float) -> str:
    """The answer of a search in one sentence."""
    best = winner(points)
    finals = [point for point in points if point.stage == "final"]
    if best is not None and best.speedup is not None:
        interval = best.speedup.interval
        within = ""
        if interval is not None:
            within = f" (95% interval {format_ratio(interval.low)} to {format_ratio(interval.high)})"
        if interval is not None and interval.low <= 1:
            return f"Nothing that is not worse is shown to be faster; the best is {best.name}{within}."
        return (
            f"{best.name} is the fastest that is not worse by more than {margin:g}: "
            f"{format_ratio(best.speedup.value)} as fast as the baseline{within}."
        )
    if any(point.outcome == "cannot tell" for point in finals):
        return (
            f"No variant is shown to be worse or not worse by more than {margin:g}: more rows are needed "
            "than the search had, or a wider quality.margin."
        )
    if not finals and (hopeful := finalists(points, 1)):
        return (
            "No variant was measured in full, so nothing is shown; the fastest that may do is "
            f"{hopeful[0].name}, {format_ratio(speed(hopeful[0]))} in its screen."
        )
    return f"No variant was found that is faster and not worse by more than {margin:g}."
