"""The outcome of a search on the terminal: the front, what each choice bought, the answer."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.table import Table
from rich.text import Text

from optbench.records import Choice, TunedPoint, TuneResult
from optbench.reports.console import console, say
from optbench.units import MISSING_TEXT, format_ratio, format_seconds, format_share
from optbench.verbosity import Verbosity, verbosity

LONGEST_LIST = 8


def show_search(result: TuneResult, file: Path) -> None:
    """Print a search's outcome."""
    out = console(sys.stdout)
    if verbosity() is not Verbosity.quiet:
        say(out, "")
        out.print(front_table(result))
        for choice in result.bought[:LONGEST_LIST]:
            say(out, choice_line(choice))
        say(out, f"The search took {format_seconds(result.seconds)} and ended with {result.ended_by}.", "dim")
    say(out, result.sentence, "bold")
    if result.winner is not None:
        say(out, f"Its run: {result.winner} (hand it over with: optbench export {result.winner} DIR)")
    say(out, f"Result: {file}")


def front_table(result: TuneResult) -> Table:
    """The points of the front and all that were measured in full, the fastest first."""
    table = Table(
        title="fastest for what it costs in quality; measured in full where it says final",
        title_justify="left",
        title_style="dim",
        box=None,
        pad_edge=False,
        header_style="bold",
    )
    table.add_column("variant", overflow="fold")
    for head in ("stage", "speed-up", "95% interval", "quality lost", "same answers", "at the margin"):
        table.add_column(head, justify="right")
    for point in shown_points(result):
        table.add_row(*map(Text, cells(point)))
    return table


def shown_points(result: TuneResult) -> list[TunedPoint]:
    """Each variant once, as it was measured last: those of the front or of the finals."""
    last = {point.name: point for point in result.points}
    chosen = [point for point in last.values() if point.stage == "final" or point.name in result.front]
    return sorted(chosen, key=lambda point: -point.speedup.value if point.speedup else 0.0)


def cells(point: TunedPoint) -> tuple[str, ...]:
    """One row of the table."""
    speedup = point.speedup
    interval = None if speedup is None else speedup.interval
    return (
        point.name,
        point.stage,
        MISSING_TEXT if speedup is None else format_ratio(speedup.value),
        "" if interval is None else f"{format_ratio(interval.low)} to {format_ratio(interval.high)}",
        MISSING_TEXT if point.quality_loss is None else f"{point.quality_loss:+.4f}",
        "" if point.agreement is None else format_share(point.agreement),
        point.outcome or (point.reason or MISSING_TEXT),
    )


def choice_line(choice: Choice) -> str:
    """What one choice bought, in a sentence."""
    line = (
        f"{choice.axis}={choice.value} against {choice.against}: {format_ratio(choice.speedup_ratio)} as fast"
    )
    if choice.quality_change is not None:
        line += f", quality lost {choice.quality_change:+.4f}"
    return f"{line} (over {choice.pairs} pair{'' if choice.pairs == 1 else 's'}, screens)"
