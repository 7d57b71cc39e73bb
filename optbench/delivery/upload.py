"""What follows a finished run: its page, and the copy of its directory at `results_url`.

Neither may cost a run its result: what goes wrong is told, once, and noted in the result.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

from optbench.delivery.report import leave_run_page
from optbench.errors import OptbenchError
from optbench.processes import host
from optbench.records import RESULT_FILE, RunResult, replace, write_result
from optbench.results.remote import copy_in, copy_out, joined, place_of
from optbench.stages.draft import INTERRUPTED


def hand_in(directory: Path, result: RunResult, url: str | None, sweep: Path | None = None) -> None:
    """Leave the page of a run in its directory, and a copy of the directory below `url`, if there is one.

    Not beside a timing, as drawing takes a moment of CPU; but who was told to end has no time to wait.
    """
    is_hurried = result.failure is not None and result.failure.kind == INTERRUPTED
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OptbenchError):  # no lock: the run has said so
            stack.enter_context(contextlib.nullcontext() if is_hurried else host.beside_others())
        leave_run_page(directory, result)
        if url is not None:
            deliver_run(directory, result, url, sweep)


def deliver_run(directory: Path, result: RunResult, url: str, sweep: Path | None) -> None:
    """Copy a run's directory below a URL; if that fails, the result gets a note of it."""
    try:
        copy_out(directory, joined(url, place_of(directory, sweep)))
    except OptbenchError as error:
        note = f"the results could not be copied to {url}: {error}; they lie in {directory}"
        sys.stderr.write(f"optbench: {note}\n")
        try:
            write_result(directory, replace(result, notes=[*result.notes, note]))
        except OSError as refused:
            sys.stderr.write(f"optbench: {directory / RESULT_FILE} cannot be written: {refused}\n")


def deliver_sweep(sweep: Path, url: str) -> None:
    """Copy a sweep's own files, such as its table and its plan, below a URL; tells what goes wrong."""
    try:
        copy_out(sweep, joined(url, place_of(sweep)))
    except OptbenchError as error:
        sys.stderr.write(f"optbench: the table could not be copied to {url}: {error}; it lies in {sweep}\n")


def fetch_points(sweep: Path, url: str) -> None:
    """Bring the points of a sweep that ran where its directory is not shared; tells what goes wrong."""
    try:
        copy_in(joined(url, place_of(sweep)), sweep, lacking=True)
    except OptbenchError as error:
        sys.stderr.write(f"optbench: results of other machines are not in the table: {error}\n")
