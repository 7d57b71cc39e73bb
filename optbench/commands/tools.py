"""Commands beside a run: `optbench doctor`, `aggregate`, `compare`, `report`, `history`, `cache`, `export`.

What a command needs is imported when it runs, so that reading results does not wait for Hydra.
"""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from optbench.commands import cache, export, report
from optbench.commands.cache import ListFormat


class TableFormat(Enum):
    """How an aggregate is printed."""

    table = "table"
    markdown = "markdown"
    json = "json"


class ComparisonFormat(Enum):
    """How a comparison is printed."""

    table = "table"
    json = "json"
    junit = "junit"


app = typer.Typer(name="optbench", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.add_typer(cache.app)
app.command()(export.export)
app.command()(report.report)


@app.callback()
def tools() -> None:
    """Tools beside a run."""


@app.command()
def doctor(
    measure: Annotated[bool, typer.Option(help="Also compare a variant with itself.")] = True,
    budget_seconds: Annotated[float, typer.Option(min=1, help="Time for that.")] = 30.0,
) -> None:
    """Is this machine fit to measure, and how much does it differ from itself?"""
    from optbench.commands.doctor import examine
    from optbench.main import launch

    examine()
    if measure:
        raise typer.Exit(launch(["+experiment=noise_floor", f"measure.budget_seconds={budget_seconds}"]))


@app.command()
def aggregate(
    directories: Annotated[
        list[str], typer.Argument(metavar="DIR...", help="Sweeps, runs, or above; also URLs.")
    ],
    output: Annotated[
        Path | None, typer.Option(help="Where the files go; else DIR itself, if it is one.")
    ] = None,
    format_: Annotated[TableFormat, typer.Option("--format", help="What is printed.")] = TableFormat.table,
) -> None:
    """All points below DIR as one table, and as results.json, .csv, .parquet and run_body.json.

    It reports: points that failed, are damaged or never started are rows with their reason, and the exit code
    is 0 all the same. Whether a sweep went well is what the exit code of the sweep itself tells.
    """
    from optbench.records import to_json
    from optbench.reports.console import console, emit, say
    from optbench.reports.points import show, to_markdown, written_line
    from optbench.results.aggregate import aggregate as aggregate_results
    from optbench.results.remote import fetched, renamed
    from optbench.results.tables import write_all

    with fetched(directories) as places:
        found = renamed(aggregate_results([place.path for place in places]), places)
    if format_ is TableFormat.json:
        emit(to_json(found).decode())
    elif format_ is TableFormat.markdown:
        emit(to_markdown(found))
    else:
        show(found, console(sys.stdout))
    only = places[0] if len(places) == 1 and not places[0].is_copy else None
    place = output or (only.path if only is not None and only.path.is_dir() else None)
    if place is None:
        say(console(sys.stderr), "nothing is written for several DIR or a URL; name a place with --output")
    else:
        say(console(sys.stderr), written_line(write_all(found, place)))


@app.command()
def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="A run or sweep, or its URL: how it was.")],
    b: Annotated[str, typer.Argument(metavar="B", help="A run or sweep, or its URL: how it is now.")],
    fail_if: Annotated[
        list[str] | None, typer.Option(help="METRIC OP NUMBER, such as 'speedup<0.97'; may be repeated.")
    ] = None,
    format_: Annotated[
        ComparisonFormat, typer.Option("--format", help="What is printed.")
    ] = ComparisonFormat.table,
    output: Annotated[Path | None, typer.Option(help="A file for it, beside the table here.")] = None,
    allow_different: Annotated[
        bool, typer.Option("--allow-different", help="Compare unlike environments all the same.")
    ] = False,
) -> None:
    """Is B faster or slower than A, and are its answers as good, point by point?

    Exit code 1 if a condition fails, 4 if one is undecided, 3 if a point of B failed. A single run whose
    result.json is damaged is bad input, 2; a damaged point of a sweep is one that failed. Speeds are tested
    with measure.replicates=10 in both; answers to the same rows are paired while both runs keep their
    predictions.parquet.
    """
    from optbench.records import to_json
    from optbench.reports.comparison import as_text, show, to_junit
    from optbench.reports.console import console
    from optbench.results.compare import compare as compare_results
    from optbench.results.conditions import parse
    from optbench.results.remote import fetched, for_comparison

    conditions = [parse(text) for text in fail_if or []]
    with fetched([a, b], for_comparison) as (before, now):
        names = (before.named, now.named)
        found = compare_results(before.path, now.path, conditions, allow_different, names)
    if format_ is ComparisonFormat.table or output is not None:
        show(found, console(sys.stdout))
    if format_ is not ComparisonFormat.table or output is not None:
        content = {ComparisonFormat.json: to_json, ComparisonFormat.junit: to_junit}.get(format_, as_text)
        deliver(content(found), output)
    raise typer.Exit(found.exit_code)


def deliver(content: bytes, output: Path | None) -> None:
    """Bytes into a file, atomically, or onto stdout. Raises ResultError if the file cannot be written."""
    from optbench.errors import ResultError
    from optbench.records import write_atomically
    from optbench.reports.console import emit

    if output is None:
        emit(content.decode())
        return
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(output, content)
    except OSError as error:
        raise ResultError(f"--output {output} cannot be written: {error.strerror}") from error


@app.command()
def history(
    directories: Annotated[
        list[str] | None,
        typer.Argument(metavar="[add] [DIR...]", help="Runs to add first; after `add` nothing is listed."),
    ] = None,
    since: Annotated[str | None, typer.Option(help="Only runs from this date on.")] = None,
    model: Annotated[str | None, typer.Option(help="Only models with this in their path.")] = None,
    format_: Annotated[ListFormat, typer.Option("--format", help="What is printed.")] = ListFormat.table,
) -> None:
    """Every configuration ever added: its last run, and its change against the median of earlier ones."""
    from optbench import __version__
    from optbench.records import to_json
    from optbench.records.history import History
    from optbench.reports.console import console, say
    from optbench.reports.history import show
    from optbench.results import history as kept
    from optbench.results.remote import fetched, named

    given = list(directories or [])
    only_add = given[:1] == ["add"]
    places = given[1:] if only_add else given
    if only_add and not places:
        raise typer.BadParameter("history add needs the directories to add")
    file = kept.history_file()
    if places:
        with fetched(places) as found:
            new, known = kept.add([place.path for place in found], file, lambda path: named(found, path))
        say(console(sys.stderr), f"history: {new:,} added, {known:,} known already ({file})")
    if only_add:
        return
    listed = kept.trends(file, since, model)
    if format_ is ListFormat.json:
        record = History(optbench_version=__version__, file=str(file), trends=listed)
        sys.stdout.write(to_json(record).decode())
    else:
        show(listed, console(sys.stdout))
