"""A plan on the terminal: points, time, what is prepared, disk, and what gives no answer."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable

from rich.table import Table
from rich.text import Text

from optbench.planning.lookup import Step
from optbench.planning.plan import Cost, Plan, Refusal
from optbench.reports.console import console, plural, say
from optbench.reports.escape import one_line
from optbench.units import format_bytes
from optbench.verbosity import Verbosity, verbosity

SHOWN_POINTS = 3
"""Points that a refusal names; the rest are counted."""
OUTCOMES = {"failed": "would fail", "skipped": "would be skipped"}
STATES = {
    "found": "in the cache",
    "likely": "in the cache, if the same rows are drawn to calibrate",
}


def show(plan: Plan) -> None:
    """Print a plan; with -q its points and its time only, and where nothing can run why not."""
    out = console(sys.stdout)
    say(out, head(plan), "bold")
    if not plan.can_run:
        for line in closing_lines(plan):
            say(out, line)
        return
    if verbosity() is Verbosity.quiet:
        say(out, total_line(plan))
        return
    out.print(grid([cost_row(cost) for cost in plan.costs]))
    say(out, f"  {total_line(plan)}", "bold")
    if plan.steps:
        say(out, "Prepared models:")
        out.print(grid([step_row(step) for step in plan.steps]))
    for line in [disk_line(plan), *closing_lines(plan)]:
        say(out, line)


def head(plan: Plan) -> str:
    """How many points there are."""
    axes = " x ".join(f"{count} {key}" for key, count in plan.axes.items())
    if plan.is_search:
        return f"Plan: a search among {axes or '1 variant'}, at most {plan.points} screens; nothing is run."
    if plan.points == 1:
        return "Plan: one run; nothing is run."
    looked = "" if plan.examined == plan.points else f", {plan.examined} of them looked at"
    return f"Plan: {plan.points} points{f' ({axes})' if axes else ''}{looked}; nothing is run."


def grid(rows: list[tuple[str, ...]]) -> Table:
    """Cells side by side, two characters in; text, never markup."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column()
    for row in rows:
        table.add_row("", *(Text(one_line(cell)) for cell in row))
    return table


def cost_row(cost: Cost) -> tuple[str, str, str]:
    """A part of the work, its time, and what that rests on."""
    if cost.seconds is None:
        return (cost.part, "not known", cost.basis)
    if not cost.seconds:
        return (cost.part, "none", "")
    if cost.at_most:
        return (cost.part, f"at most {rounded(cost.seconds, math.ceil)}", cost.basis)
    return (cost.part, f"about {rounded(cost.seconds)}", cost.basis)


def half_up(value: float) -> int:
    """The nearest whole number."""
    return math.floor(value + 0.5)


def rounded(seconds: float, whole: Callable[[float], int] = half_up) -> str:
    """Whole seconds or minutes, or tenths of an hour: a plan knows no better."""
    if seconds < 90:
        return f"{max(1, whole(seconds))} s"
    if seconds < 5400:
        return f"{whole(seconds / 60)} min"
    return f"{whole(seconds / 360) / 10} h"


def total_line(plan: Plan) -> str:
    """The time of all parts; less where the same was timed before and ended sooner."""
    unknown = " and ".join(f"the {cost.part}" for cost in plan.costs if cost.seconds is None)
    line = f"in all: about {rounded(plan.seconds)}" + (f" and {unknown}" if unknown else "")
    limit = next((cost.seconds or 0.0 for cost in plan.costs if cost.part == "timing"), 0.0)
    if plan.expected_timing_seconds is not None and plan.expected_timing_seconds < limit:
        sooner = plan.seconds - limit + plan.expected_timing_seconds
        line += f"; about {rounded(sooner)} if the timing ends as soon as before"
    return line


def step_row(step: Step) -> tuple[str, str, str]:
    """An entry of the cache: from what, how, and whether it is there."""
    if step.state != "made":
        return (
            step.step,
            f"{step.model}, {step.recipe}",
            f"{STATES[step.state]}, {format_bytes(step.size_bytes)}",
        )
    guess = "assumed" if step.assumed else "as earlier ones"
    cost = f"to be made: at most {format_bytes(step.size_bytes)}, about {rounded(step.seconds)} ({guess})"
    return (step.step, f"{step.model}, {step.recipe}", cost)


def disk_line(plan: Plan) -> str:
    """What the cache takes."""
    disk = plan.disk
    needed = f"at most {format_bytes(disk.needed_bytes)} more" if disk.needed_bytes else "nothing more"
    line = (
        f"Disk: {needed} in {disk.folder}, which holds {format_bytes(disk.holds_bytes)}; "
        f"{format_bytes(disk.free_bytes)} are free. A few MB besides for the directory of each run."
    )
    return line if disk.needed_bytes < disk.free_bytes else f"{line} THAT IS NOT ENOUGH."


def closing_lines(plan: Plan) -> list[str]:
    """What is taken over, refused, missing and unknown."""
    lines = []
    if plan.taken_over:
        lines.append(f"{count_of(plan.taken_over)} taken over from the earlier sweep.")
    lines += [refusal_line(refusal, single=plan.points == 1) for refusal in plan.refusals]
    lines += [f"To have what is missing: {command}" for command in plan.install]
    lines += [f"Not known: {one_line(text)}" for text in plan.unknown]
    return lines


def refusal_line(refusal: Refusal, single: bool) -> str:
    """Which points give no answer, and why."""
    if single:
        return f"It {OUTCOMES[refusal.status]}: {one_line(refusal.reason)}"
    names = ", ".join(refusal.points[:SHOWN_POINTS])
    more = len(refusal.points) - SHOWN_POINTS
    which = f"{names} and {more} more" if more > 0 else names
    return f"{count_of(len(refusal.points))} {OUTCOMES[refusal.status]} ({which}): {one_line(refusal.reason)}"


def count_of(points: int) -> str:
    """So many points."""
    return f"{points} point{plural(points)}"
