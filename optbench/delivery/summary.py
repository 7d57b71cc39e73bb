"""The end of a sweep: its table on the terminal and in its directory."""

from __future__ import annotations

import sys
from pathlib import Path

from optbench.verbosity import Verbosity, verbosity


def summarise(directory: Path) -> None:
    """Print and write the sweep's table; its results stand whatever goes wrong with it."""
    from optbench.delivery.report import leave_sweep_page
    from optbench.reports.console import console, say
    from optbench.reports.points import show, written_line
    from optbench.results.aggregate import aggregate
    from optbench.results.tables import write_all

    try:
        found = aggregate([directory])
        if verbosity() is not Verbosity.quiet:
            show(found, console(sys.stdout))
        say(console(sys.stderr), written_line(write_all(found, directory)))
    except Exception as error:  # a table must never cost a sweep its exit code
        sys.stderr.write(f"optbench: no table of the points: {error}; their results lie in {directory}\n")
        return
    leave_sweep_page(directory, found)
