"""Logging what was measured: in a process of its own, which ends before anything else is measured.

Nothing here can cost a run its result or exit code. A tracker that cannot be reached, hangs or crashes
leaves a note.
"""

from __future__ import annotations

import contextlib
import os
import sys
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock

from optbench.components import component_name
from optbench.delivery.report import leave_run_page
from optbench.errors import OptbenchError, ResultError
from optbench.locations import LOG_FILE
from optbench.processes.child import start
from optbench.records import RESULT_FILE, RunResult, TrackedRun, read_result, replace, write_result
from optbench.stages.draft import INTERRUPTED
from optbench.tracking.tracker import Group, Tracker, Tracking, without_passwords
from optbench.verbosity import Verbosity, verbosity

GROUP_FILE = ".tracking-group"
LOCK_FILE = ".tracking-lock"
ENOUGH_FAILURES = 2
"""After so many failures in a row a sweep stops trying: each may take `tracking.timeout_seconds`."""

_in_a_row: Counter[Path] = Counter()


def publish(tracking: Tracking, result: RunResult, directory: Path, sweep: Path | None = None) -> RunResult:
    """The result with a word on where it was logged, or why not; rewritten in `directory`.

    sweep: directory of the sweep that the run is a point of. Raises nothing but KeyboardInterrupt.
    """
    if not isinstance(tracking, Tracker) or is_interrupted(result):
        return result
    own = f"tracking={component_name(tracking)}: this run was not logged: "
    before = [note for note in result.notes if not note.startswith(own)]
    place = sweep or directory
    if _in_a_row[place] >= ENOUGH_FAILURES:
        reason = f"logging failed {ENOUGH_FAILURES} times in a row, so it was not tried again"
        return left(replace(result, notes=[*before, own + reason]), directory, own + reason)
    try:
        tracked = in_child(tracking, "publish", directory, sweep)
    except (OptbenchError, OSError) as error:
        _in_a_row[place] += 1
        text = own + reason_of(error)
        return left(replace(result, notes=[*before, text]), directory, text)
    del _in_a_row[place]
    if tracked is None:
        say(f"{component_name(tracking)} has this run already; it is not logged again")
        return result
    say(f"logged to {tracked.store}: run {tracked.run}" + (f", {tracked.address}" if tracked.address else ""))
    return left(replace(result, notes=before, tracked=[*result.tracked, tracked]), directory)


def is_interrupted(result: RunResult) -> bool:
    """Whether somebody wants to get out rather than to wait for a tracker."""
    return result.failure is not None and result.failure.kind == INTERRUPTED


def left(result: RunResult, directory: Path, warning: str | None = None) -> RunResult:
    """Write the result again, and its page too where there is something to warn of; returns it."""
    if warning is not None:
        sys.stderr.write(f"optbench: {warning}\n")
    try:
        write_result(directory, result)
    except OSError as error:
        sys.stderr.write(f"optbench: {directory / RESULT_FILE} cannot be written again: {error.strerror}\n")
    if warning is not None:
        leave_run_page(directory, result)
    return result


def finish_sweep(tracking: Tracking, sweep: Path) -> None:
    """Log what a sweep has measured and not logged yet, then close its group. Raises nothing."""
    if not isinstance(tracking, Tracker):
        return
    name = component_name(tracking)
    for directory, result in untracked(sweep, name):
        publish(tracking, result, directory, sweep)
    try:
        if _in_a_row[sweep] < ENOUGH_FAILURES and (sweep / GROUP_FILE).is_file():
            in_child(tracking, "finish", sweep)
    except (OptbenchError, OSError) as error:
        sys.stderr.write(f"optbench: tracking={name}: the sweep was not closed: {reason_of(error)}\n")
    for file in (GROUP_FILE, LOCK_FILE):
        with contextlib.suppress(OSError):
            (sweep / file).unlink(missing_ok=True)


def untracked(sweep: Path, name: str) -> Iterator[tuple[Path, RunResult]]:
    """Points with numbers or a failure that a tracker of this name has not got: those of a search too."""
    for file in sorted(sweep.glob(f"*/{RESULT_FILE}")):
        with contextlib.suppress(ResultError):
            result = read_result(file)
            if result.status != "skipped" and name not in {one.tracker for one in result.tracked}:
                yield file.parent, result


def in_child(tracker: Tracker, method: str, *places: Path | None) -> TrackedRun | None:
    """What a `PublishHost` answers. Raises OptbenchError."""
    if missing := tracker.missing_extra():
        raise missing
    log = next(place for place in places if place is not None) / LOG_FILE
    environment = {key: value for key, value in tracker.environment.items() if key not in os.environ}
    child = start(
        component_name(tracker),
        "optbench.delivery.publishing:PublishHost",
        tracker,
        environment=environment,
        log=log,
    )
    try:
        child.receive(tracker.timeout_seconds)
        answer: TrackedRun | None = child.call(method, *places, timeout=tracker.timeout_seconds)
    except KeyboardInterrupt:
        child.kill()
        raise
    finally:
        child.close()
    return answer


def reason_of(error: BaseException) -> str:
    """An error on one line, without passwords."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = text.replace("measure.timeout_seconds if the model", "tracking.timeout_seconds if the store")
    return without_passwords(text)[:1000]


def say(line: str) -> None:
    """A line on stderr, unless quiet is asked for."""
    if verbosity() is not Verbosity.quiet:
        sys.stderr.write(f"{line}\n")


class PublishHost:
    """Lives in a process of its own and talks to one tracker."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker

    def publish(self, directory: Path, sweep: Path | None) -> TrackedRun | None:
        """Log the run in `directory`; null if this store has it already."""
        result = read_result(directory)
        name, store = component_name(self._tracker), self._tracker.store()
        if any((one.tracker, one.store) == (name, store) for one in result.tracked):
            return None
        if sweep is None:
            return self._tracker.publish(result, directory)
        with alone(sweep, self._tracker.timeout_seconds):
            return self._tracker.publish(result, directory, group_of(sweep))

    def finish(self, sweep: Path) -> None:
        """Close the group of a sweep."""
        with alone(sweep, self._tracker.timeout_seconds):
            self._tracker.finish_group(group_of(sweep))


def alone(sweep: Path, timeout: float) -> FileLock:
    """Held by one process of a sweep: a launcher's points must not all make the run above them."""
    return FileLock(sweep / LOCK_FILE, timeout=timeout)


def group_of(sweep: Path) -> Group:
    """The sweep as a group; its key lies in its directory while it runs. Call it under the lock."""
    file = sweep / GROUP_FILE
    if not file.is_file():
        file.write_text(uuid.uuid4().hex[:12], encoding="ascii")
    return Group(sweep.resolve().name, file.read_text(encoding="ascii").strip(), sweep)
