"""Gates: each is passed, failed or undecided by its interval, never by its point alone.

The candidate ships when every gate passes. That is an intersection-union test: each gate is tested at its
own level and nothing needs to be corrected for their number (Berger 1982, Technometrics 24).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from optbench.config import GatesConfig
from optbench.measure.statistics import replicates_needed
from optbench.quality.margin import beyond_margin
from optbench.quality.paired import judge_margin, rows_needed
from optbench.records import Decision, GateResult, Interval, Outcome, RunResult, Trust, replace

MIN_REPLICATES = 5
"""Fewer fresh pairs of processes give no interval that holds its level."""


def judge_gates(gates: GatesConfig, result: RunResult, max_failed_share: float = 1.0) -> list[GateResult]:
    """The gates that are asked, in the order of the config; none passes on rows that could not be read."""
    judged = gates_on_time(gates, result)
    candidate = result.variants.get("candidate")
    if gates.max_accuracy_drop is not None:
        judged.append(max_accuracy_drop(gates.max_accuracy_drop, result))
    if gates.max_size_bytes is not None:
        size = None if candidate is None else candidate.size_bytes
        judged.append(at_most("max_size_bytes", gates.max_size_bytes, size))
    if gates.max_peak_rss_bytes is not None:
        peak = None if candidate is None else candidate.peak_memory_bytes
        judged.append(at_most("max_peak_rss_bytes", gates.max_peak_rss_bytes, peak))
    if judged and (unread := failed_share(result)) > max_failed_share:
        needs = "rows that can be read and encoded; optbench.log and the notes name those that cannot"
        judged.append(GateResult("max_failed_share", "inconclusive", max_failed_share, unread, needs=needs))
    return judged


def gates_on_time(gates: GatesConfig, result: RunResult) -> list[GateResult]:
    """The gates that rest on timings; on a disturbed machine they cannot tell, unless that is accepted."""
    judged = []
    if gates.min_speedup is not None:
        judged.append(min_speedup(gates.min_speedup, result))
    if gates.max_p95_seconds is not None:
        judged.append(max_p95(gates.max_p95_seconds, result))
    if gates.min_requests_per_second is not None:
        judged.append(min_requests(gates.min_requests_per_second, result))
    if gates.accept_poor or result.trust is None or not result.trust.is_disturbed:
        return judged
    return [undecided(gate, result.trust) for gate in judged]


def undecided(gate: GateResult, trust: Trust) -> GateResult:
    """A gate whose timings nobody should rely on, beside what it lacks already."""
    seen = "grade poor" if trust.grade == "poor" else "red signals"
    needs = f"a machine that is not disturbed ({seen}; gates.accept_poor=true takes it as it is)"
    if gate.outcome == "inconclusive" and gate.needs:
        needs = f"{gate.needs}; and {needs}"
    return replace(gate, outcome="inconclusive", needs=needs)


def failed_share(result: RunResult) -> float:
    """Share of the rows that could not be read or encoded."""
    quality = result.quality
    if quality is None or not quality.failed_rows:
        return 0.0
    return quality.failed_rows / (quality.failed_rows + quality.rows)


def decide(judged: list[GateResult]) -> Decision:
    """SHIP if all pass, DO NOT SHIP if one fails, else INCONCLUSIVE."""
    outcomes = {gate.outcome for gate in judged}
    if not judged:
        return "NOT ASKED"
    if "fail" in outcomes:
        return "DO NOT SHIP"
    return "INCONCLUSIVE" if "inconclusive" in outcomes else "SHIP"


def min_speedup(bound: float, result: RunResult) -> GateResult:
    """The speed-up's whole interval must lie at or above `bound`."""
    name, comparison = "min_speedup", result.comparison
    if comparison is None:
        return GateResult(name, "inconclusive", bound, None, needs="a finished timing")
    estimate, thetas = comparison.speedup, comparison.replicate_log_ratios
    interval = estimate.interval
    if len(thetas) < MIN_REPLICATES or interval is None:
        needs = enough_replicates(len(thetas), result.config)
        return GateResult(name, "inconclusive", bound, estimate.value, interval, needs)
    if interval.low >= bound:
        return GateResult(name, "pass", bound, estimate.value, interval)
    if interval.high < bound:
        return GateResult(name, "fail", bound, estimate.value, interval)
    needs = more_replicates(thetas, abs(math.log(estimate.value / bound)))
    return GateResult(name, "inconclusive", bound, estimate.value, interval, needs)


def enough_replicates(found: int, config: Mapping[str, Any]) -> str:
    """How a run gets as many replicates as a gate on the speed-up needs, in the user's words."""
    needs = f"at least {MIN_REPLICATES} replicates, found {found}"
    measure = config.get("measure")
    asked = measure.get("replicates") if isinstance(measure, Mapping) else None
    if isinstance(asked, int) and asked >= MIN_REPLICATES:
        return f"{needs}, as the timing ended early; measure again"
    return (
        f"{needs} (leave out measure=quick or measure=screen, or set "
        f"measure.replicates={MIN_REPLICATES} measure.max_replicates={MIN_REPLICATES} or more)"
    )


def more_replicates(thetas: list[float], log_distance: float) -> str:
    """How many more replicates would tell the estimate from the bound, as far as the estimate says so."""
    if log_distance < 1e-3:
        return (
            "more replicates (measure.budget_seconds, measure.max_replicates), or another bound; how many "
            "cannot be computed, as the speed-up seen lies on the bound"
        )
    count = replicates_needed(thetas, math.expm1(log_distance))
    return f"about {max(1, count)} more replicates (measure.budget_seconds, measure.max_replicates)"


def max_p95(bound: float, result: RunResult) -> GateResult:
    """The whole interval of the candidate's p95 must lie at or below `bound` seconds."""
    name = "max_p95_seconds"
    candidate = result.variants.get("candidate")
    if candidate is None or candidate.latency is None:
        return GateResult(name, "inconclusive", bound, None, needs="a finished timing")
    p95 = next(item for item in candidate.latency.percentiles if item.q == 0.95)
    if p95.interval is None:
        return GateResult(name, "inconclusive", bound, p95.seconds, needs=p95.reason)
    outcome = below(p95.interval, bound)
    needs = "more replicates" if outcome == "inconclusive" else None
    return GateResult(name, outcome, bound, p95.seconds, p95.interval, needs)


def min_requests(bound: float, result: RunResult) -> GateResult:
    """The whole interval of the candidate's capacity must lie at or above `bound` per second."""
    name, server = "min_requests_per_second", result.server
    found = None if server is None else server.variants.get("candidate")
    if found is None or found.requests_per_second is None:
        needs = found.reason if found is not None else None
        return GateResult(name, "inconclusive", bound, None, needs=needs or "a search for the capacity")
    estimate = found.requests_per_second
    if estimate.interval is None or len(found.stream_rates) < MIN_REPLICATES:
        needs = f"at least {MIN_REPLICATES - len(found.stream_rates)} more streams"
        return GateResult(name, "inconclusive", bound, estimate.value, needs=needs)
    interval = estimate.interval
    outcome: Outcome = "inconclusive"
    if interval.low >= bound:
        outcome = "pass"
    elif interval.high < bound:
        outcome = "fail"
    needs = "more streams (measure.server.budget_seconds)" if outcome == "inconclusive" else None
    return GateResult(name, outcome, bound, estimate.value, interval, needs)


def below(interval: Interval, bound: float) -> Outcome:
    """pass if the whole interval is at or below the bound, fail if all of it is above."""
    if interval.high <= bound:
        return "pass"
    return "fail" if interval.low > bound else "inconclusive"


def max_accuracy_drop(margin: float, result: RunResult) -> GateResult:
    """Non-inferiority: the one-sided 95% limit of the accuracy's change must stay above -margin."""
    name = "max_accuracy_drop"
    metrics = result.quality.metrics if result.quality is not None else []
    accuracy = next((metric for metric in metrics if metric.name == "accuracy"), None)
    if accuracy is None or accuracy.difference is None or accuracy.gate_interval is None:
        return GateResult(name, "inconclusive", margin, None, needs="accuracy on labelled rows")
    outcomes: dict[str, Outcome] = {"not worse": "pass", "worse": "fail", "cannot tell": "inconclusive"}
    outcome = outcomes[judge_margin(accuracy.gate_interval, margin)]
    change = accuracy.difference.value
    needs = more_rows(change, margin, result) if outcome == "inconclusive" else None
    return GateResult(name, outcome, margin, -change, of_the_drop(accuracy.gate_interval), needs)


def of_the_drop(change: Interval) -> Interval:
    """The interval of a drop, from that of the change, whose sign is the opposite."""
    return Interval(-change.high, -change.low, change.level)


def more_rows(difference: float, margin: float, result: RunResult) -> str | None:
    """How many rows in all would tell, as far as the drop seen says so: the true one may be smaller."""
    quality = result.quality
    if quality is None or quality.broken is None or quality.fixed is None:
        return None
    discordant = (quality.broken + quality.fixed) / quality.rows
    rows = rows_needed(difference, discordant - difference**2, margin)
    if rows is None:
        where = beyond_margin(-difference, margin)
        return f"more rows, or another margin; how many cannot be computed, as the drop seen lies {where}"
    return f"about {max(1, rows - quality.rows):,} more rows ({rows:,} in all)"


def at_most(name: str, bound: float, value: int | None) -> GateResult:
    """A single number that is not estimated."""
    if value is None:
        return GateResult(name, "inconclusive", bound, None, needs="a system that tells it")
    return GateResult(name, "pass" if value <= bound else "fail", bound, value)
