"""The report of a directory: read what lies there, render it, write it."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

import msgspec

from optbench.delivery.command_line import overrides_of, reproduce
from optbench.errors import ResultError
from optbench.locations import REPORT_FILE
from optbench.records import (
    DECODE_ERRORS,
    RESULT_FILE,
    Aggregate,
    RunResult,
    TuneResult,
    read_result,
    write_atomically,
)
from optbench.records.search import TUNE_FILE
from optbench.results.aggregate import aggregate

if TYPE_CHECKING:
    from rich.console import Console


class Page(Protocol):
    """A report that can be written as a page, and whose charts can be written alone."""

    def html(self) -> str:
        """The page."""

    def plots(self, directory: Path, png: bool) -> list[Path]:
        """Write the charts of the page as SVG or PNG files; returns their paths."""

    def show(self, out: Console) -> None:
        """The same facts on a terminal."""

    def markdown(self) -> str:
        """The same facts as Markdown."""


@dataclass(frozen=True)
class RunDirectoryPage:
    """The page of one run."""

    directory: Path
    result: RunResult

    def html(self) -> str:
        """The page, from the result and the raw values beside it."""
        from optbench.reports.html.run_page import run_html, sections

        report = self._report()
        return run_html(report, sections(report))

    def plots(self, directory: Path, png: bool) -> list[Path]:
        """Its charts as files."""
        from optbench.reports.html.plots import write_plots
        from optbench.reports.html.run_page import sections

        return write_plots(sections(self._report()), directory, png)

    def show(self, out: Console) -> None:
        """Sentence, grade, table and notes."""
        from optbench.reports.run_text import show

        show(self.result, out, command_of(self.directory, self.result))

    def markdown(self) -> str:
        """The same as Markdown."""
        from optbench.reports.run_text import to_markdown

        return to_markdown(self.result, command_of(self.directory, self.result))

    def _report(self) -> Any:
        from optbench.reports.html.raw import read_raw
        from optbench.reports.html.run_page import RunReport

        command = command_of(self.directory, self.result)
        return RunReport(self.result, read_raw(self.directory), command, self.directory.resolve().name)


@dataclass(frozen=True)
class SweepDirectoryPage:
    """The page of everything below a directory; `place` is where the page will lie."""

    directory: Path
    found: Aggregate
    place: Path

    def html(self) -> str:
        """The page, from the points' records."""
        from optbench.reports.html.sweep_page import sections, sweep_html

        report = self._report()
        return sweep_html(report, sections(report))

    def plots(self, directory: Path, png: bool) -> list[Path]:
        """Its charts as files."""
        from optbench.reports.html.plots import write_plots
        from optbench.reports.html.sweep_page import sections

        return write_plots(sections(self._report()), directory, png)

    def show(self, out: Console) -> None:
        """The table of all points and the maps."""
        from optbench.reports.points import show

        show(self.found, out)

    def markdown(self) -> str:
        """The same as Markdown."""
        from optbench.reports.points import to_markdown

        return to_markdown(self.found)

    def _report(self) -> Any:
        from optbench.reports.html.sweep_page import SweepReport
        from optbench.reports.points import without_common

        first = first_result(self.found)
        return SweepReport(
            aggregate=without_common(self.found),
            links=links_of(self.found, self.place),
            environment={} if first is None else first.environment,
            command="" if first is None else reproduce(first.command, None),
            name=self.directory.resolve().name,
            search=search_of(self.directory),
        )


def text_of(page: Page) -> str:
    """What a page shows on a terminal, as plain text."""
    from optbench.reports.console import console

    place = io.StringIO()
    page.show(console(place))
    return place.getvalue()


def page_of(directory: Path, output: Path | None = None) -> RunDirectoryPage | SweepDirectoryPage:
    """The page of a run directory or of what lies below a directory. Raises ResultError."""
    if directory.name == RESULT_FILE:
        directory = directory.parent
    if (directory / RESULT_FILE).is_file():
        return RunDirectoryPage(directory, read_result(directory))
    place = (output or directory / REPORT_FILE).absolute().parent
    return SweepDirectoryPage(directory, aggregate([directory]), place)


def command_of(directory: Path, result: RunResult) -> str:
    """The command line that measures a run again."""
    return reproduce(result.command, overrides_of(directory))


def links_of(found: Aggregate, place: Path) -> dict[str, str]:
    """From each point's directory to its page, relative to `place`; only pages that are there.

    A path begins with './' or '../' and is percent-encoded, so that no name can be read as an address.
    """
    links = {}
    for directory in {point.directory for point in found.points}:
        if os.path.isfile(f"{directory}/{REPORT_FILE}") and Path(directory) != place:  # noqa: PTH113
            relative = os.path.relpath(f"{directory}/{REPORT_FILE}", place)
            prefix = "" if relative.startswith("../") else "./"
            links[directory] = prefix + quote(relative.encode("utf-8", "surrogateescape"))
    return links


def first_result(found: Aggregate) -> RunResult | None:
    """The whole record of the first point that has one."""
    for point in found.points:
        if point.config_hash is not None:
            try:
                return read_result(Path(point.directory))
            except ResultError:
                continue
    return None


def search_of(directory: Path) -> TuneResult | None:
    """What a search over variants found, where the sweep was one."""
    try:
        return msgspec.json.decode((directory / TUNE_FILE).read_bytes(), type=TuneResult)
    except (OSError, *DECODE_ERRORS):
        return None


def leave_page(page: Page, directory: Path) -> None:
    """Write report.html into `directory`; results stand whatever goes wrong with it, which is told."""
    try:
        write_atomically(directory / REPORT_FILE, page.html().encode("utf-8", "replace"))
    except Exception as error:  # a page must never cost a run its result or exit code
        told = str(error).splitlines()[0] if str(error) else type(error).__name__
        sys.stderr.write(f"optbench: no {REPORT_FILE}: {told}; the results lie in {directory}\n")


def leave_run_page(directory: Path, result: RunResult) -> None:
    """The page of a run that has just ended."""
    leave_page(RunDirectoryPage(directory, result), directory)


def leave_sweep_page(directory: Path, found: Aggregate) -> None:
    """The page of a sweep that has just ended."""
    leave_page(SweepDirectoryPage(directory, found, directory.absolute()), directory)


def plots_line(written: Sequence[Path], directory: Path) -> str:
    """What was drawn, and where it lies."""
    names = ", ".join(path.name for path in written) or "no plots: there is nothing to draw"
    return f"Written: {directory}/ {names}"
