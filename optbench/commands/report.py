"""`optbench report`; what it needs is imported when it runs."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import Annotated, NoReturn

import typer


class ReportFormat(Enum):
    """What a report is written as."""

    html = "html"
    markdown = "markdown"
    terminal = "terminal"


def report(
    directory: Annotated[str, typer.Argument(metavar="DIR", help="A run, a sweep, or above; or a URL.")],
    output: Annotated[
        Path | None, typer.Option(help="A file for it; else DIR/report.html, or here if it is text.")
    ] = None,
    format_: Annotated[ReportFormat, typer.Option("--format", help="As what.")] = ReportFormat.html,
    plots: Annotated[Path | None, typer.Option(help="A directory for every plot as an SVG file.")] = None,
    png: Annotated[bool, typer.Option("--png", help="Plots as PNG files instead.")] = False,
) -> None:
    """One HTML file that holds everything of a run or sweep; or the same facts as text."""
    from optbench.errors import ResultError
    from optbench.results.remote import fetched, for_page

    if png and plots is None:
        raise typer.BadParameter("--png needs a directory for the plots; give --plots DIR")
    with fetched([directory], for_page) as (place,):
        if place.is_copy and output is None and format_ is ReportFormat.html:
            raise ResultError(f"--output must name a file for the page, since {directory} is a URL")
        make(place.path, output, format_, plots, png)


def make(directory: Path, output: Path | None, format_: ReportFormat, plots: Path | None, png: bool) -> None:
    """Make the report of a directory and write or print it. Raises ResultError."""
    from optbench.delivery.report import page_of, plots_line, text_of
    from optbench.locations import REPORT_FILE
    from optbench.reports.console import console, emit, say

    page = page_of(directory, output)
    if plots is not None:
        try:
            written = page.plots(plots, png)
        except OSError as error:
            refuse(f"--plots {plots}", error)
        say(console(sys.stderr), plots_line(written, plots))
    if format_ is ReportFormat.html:
        file = output or page.directory / REPORT_FILE
        write(page.html().encode("utf-8", "replace"), file, "--output")
        say(console(sys.stderr), f"Written: {file}")
    elif output is None:
        if format_ is ReportFormat.markdown:
            emit(page.markdown())
        else:
            page.show(console(sys.stdout))
    else:
        text = page.markdown() if format_ is ReportFormat.markdown else text_of(page)
        write(text.encode("utf-8", "replace"), output, "--output")
        say(console(sys.stderr), f"Written: {output}")


def write(content: bytes, file: Path, option: str) -> None:
    """Bytes into a file, atomically. Raises ResultError if it cannot be written."""
    from optbench.records import write_atomically

    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, content)
    except OSError as error:
        refuse(f"{option} {file}", error)


def refuse(what: str, error: OSError) -> NoReturn:
    """Raise ResultError that names what cannot be written, and why."""
    from optbench.errors import ResultError

    raise ResultError(f"{what} cannot be written: {error.strerror}; choose another place") from error
