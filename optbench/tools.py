"""Commands beside a run: `optbench doctor`, `optbench aggregate`.

What a command needs is imported when it runs, so that reading results does not wait for Hydra.
"""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer


class TableFormat(Enum):
    """How an aggregate is printed."""

    table = "table"
    markdown = "markdown"
    json = "json"


app = typer.Typer(name="optbench", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def tools() -> None:
    """Tools beside a run."""


@app.command()
def doctor(
    measure: Annotated[bool, typer.Option(help="Also compare a variant with itself.")] = True,
    budget_seconds: Annotated[float, typer.Option(min=1, help="Time for that.")] = 30.0,
) -> None:
    """Is this machine fit to measure, and how much does it differ from itself?"""
    from optbench.doctor import examine
    from optbench.main import launch

    examine()
    if measure:
        raise typer.Exit(launch(["+experiment=noise_floor", f"measure.budget_seconds={budget_seconds}"]))


@app.command()
def aggregate(
    directories: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Sweeps, runs, or above.")],
    output: Annotated[
        Path | None, typer.Option(help="Where the files go; else DIR itself, if it is one.")
    ] = None,
    format_: Annotated[TableFormat, typer.Option("--format", help="What is printed.")] = TableFormat.table,
) -> None:
    """All points below DIR as one table, and as results.json, .csv, .parquet and run_body.json."""
    from optbench.aggregate import aggregate as aggregate_results
    from optbench.records import to_json
    from optbench.reports.points import show, to_markdown, written_line
    from optbench.reports.terminal import console, say
    from optbench.tables import write_all

    found = aggregate_results(directories)
    if format_ is TableFormat.json:
        sys.stdout.write(to_json(found).decode())
    elif format_ is TableFormat.markdown:
        sys.stdout.write(to_markdown(found))
    else:
        show(found, console(sys.stdout))
    place = output or (directories[0] if len(directories) == 1 and directories[0].is_dir() else None)
    if place is None:
        say(console(sys.stderr), "nothing is written for several DIR; name a place with --output")
    else:
        say(console(sys.stderr), written_line(write_all(found, place)))
