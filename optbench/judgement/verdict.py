"""The answer in one sentence, from the estimates and their intervals."""

from __future__ import annotations

import math

from optbench.config import GatesConfig
from optbench.judgement.gates import decide, judge_gates
from optbench.judgement.noise import is_self_comparison
from optbench.records import Estimate, MetricResult, RunResult, Verdict
from optbench.units import (
    format_difference,
    format_points,
    format_rate,
    format_ratio,
    format_seconds,
    format_share,
)


def judge(result: RunResult, gates: GatesConfig, max_failed_share: float = 1.0) -> Verdict:
    """The verdict of a finished run."""
    judged = judge_gates(gates, result, max_failed_share)
    decision = decide(judged)
    parts = [part for part in (speed(result), load(result), size(result), quality(result)) if part]
    sentence = "; ".join(parts)
    sentence = sentence[:1].upper() + sentence[1:] + "."
    if result.trust is not None and result.trust.is_disturbed:
        grade = " (grade poor)" if result.trust.grade == "poor" else ""
        sentence += f" But the machine was disturbed{grade}: measure again before you rely on it."
    if decision != "NOT ASKED":
        sentence = f"{decision}: {sentence}"
    return Verdict(decision, judged, sentence)


def candidate_name(result: RunResult) -> str:
    """The candidate in words, such as 'the candidate, onnxruntime,'."""
    candidate = result.variants["candidate"]
    plain = {"", candidate.backend, f"{candidate.backend} {candidate.quantization}"}
    if candidate.label not in plain:
        return f"the candidate, {candidate.label},"
    if candidate.quantization == "none":
        return f"the candidate, {candidate.backend},"
    return f"the candidate, {candidate.backend} with {candidate.quantization} quantization,"


def speed(result: RunResult) -> str:
    """How much faster or slower, as far as the interval allows to say, and of what."""
    whole = result.timing is not None and result.timing.scope == "end_to_end"
    words = speed_of_calls(result)
    return f"from raw rows to answers {words}" if words and whole else words


def speed_of_calls(result: RunResult) -> str:
    """How much faster or slower the timed calls are."""
    comparison = result.comparison
    if comparison is None:
        return ""
    estimate = comparison.speedup
    who = candidate_name(result)
    if estimate.interval is None:
        return f"{who} ran {format_ratio(estimate.value)} as fast in a quick look, which has no interval"
    low, high = estimate.interval.low, estimate.interval.high
    floor = comparison.noise_floor
    if is_self_comparison(result):
        return (
            f"{who} compared with itself, showed {format_ratio(low)} to {format_ratio(high)}: on this "
            f"machine a difference below {format_share(floor)} is noise"
        )
    if floor is not None and not low <= 1 <= high and abs(math.log(estimate.value)) < math.log1p(floor):
        return (
            f"no difference in speed shown: {who} ran {format_ratio(estimate.value)} as fast, which "
            f"is within the {format_share(floor)} that a variant differs from itself on this machine"
        )
    if low <= 1 <= high:
        return (
            f"no difference in speed shown: {who} ran {format_ratio(low)} to {format_ratio(high)} as fast "
            "as the baseline"
        )
    faster = estimate.value > 1
    value = estimate.value if faster else 1 / estimate.value
    bounds = (low, high) if faster else (1 / high, 1 / low)
    return (
        f"{who} is {format_ratio(value)} {'faster' if faster else 'slower'} than the baseline "
        f"(95% interval {format_ratio(bounds[0])} to {format_ratio(bounds[1])})"
    )


def load(result: RunResult) -> str:
    """How many more requests the candidate takes within the latency bound."""
    server = result.server
    if server is None or server.capacity_ratio is None:
        return ""
    rates = [server.variants[name].requests_per_second for name in ("baseline", "candidate")]
    if rates[0] is None or rates[1] is None:
        return ""
    ratio = server.capacity_ratio
    within = ""
    if ratio.interval is not None:
        low, high = (format_ratio(end) for end in (ratio.interval.low, ratio.interval.high))
        within = f" (95% interval {low} to {high})"
    return (
        f"within a p{100 * server.percentile:g} of {format_seconds(server.bound_seconds)} it takes "
        f"{format_rate(rates[1].value)} requests against {format_rate(rates[0].value)}, "
        f"{format_ratio(ratio.value)}{within}"
    )


def size(result: RunResult) -> str:
    """The size of the weights against the baseline's."""
    comparison = result.comparison
    if comparison is None or comparison.size_ratio is None:
        return ""
    if abs(comparison.size_ratio - 1) < 0.005:
        return ""
    return f"its weights take {format_share(comparison.size_ratio, 0)} of the space"


def quality(result: RunResult) -> str:
    """The first metric's change, with its interval."""
    if result.quality is None:
        return ""
    known = [metric for metric in result.quality.metrics if metric.difference is not None]
    margin = at_margin(known[0]) if known else ""
    parts = [f"{known[0].name} changes by {change(known[0])}{margin}"] if known else []
    agreement = result.quality.agreement
    if agreement is not None:
        parts.append(f"{format_share(agreement.value)} of the answers stay the same")
    return ("; " if margin else " and ").join(parts)


def at_margin(metric: MetricResult) -> str:
    """What that means at the margin, such as ', not worse at a margin of 1.00 pt'; empty without one."""
    found = metric.non_inferiority
    if found is None:
        return ""
    margin = format_points(found.margin).lstrip("+")
    if found.outcome == "cannot tell":
        return f", which leaves open whether it is worse by {margin}"
    return f", {found.outcome} at a margin of {margin}"


def change(metric: MetricResult) -> str:
    """A difference with its interval, in points where the metric is a share."""
    difference: Estimate | None = metric.difference
    if difference is None:
        return "an unknown amount"
    value = format_difference(difference.value, metric.is_share)
    if difference.interval is None:
        return value
    ends = (difference.interval.low, difference.interval.high)
    low, high = (format_difference(end, metric.is_share) for end in ends)
    return f"{value} (95% interval {low} to {high})"
