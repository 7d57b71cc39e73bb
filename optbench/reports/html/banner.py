"""The head of a page: the decision and the grade in words, the sentence, and the numbers people look for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from optbench.records import Estimate, GateResult, RunResult, Trust
from optbench.reports.gates import beside_bound, terms_of
from optbench.reports.html.parts import Cell, Table, between, number, visible, words
from optbench.reports.html.run_charts import VARIANTS
from optbench.units import format_bytes, format_difference, format_ratio, format_seconds, format_share

DECISIONS = {
    "SHIP": ("good", "✓"),
    "DO NOT SHIP": ("bad", "✗"),
    "INCONCLUSIVE": ("unsure", "?"),
    "NOT ASKED": ("plain", "–"),
    "FAILED": ("bad", "✗"),
    "SKIPPED": ("unsure", "–"),
}
GRADES = {
    "good": ("good", "the machine was quiet"),
    "usable": ("unsure", "the machine showed something; see the signals"),
    "poor": ("bad", "the machine was disturbed; do not rely on these timings"),
    "quick look": ("unsure", "too short for an interval or a verdict"),
}
OUTCOMES = {"pass": ("good", "✓"), "fail": ("bad", "✗"), "inconclusive": ("unsure", "?")}
NOTHING_ASKED = "no gates were set"


@dataclass(frozen=True)
class Badge:
    """A word with a sign and a colour, what it is about, and what it means."""

    about: str
    word: str
    kind: str
    sign: str
    note: str = ""


@dataclass(frozen=True)
class Tile:
    """A number people look for."""

    name: str
    value: Cell
    note: str


def decision_badge(result: RunResult) -> Badge:
    """The verdict, or that there is none."""
    if result.status != "ok" or result.verdict is None:
        word = "SKIPPED" if result.status == "skipped" else "FAILED"
        stage = result.failure.stage if result.failure is not None else "its stages"
        return Badge("verdict", word, *DECISIONS[word], f"ended in: {visible(stage, 80)}")
    decision = result.verdict.decision
    gates = result.verdict.gates
    note = (
        NOTHING_ASKED
        if not gates
        else f"{sum(g.outcome == 'pass' for g in gates)} of {len(gates)} gates pass"
    )
    return Badge("verdict", decision, *DECISIONS[decision], note)


def grade_badge(trust: Trust | None) -> Badge:
    """How far to believe the timing."""
    if trust is None:
        return Badge("grade", "UNKNOWN", "plain", "–", "nothing was timed")
    kind, note = GRADES[trust.grade]
    sign = {"good": "✓", "bad": "✗"}.get(kind, "?")
    return Badge("grade", trust.grade.upper(), kind, sign, note)


def sentence_of(result: RunResult) -> str:
    """The one sentence; of a run without an answer, why."""
    if result.verdict is not None and result.status == "ok":
        return visible(result.verdict.sentence)
    if result.failure is not None:
        return visible(result.failure.message)
    return "This run has no answer."


def gates_table(gates: list[GateResult]) -> Table | None:
    """Bound, finding, interval and outcome of every gate."""
    if not gates:
        return None
    rows = []
    for gate in gates:
        terms = terms_of(gate.name)
        kind, sign = OUTCOMES[gate.outcome]
        low, high = (None, None) if gate.interval is None else (gate.interval.low, gate.interval.high)
        rows.append(
            [
                words(gate.name),
                Cell(f"{sign} {gate.outcome}", kind=f"outcome {kind}"),
                words(gate.needs or ""),
                number(gate.bound, terms.form),
                *(
                    number(value, partial(beside_bound, bound=gate.bound, form=form))
                    for value, form in ((gate.value, terms.form), (low, terms.ends), (high, terms.ends))
                ),
            ]
        )
    head = ["gate", "outcome", "what would settle it", "bound", "found", "from", "to"]
    if not any(gate.needs for gate in gates):
        head, rows = [*head[:2], *head[3:]], [[*row[:2], *row[3:]] for row in rows]
    return Table("Gates, judged by their intervals", head, rows, texts=len(head) - 4)


def tiles(result: RunResult) -> list[Tile]:
    """Speed-up, latency, weights, memory, leading metric and agreement, as far as they are known."""
    found: list[Tile] = []
    if result.comparison is not None:
        found.append(estimate_tile("speed-up", result.comparison.speedup, format_ratio))
    if not all(name in result.variants for name in VARIANTS):
        return found
    one, two = (result.variants[name] for name in VARIANTS)
    if one.latency is not None and two.latency is not None:
        means = one.latency.mean_seconds, two.latency.mean_seconds
        found.append(
            Tile("mean latency", number(means[1], format_seconds), f"baseline {format_seconds(means[0])}")
        )
    server = result.server
    if server is not None and server.capacity_ratio is not None:
        found.append(estimate_tile("capacity as a server", server.capacity_ratio, format_ratio))
    if one.artifact is not None and two.artifact is not None:
        sizes = one.artifact.size_bytes, two.artifact.size_bytes
        note = f"{format_share(sizes[1] / sizes[0], 0)} of {format_bytes(sizes[0])}" if sizes[0] else ""
        found.append(Tile("weights", number(float(sizes[1]), format_bytes), note))
    if one.cold_start is not None and two.cold_start is not None:
        before, after = one.cold_start.peak_memory_bytes, two.cold_start.peak_memory_bytes
        if before and after:
            note = f"{format_share(after / before, 0)} of {format_bytes(before)}"
            found.append(Tile("peak memory", number(float(after), format_bytes), note))
    return found + quality_tiles(result)


def quality_tiles(result: RunResult) -> list[Tile]:
    """The leading metric's change, and how many answers stay the same."""
    quality = result.quality
    if quality is None:
        return []
    found = []
    for metric in quality.metrics:
        if metric.difference is not None:
            share = metric.is_share

            def form(value: float, share: bool = share) -> str:
                return format_difference(value, share)

            found.append(estimate_tile(f"change of {visible(metric.name, 30)}", metric.difference, form))
            break
    if quality.agreement is not None:
        flips = "" if quality.broken is None else f"{quality.broken} broken, {quality.fixed} fixed"
        value = number(quality.agreement.value, format_share)
        found.append(Tile(f"same answers of {quality.rows:,}", value, flips))
    return found


def estimate_tile(name: str, estimate: Estimate, form: Callable[[float], str]) -> Tile:
    """A value with its interval below."""
    return Tile(name, number(estimate.value, form), between(estimate, form))
