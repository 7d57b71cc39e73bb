"""One run as text: on a terminal, and as Markdown for a pull request or a CI step's summary."""

from __future__ import annotations

from rich.console import Console

from optbench.records import RunResult
from optbench.reports.card import conditions, rows, table
from optbench.reports.console import say
from optbench.reports.escape import fenced, markdown
from optbench.reports.gates import gate_line
from optbench.reports.margins import margin_lines
from optbench.reports.remarks import grade_lines, group_lines, kernel_lines, note_lines
from optbench.reports.run_table import result_table

BOTH = {"baseline", "candidate"}


def show(result: RunResult, out: Console, command: str) -> None:
    """The verdict and grade, the table, and what is to be said about it."""
    for line in head_lines(result):
        say(out, line, "bold")
    for line in grade_lines(result.trust):
        say(out, line)
    if result.variants.keys() >= BOTH:
        out.print(result_table(result))
    for line in finding_lines(result):
        say(out, line)
    if command:
        say(out, f"Again: {command}", "dim")


def head_lines(result: RunResult) -> list[str]:
    """The sentence; of a run without answer, why."""
    if result.failure is not None and result.status != "ok":
        return [f"{result.status} in {result.failure.stage}: {result.failure.message}"]
    return [] if result.verdict is None else [result.verdict.sentence]


def finding_lines(result: RunResult) -> list[str]:
    """Gates, margins, kernels, groups and notes."""
    gates = [] if result.verdict is None else [gate_line(gate) for gate in result.verdict.gates]
    told = [*kernel_lines(result), *margin_lines(result.quality), *group_lines(result.quality)]
    return [*gates, *told, *note_lines(result)]


def to_markdown(result: RunResult, command: str) -> str:
    """The same as Markdown."""
    decision = result.verdict.decision if result.verdict is not None else result.status.upper()
    grade = "" if result.trust is None else f", grade {result.trust.grade}"
    parts = [f"### optbench: {markdown(decision)}{markdown(grade)}"]
    parts += [f"**{markdown(line)}**" for line in head_lines(result)]
    if result.variants.keys() >= BOTH:
        parts += [table(rows(result)), conditions(result)]
    lines = [*(line.strip() for line in grade_lines(result.trust)), *finding_lines(result)]
    if lines:
        parts.append("\n".join(f"- {markdown(line)}" for line in lines))
    if command:
        parts.append(fenced(command, "bash"))
    return "\n\n".join(parts) + "\n"
