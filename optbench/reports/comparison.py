"""Two runs against each other, for a terminal and for CI: rendering only."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from xml.etree import ElementTree

from rich.console import Console

from optbench.records.comparison import ComparedPoint, Difference, Judgement, Measure, RunComparison
from optbench.records.values import Estimate
from optbench.reports.console import console, say
from optbench.reports.escape import markdown, one_line
from optbench.reports.point_cells import ratio_with_interval
from optbench.reports.text_tables import markdown_table, rich_table, wide_enough
from optbench.units import (
    MISSING_TEXT,
    format_bytes,
    format_difference,
    format_ratio,
    format_seconds,
)

MOST_DIFFERENCES = 12
LATENCIES = ("p50", "p95")
CHANGE = "_change"
MOST_NAMES = 3
LOUD = ("fail", "inconclusive")
"""Outcomes that end the command with another code than 0, and so are failures of a test."""


def from_to(measure: Measure | None, form: Callable[[float | None], str]) -> str:
    """A's value, B's value."""
    return MISSING_TEXT if measure is None else f"{form(measure.a)} → {form(measure.b)}"


def speedup_cell(point: ComparedPoint) -> str:
    """B's candidate speed over A's, or why there is none."""
    if point.status != "compared":
        return point.status
    measure = point.measures.get("speedup")
    return ratio_with_interval(measure.change if measure is not None else None)


def finding_cell(point: ComparedPoint) -> str:
    """What was found, and the adjusted p."""
    if point.status != "compared":
        return ""
    if point.finding == "not tested":
        return point.finding
    return f"{point.finding} (p {point.p_value_adjusted:.2g})"


def finding_text(point: ComparedPoint) -> str:
    """The same where there is room for the reason."""
    reason = point.finding_reason if point.finding == "not tested" else None
    return f"{finding_cell(point)}: {reason}" if reason else finding_cell(point)


def metric_name(comparison: RunComparison) -> str | None:
    """The first metric that is told of both."""
    names = (name for point in comparison.points for name in point.measures if name.endswith(CHANGE))
    return next(names, None)


def change_cell(point: ComparedPoint, name: str) -> str:
    """The change of a metric with its interval."""
    measure = point.measures.get(name)
    if measure is None or measure.change is None:
        return MISSING_TEXT
    return difference_text(measure.change, measure.is_share)


def difference_text(change: Estimate, is_share: bool) -> str:
    """A change as a run's table shows it: +0.00 pt (-2.50 pt to +2.50 pt)."""
    text = format_difference(change.value, is_share)
    if change.interval is None:
        return text
    ends = (format_difference(end, is_share) for end in (change.interval.low, change.interval.high))
    return f"{text} ({' to '.join(ends)})"


def rows_of(comparison: RunComparison) -> tuple[list[str], list[list[str]]]:
    """Head and a row for each point."""
    head = ["point", "B over A", "finding", *LATENCIES, "weights", "peak memory"]
    metric = metric_name(comparison)
    if metric is not None:
        head.append(one_line(metric.removesuffix(CHANGE), 24))
    rows = []
    for point in comparison.points:
        known = point.measures
        row = [point.name, speedup_cell(point), finding_cell(point)]
        row += [from_to(known.get(f"{name}_ratio"), format_seconds) for name in LATENCIES]
        row += [from_to(known.get(name), format_bytes) for name in ("size_ratio", "peak_memory_ratio")]
        rows.append([*row, change_cell(point, metric)] if metric is not None else row)
    return head, rows


def difference_lines(title: str, items: list[Difference]) -> list[str]:
    """Fields with both values, in one line."""
    if not items:
        return []
    told = "; ".join(f"{item.field}: {item.a} → {item.b}" for item in items[:MOST_DIFFERENCES])
    more = f"; and {len(items) - MOST_DIFFERENCES} more" if len(items) > MOST_DIFFERENCES else ""
    return [one_line(f"{title}: {told}{more}")]


def judgement_line(point: ComparedPoint, judged: Judgement) -> str:
    """A condition, its outcome, and what was found."""
    told = f"{judged.condition} at {point.name}: {judged.outcome}{found_text(point, judged)}"
    return one_line(f"{told}; {judged.reason}" if judged.reason else told)


def found_text(point: ComparedPoint, judged: Judgement) -> str:
    """, found 0.95x (0.93x to 0.97x); changes of metrics as everywhere else."""
    change, name = judged.change, re.split("[<>]", judged.condition)[0]
    if change is None:
        return ""
    measure = point.measures.get(name)
    if name.endswith(CHANGE):
        return f", found {difference_text(change, measure is not None and measure.is_share)}"
    text = f", found {format_ratio(change.value)}"
    if change.interval is None:
        return text
    return f"{text} ({format_ratio(change.interval.low)} to {format_ratio(change.interval.high)})"


def answers_texts(point: ComparedPoint, counts: bool) -> list[str]:
    """How the changes of a point's metrics were told. counts: with the rows that changed."""
    groups: dict[str, list[str]] = {}
    for name, measure in point.measures.items():
        if measure.basis is not None:
            told = groups.setdefault(basis_text(measure), [])
            flips = f" ({measure.broken} broken, {measure.fixed} fixed)"
            known = counts and measure.basis == "paired" and measure.broken is not None
            told.append(name.removesuffix(CHANGE) + flips * known)
    return [f"{', '.join(names)}: {text}" for text, names in groups.items()]


def basis_text(measure: Measure) -> str:
    """What a change of a metric rests on."""
    rows = "" if measure.rows is None else f" the same {measure.rows:,} rows"
    if measure.basis == "same model":
        return f"no change, the same files, settings and versions answered{rows}"
    if measure.basis == "paired":
        return f"paired, answer by answer, on{rows}"
    if measure.change is not None and measure.change.interval is None:
        return f"no interval: {measure.change.reason}"
    why = f" ({measure.basis_reason})" if measure.basis_reason else ""
    return f"unpaired, from both differences to the baseline{why}"


def remarks(comparison: RunComparison) -> list[str]:
    """What points have in common, each said once: how answers were compared, and why speed was not tested."""
    compared = [point for point in comparison.points if point.status == "compared"]
    where: dict[str, list[str]] = {}
    for point in compared:
        told = [finding_text(point)] if point.finding == "not tested" and point.finding_reason else []
        for text in [*told, *answers_texts(point, len(compared) == 1)]:
            where.setdefault(text, []).append(point.name)
    return [
        one_line(text if len(names) == len(compared) else f"{text}; at {few_names(names)}")
        for text, names in where.items()
    ]


def few_names(names: list[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more


def show(comparison: RunComparison, out: Console) -> None:
    """The differences, the table and the conditions on a console."""
    warnings = difference_lines("not alike, so read with care", comparison.environment)
    for line in warnings:
        say(out, line, "bold")
    for line in difference_lines("differs on purpose", comparison.config):
        say(out, line)
    head, rows = rows_of(comparison)
    table = rich_table(head, rows, 1)
    wide_enough(out, table)
    out.print(table)
    for point in comparison.points:
        if point.reason:
            say(out, one_line(f"{point.name}: {point.status}: {point.reason}"))
    say(out, "Latencies of two moments are shown, not tested.", "dim")
    for line in [*remarks(comparison), *comparison.notes]:
        say(out, one_line(line))
    for point in comparison.points:
        for judged in point.judgements:
            say(out, judgement_line(point, judged), "bold" if judged.outcome == "fail" else None)


def as_text(comparison: RunComparison) -> bytes:
    """What `show` prints, for a file."""
    text = io.StringIO()
    show(comparison, console(text))
    return text.getvalue().encode()


def to_markdown(comparison: RunComparison) -> str:
    """The same as Markdown."""
    head, rows = rows_of(comparison)
    lines = [
        *difference_lines("not alike, so read with care", comparison.environment),
        *difference_lines("differs on purpose", comparison.config),
        *(f"{point.name}: {point.status}: {point.reason}" for point in comparison.points if point.reason),
        *remarks(comparison),
        *comparison.notes,
        *(judgement_line(point, judged) for point in comparison.points for judged in point.judgements),
    ]
    parts = [
        f"### optbench: {markdown(f'{comparison.b} over {comparison.a}')}",
        markdown_table(head, rows, 1),
    ]
    if lines:
        parts.append("\n".join(f"- {markdown(line)}" for line in lines))
    return "\n\n".join(parts) + "\n"


def to_junit(comparison: RunComparison) -> bytes:
    """JUnit XML: a case for every condition at every point, or for every point without conditions.

    Whatever ends the command with another code than 0 is red: a condition that fails is a failure of type
    "fail", an undecided one of type "inconclusive", a point of B that failed an error.
    """
    root = ElementTree.Element("testsuites")
    suite = ElementTree.SubElement(root, "testsuite", name="optbench compare")
    for point in comparison.points:
        name = one_line(point.name)
        if point.status == "failed in B" or not point.judgements:
            case = ElementTree.SubElement(suite, "testcase", classname=name, name="speedup")
            if point.status == "failed in B":
                ElementTree.SubElement(case, "error", message=one_line(point.reason or point.status))
            elif point.status != "compared":
                ElementTree.SubElement(case, "skipped", message=one_line(point.reason or point.status))
            else:
                ElementTree.SubElement(case, "system-out").text = one_line(
                    f"{speedup_cell(point)}: {finding_text(point)}"
                )
        for judged in point.judgements:
            case = ElementTree.SubElement(suite, "testcase", classname=name, name=judged.condition)
            line = judgement_line(point, judged)
            if judged.outcome in LOUD:
                message = f"undecided: {line}" if judged.outcome == "inconclusive" else line
                ElementTree.SubElement(case, "failure", type=judged.outcome, message=message)
            else:
                ElementTree.SubElement(case, "system-out").text = line
    counts = {"tests": "testcase", "failures": "failure", "errors": "error", "skipped": "skipped"}
    for key, tag in counts.items():
        suite.set(key, str(len(list(suite.iter(tag)))))
    ElementTree.indent(root)
    text: bytes = ElementTree.tostring(root, "utf-8", xml_declaration=True)
    return text + b"\n"
