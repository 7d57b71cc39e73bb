"""Two finished runs or sweeps against each other, from what they kept.

Latencies of two moments cannot be compared: the machine has changed. Each run compared its candidate with
the same baseline at its own moment, so what is compared is theta_r, the log ratio of each replicate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from optbench import __version__
from optbench.errors import ConfigError, ResultError
from optbench.measure import mover
from optbench.measure.statistics import COMPARABLE_REPLICATES, holm, welch
from optbench.records import Comparison, Estimate
from optbench.records.aggregate import Point, Side
from optbench.records.comparison import ComparedPoint, Difference, Finding, Judgement, Measure, RunComparison
from optbench.records.values import replace
from optbench.results import conditions
from optbench.results.answers import changes
from optbench.results.conditions import RATIOS, Condition
from optbench.results.pairing import Loaded, Pair, load, on_purpose, pairs, place_of, unlike

SIGNIFICANT = 0.05
MOST = 100.0
"""A log ratio from which on a result must be damaged; the exp of seven times as much is no number."""
SPEEDS = {"speedup": "replicate_log_ratios", "cpu_speedup": "replicate_cpu_log_ratios"}


Names = tuple[Callable[[str], str], Callable[[str], str]]
"""What directories of A and of B are called."""


def compare(
    a: Path,
    b: Path,
    fail_if: Sequence[Condition] = (),
    allow_different: bool = False,
    names: Names = (str, str),
) -> RunComparison:
    """B against A, point by point.

    Raises ResultError if either cannot be read, nothing pairs, or environments differ and may not;
    ConfigError for a condition on a metric that no point has.
    """
    (in_a, lost_a), (in_b, lost_b) = load(a), load(b)
    axes, config = on_purpose(in_a, in_b)
    found, notes = pairs(in_a, in_b, axes)
    if in_a and in_b and not any(pair.a and pair.b for pair in found):
        raise ResultError(f"no point of {a} has a counterpart in {b}: they differ in {', '.join(axes)}")
    environment = differences(found)
    if environment and not allow_different:
        told = "; ".join(f"{item.field} ({item.a} and {item.b})" for item in environment)
        raise ResultError(
            f"{a} and {b} must come from equal environments, but differ in {told}; measure both alike, or "
            "compare all the same with --allow-different"
        )
    points = adjusted([compared(pair) for pair in found])
    points = judged(points, found, fail_if)
    points += [lost(point, "A") for point in lost_a] + [lost(point, "B") for point in lost_b]
    points = [
        replace(
            point,
            a=None if point.a is None else names[0](point.a),
            b=None if point.b is None else names[1](point.b),
        )
        for point in points
    ]
    return RunComparison(
        optbench_version=__version__,
        a=names[0](str(a)),
        b=names[1](str(b)),
        conditions=[condition.text for condition in fail_if],
        environment=environment,
        config=config,
        points=points,
        notes=notes,
    )


def differences(found: Sequence[Pair]) -> list[Difference]:
    """Each field in which any pair differs, once."""
    by_field: dict[str, Difference] = {}
    for pair in found:
        if pair.a is not None and pair.b is not None and both_ok(pair.a, pair.b):
            for item in unlike(pair):
                by_field.setdefault(item.field, item)
    return list(by_field.values())


def both_ok(a: Loaded, b: Loaded) -> bool:
    """Whether both runs came to their end."""
    return a.result.status == "ok" and b.result.status == "ok"


def lost(point: Point, side: str) -> ComparedPoint:
    """A point whose config is not known, so that it has no counterpart."""
    name = place_of(point) or ("the run" if point.name == "." else point.name)
    if side == "B":
        return ComparedPoint(name=name, status="failed in B", b=point.directory, reason=point.reason)
    reason = f"A {point.status}: {point.reason}"
    return ComparedPoint(name=name, status="not compared", a=point.directory, reason=reason)


def compared(pair: Pair) -> ComparedPoint:
    """One pair with all its measures."""
    a, b = pair.a, pair.b
    made = ComparedPoint(
        name=pair.name,
        status="compared",
        a=a.point.directory if a is not None else None,
        b=b.point.directory if b is not None else None,
    )
    if b is not None and b.result.status == "failed":
        return replace(made, status="failed in B", reason=b.point.reason)
    if a is None or b is None:
        return replace(made, status="only in B" if a is None else "only in A")
    if not both_ok(a, b):
        side = "A" if a.result.status != "ok" else "B"
        item = a if side == "A" else b
        reason = f"{side} {item.result.status}: {item.point.reason}"
        return replace(made, status="not compared", reason=reason)
    one, two = comparison_of(a), comparison_of(b)
    floors = [item.noise_floor for item in (one, two) if item is not None and item.noise_floor is not None]
    p_value = None
    thetas = [item.replicate_log_ratios if item is not None else [] for item in (one, two)]
    if why_untested(thetas) is None:
        p_value = welch(thetas[0], thetas[1]).p_value
    return replace(made, measures=measures(a, b), p_value=p_value, noise_floor=max(floors, default=None))


def comparison_of(item: Loaded) -> Comparison | None:
    """The comparison of this point's candidate."""
    return item.result.comparisons.get(item.point.variant)


def why_untested(thetas: Sequence[Sequence[float]]) -> str | None:
    """Why two runs are not tested: too few replicates, or one beyond what a machine can show; else null."""
    counts = [len(run) for run in thetas]
    if min(counts) < COMPARABLE_REPLICATES:
        here = " and ".join(dict.fromkeys(f"{count}" for count in counts))
        return f"needs measure.replicates={COMPARABLE_REPLICATES} in both runs ({here} here)"
    if any(abs(theta) >= MOST for run in thetas for theta in run):
        return "a replicate's speed-up is beyond what a machine can show: the result is damaged"
    return None


def measures(a: Loaded, b: Loaded) -> dict[str, Measure]:
    """Everything that can be told of both candidates."""
    found: dict[str, Measure | None] = {}
    one, two = comparison_of(a), comparison_of(b)
    untested: str | None = "one of both was not timed"
    if one is not None and two is not None:
        untested = why_untested([one.replicate_log_ratios, two.replicate_log_ratios])
        for name, field in SPEEDS.items():
            thetas = (getattr(one, field), getattr(two, field))
            found[name] = speed(getattr(one, name), getattr(two, name), *thetas)
    for q in (0.5, 0.9, 0.95, 0.99):
        found[f"p{100 * q:g}_ratio"] = percentile_ratio(a.point, b.point, q, untested)
    for name, field in (("size_ratio", "size_bytes"), ("peak_memory_ratio", "peak_memory_bytes")):
        found[name] = exact_ratio(a.point.candidate, b.point.candidate, field)
    if a.point.capacity_ratio is not None and b.point.capacity_ratio is not None:
        ends = (a.point.capacity_ratio, b.point.capacity_ratio)
        found["capacity_ratio"] = Measure(ends[0].value, ends[1].value, mover.ratio(ends[1], ends[0]))
    found |= changes(a, b)
    return {name: measure for name, measure in found.items() if measure is not None}


def speed(a: Estimate, b: Estimate, first: Sequence[float], second: Sequence[float]) -> Measure:
    """B's candidate speed over A's, each told against its own baseline; a and b are those speed-ups."""
    untested = why_untested([first, second])
    if untested is None:
        return Measure(a.value, b.value, welch(first, second).ratio)
    change = Estimate(b.value / a.value, reason=untested) if a.value > 0 else None
    return Measure(a.value, b.value, change)


def percentile_ratio(a: Point, b: Point, q: float, untested: str | None) -> Measure | None:
    """B's percentile over A's, each told against its own baseline; a and b are the seconds themselves."""
    ratios = []
    seconds = []
    for point in (a, b):
        sides = [percentile_of(side, q) for side in (point.candidate, point.baseline)]
        if sides[0] is None or sides[1] is None:
            return None
        seconds.append(sides[0].value)
        ratios.append(mover.ratio(sides[0], sides[1]))
    if ratios[0] is None or ratios[1] is None:
        return None
    change = mover.ratio(ratios[1], ratios[0])
    if change is not None and untested is not None:
        change = replace(change, interval=None, reason=untested)
    return Measure(seconds[0], seconds[1], change)


def percentile_of(side: Side | None, q: float) -> Estimate | None:
    """A percentile as an estimate."""
    known = side.latency.percentiles if side is not None and side.latency is not None else []
    item = next((item for item in known if item.q == q), None)
    if item is None or item.seconds is None:
        return None
    return Estimate(item.seconds, item.interval, item.reason)


def exact_ratio(a: Side | None, b: Side | None, field: str) -> Measure | None:
    """B's number over A's; neither is an estimate."""
    one, two = getattr(a, field, None), getattr(b, field, None)
    if not one or two is None:
        return None
    return Measure(one, two, Estimate(two / one), exact=True)


def adjusted(points: Sequence[ComparedPoint]) -> list[ComparedPoint]:
    """Adjust p for the number of points and say what was found."""
    tested = [point.p_value for point in points if point.p_value is not None]
    values = iter(holm(tested))
    return [
        with_finding(point, next(values) if point.p_value is not None else None)
        if point.status == "compared"
        else point
        for point in points
    ]


def with_finding(point: ComparedPoint, p_value: float | None) -> ComparedPoint:
    """What a point shows about the speed."""
    measure = point.measures.get("speedup")
    change = measure.change if measure is not None else None
    if change is None or change.interval is None or p_value is None:
        known = None if change is None else change.reason
        reason = "one of both was not timed" if measure is None else known
        return replace(point, finding="not tested", finding_reason=reason)
    interval, floor = change.interval, point.noise_floor
    finding: Finding = "faster" if change.value > 1 else "slower"
    why: str | None = None
    if interval.low <= 1 <= interval.high:
        finding, why = "no difference shown", "the interval holds 1"
    elif floor is not None and abs(math.log(change.value)) < math.log1p(floor):
        finding, why = "no difference shown", f"within the noise floor of {floor:.1%}"
    elif p_value > SIGNIFICANT:
        finding, why = "no difference shown", "p adjusted for the number of points is above 0.05"
    return replace(point, finding=finding, finding_reason=why, p_value_adjusted=p_value)


def judged(
    points: Sequence[ComparedPoint], found_pairs: Sequence[Pair], fail_if: Sequence[Condition]
) -> list[ComparedPoint]:
    """Hold every point against every condition. Raises ConfigError for a metric that no point has."""
    known = {name for point in points for name in point.measures}
    for condition in fail_if:
        if condition.metric not in known and condition.metric not in RATIOS and known:
            raise ConfigError(
                f"--fail-if {condition.text} must name a metric that was measured, got {condition.metric}; "
                f"these were: {', '.join(sorted(known))}"
            )
    judgements: list[list[Judgement]] = [[] for _ in points]
    for condition in fail_if:
        adjusted_p = against_bound(condition, found_pairs)
        for index, point in enumerate(points):
            if point.status in ("only in B", "failed in B"):
                continue
            if point.status != "compared":
                reason = point.reason or point.status
                judgements[index].append(Judgement(condition.text, "inconclusive", None, reason))
                continue
            measure, floor = point.measures.get(condition.metric), point.noise_floor or 0.0
            judgements[index].append(conditions.judge(condition, measure, adjusted_p.get(index), floor))
    return [replace(point, judgements=own) for point, own in zip(points, judgements, strict=True)]


def against_bound(condition: Condition, found_pairs: Sequence[Pair]) -> dict[int, float]:
    """p of every tested point's speed-up against the bound, adjusted for their number (Holm)."""
    field = SPEEDS.get(condition.metric)
    raw: dict[int, float] = {}
    if field is None or condition.bound <= 0:
        return raw
    shift = math.log(condition.bound)
    for index, pair in enumerate(found_pairs):
        if pair.a is None or pair.b is None or not both_ok(pair.a, pair.b):
            continue
        sides = [comparison_of(item) for item in (pair.a, pair.b)]
        if sides[0] is not None and sides[1] is not None:
            first, second = (getattr(side, field) for side in sides)
            if why_untested([first, second]) is None:
                raw[index] = welch([theta + shift for theta in first], second).p_value
    return dict(zip(raw, holm(list(raw.values())), strict=True))
