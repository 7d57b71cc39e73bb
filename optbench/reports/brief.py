"""Results in a few lines, as Python shows them: rendering only."""

from __future__ import annotations

from pathlib import Path

from optbench.judgement.verdict import change
from optbench.records import Aggregate, RunResult
from optbench.records.aggregate import Point
from optbench.records.comparison import ComparedPoint, RunComparison
from optbench.reports import comparison as compared
from optbench.reports import points
from optbench.reports.escape import one_line
from optbench.reports.point_cells import ratio_with_interval, speedup_cell
from optbench.reports.run_table import label
from optbench.units import format_share

MOST_POINTS = 20


def run_lines(result: RunResult, directory: str) -> list[str]:
    """Verdict and grade, the speed-up and the answers with their intervals, and where it lies."""
    verdict = result.verdict
    asked = verdict is not None and verdict.decision != "NOT ASKED"
    head = verdict.decision if verdict is not None and asked else result.status
    grade = "" if result.trust is None else f", grade {result.trust.grade}"
    lines = [f"optbench run: {head}{grade}"]
    if result.failure is not None and result.status != "ok":
        lines.append(one_line(f"in {result.failure.stage}: {result.failure.message}"))
    lines += [*speed_lines(result), *answer_lines(result), directory]
    return [lines[0], *(f"  {line}" for line in lines[1:])]


def speed_lines(result: RunResult) -> list[str]:
    """The candidate's speed against the baseline's."""
    if result.comparison is None:
        return []
    sides = [label(result.variants[name]) for name in ("candidate", "baseline")]
    speedup = ratio_with_interval(result.comparison.speedup)
    return [one_line(f"{sides[0]} against {sides[1]}: {speedup} as fast")]


def answer_lines(result: RunResult) -> list[str]:
    """The first metric of both, its change, and how many answers stay the same."""
    if result.quality is None:
        return []
    known = [m for m in result.quality.metrics if m.baseline is not None and m.candidate is not None]
    told = [f"{m.name} {m.baseline:.4f} → {m.candidate:.4f}, {change(m)}" for m in known[:1]]
    agreement = result.quality.agreement
    if agreement is not None:
        told.append(f"{format_share(agreement.value)} of {result.quality.rows} answers stay the same")
    return [one_line("; ".join(told))] if told else []


def aggregate_lines(found: Aggregate) -> list[str]:
    """How many points there are, and a line for each of the first."""
    lines = [f"optbench results: {points.heading(found)}"]
    lines += [f"  {line}" for line in points.warnings(found)]
    lines += [f"  {point_line(point)}" for point in found.points[:MOST_POINTS]]
    if len(found.points) > MOST_POINTS:
        lines.append(f"  and {len(found.points) - MOST_POINTS} more")
    return lines


def point_line(point: Point) -> str:
    """Where a point stands, and what it found or why it found nothing."""
    own_name = Path(point.directory).name if point.name == "." else point.name
    place = " ".join(f"{key}={value}" for key, value in point.axes.items()) or own_name
    if point.status != "ok":
        return one_line(f"{place}: {point.status}: {point.reason or 'no reason is known'}")
    grade = "" if point.grade is None else f", grade {point.grade}"
    decision = "" if point.decision in (None, "NOT ASKED") else f", {point.decision}"
    return one_line(f"{place}: {speedup_cell(point)} as fast{grade}{decision}")


def comparison_lines(found: RunComparison) -> list[str]:
    """What became of each point, and of each condition."""
    count = len(found.points)
    lines = [one_line(f"optbench comparison: {found.b} over {found.a}, {count} point{'s' * (count != 1)}")]
    warnings = compared.difference_lines("not alike, so read with care", found.environment)
    lines += [f"  {line}" for line in warnings]
    for point in found.points[:MOST_POINTS]:
        lines.append(f"  {compared_line(point)}")
        lines += [f"    {compared.judgement_line(point, judged)}" for judged in point.judgements]
    if count > MOST_POINTS:
        lines.append(f"  and {count - MOST_POINTS} more")
    return lines


def compared_line(point: ComparedPoint) -> str:
    """How the speed of a point's candidate changed, or why that is not known."""
    if point.status != "compared":
        return one_line(f"{point.name}: {point.status}{f': {point.reason}' if point.reason else ''}")
    finding = compared.finding_text(point)
    return one_line(f"{point.name}: {compared.speedup_cell(point)} as fast, {finding}")
