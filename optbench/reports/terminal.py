"""A run on the terminal: what it is doing (stderr), then one table and one sentence (stdout)."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.status import Status

from optbench import __version__
from optbench.locations import LOG_FILE
from optbench.records import (
    RunResult,
)
from optbench.reports.console import console, say
from optbench.reports.gates import gate_line
from optbench.reports.margins import margin_lines
from optbench.reports.remarks import MOST_REASONS, grade_lines, group_lines, kernel_lines, note_lines
from optbench.reports.run_table import result_table
from optbench.units import (
    format_seconds,
    format_share,
)
from optbench.verbosity import Verbosity, verbosity

if TYPE_CHECKING:
    from optbench.config import RunConfig
    from optbench.measure.procedure import Progress


class Terminal:
    """The display of one run, or of a sweep's `point`. Plain lines in a pipe; silent with -q.

    beside_others: other points share the terminal, so only the end of this one is shown.
    """

    def __init__(self, point: str | None = None, beside_others: bool = False) -> None:
        self._point = point
        self._level = verbosity()
        self._shows_stages = self._level is not Verbosity.quiet and not beside_others
        self._out = console(sys.stdout)
        self._err = console(sys.stderr)
        self._status: Status | None = None
        self._title = ""

    def begin(self, config: RunConfig, directory: Path) -> None:
        """What runs and where to, so that a log read later tells."""
        if self._shows_stages:
            point = "" if self._point is None else f"{self._point}: "
            say(self._err, f"optbench {__version__}: {point}{what_runs(config, directory)}")

    @contextlib.contextmanager
    def stage(self, title: str) -> Iterator[None]:
        """Show a stage while it lasts, and its seconds when it is over; in a log also the time of day."""
        begun = time.perf_counter()
        self._title = title
        if not self._shows_stages:
            yield
            return
        if self._err.is_terminal:
            with self._err.status(f"{title} …") as self._status:
                yield
            self._status = None
        else:
            yield
        seconds = format_seconds(time.perf_counter() - begun)
        clock = "" if self._err.is_terminal else f"{time.strftime('%H:%M:%S')}  "
        self._err.print(f"  {clock}{title} [dim]{seconds}[/dim]", highlight=False)

    def progress(self, progress: Progress) -> None:
        """How far the timing has come, and how long it may last."""
        if self._status is None:
            return
        parts = [f"{self._title}: replicate {progress.replicates_done} done"]
        if progress.half_width is not None:
            parts.append(f"speed-up known to ±{format_share(progress.half_width)}")
        if progress.seconds_left is not None:
            parts.append(f"at most {format_seconds(max(0.0, progress.seconds_left))} to go")
        self._status.update(", ".join(parts) + " …")

    def finish(self, result: RunResult, result_file: Path) -> None:
        """The table and the answer, or why there is none."""
        if self._point is not None:
            say(self._out, self._point, "bold")
        if result.failure is not None:
            say(self._err, f"optbench: {result.status}: {result.failure.message}", "bold")
            say(self._err, f"What is known until then: {result_file}")
            if is_filled(result_file.with_name(LOG_FILE)):
                say(self._err, f"What its processes said: {result_file.with_name(LOG_FILE)}")
            if self._level is Verbosity.verbose and result.failure.details:
                say(self._err, result.failure.details)
            return
        if self._level is not Verbosity.quiet and self._point is None:
            most = None if self._level is Verbosity.verbose else MOST_REASONS
            for line in grade_lines(result.trust, most):
                say(self._out, line, "bold" if result.trust and result.trust.grade == "poor" else None)
            if result.variants.keys() >= {"baseline", "candidate"}:
                self._out.print(result_table(result))
            for line in kernel_lines(result) + margin_lines(result.quality) + group_lines(result.quality):
                say(self._out, line)
            for line in note_lines(result):
                say(self._out, line, "dim")
        if result.verdict is not None:
            for gate in result.verdict.gates:
                if self._level is not Verbosity.quiet or gate.outcome != "pass":
                    say(self._out, gate_line(gate))
            say(self._out, result.verdict.sentence, "bold")
        say(self._out, f"Result: {result_file}")


def what_runs(config: RunConfig, directory: Path) -> str:
    """The model, both sides, the shape and the directory, as in 'my_model, pytorch against onnxruntime'."""
    shape = f"batch {config.batch_size}"
    if config.measure.scope.value == "end_to_end":
        shape += " from raw rows to answers"
    elif config.task.has_length:
        shape += f" x {config.input_length}"
    if config.task.generated_tokens is not None:
        shape += f" + {config.task.generated_tokens} new"
    model = Path(config.model.path).name or config.model.path
    sides = f"{config.baseline.title()} against {config.candidate.title()}"
    place = directory.absolute()
    here = place.relative_to(Path.cwd()) if place.is_relative_to(Path.cwd()) else directory
    return f"{model}, {sides}, {shape}, into {here}"


def is_filled(file: Path) -> bool:
    """Whether a file is there and holds anything."""
    return file.is_file() and file.stat().st_size > 0
