"""The Python API: the same runs, sweeps and comparisons as on the command line, from a script or a notebook.

What the command line answers with exit code 2 is raised here, before anything is left on disk; a run that
began and failed is a result that says so. Nothing is printed unless asked for, and Hydra, signals,
environment variables and sys.argv are left as they were.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from optbench.api.choices import Choice, axis_values, chosen, chosen_each, plan_of, raise_problems
from optbench.api.overrides import Overrides, as_overrides
from optbench.api.places import claimed, keep_overrides, logged, new_directory, run_name
from optbench.api.views import Compared, Results, Run, viewed
from optbench.config import RunConfig
from optbench.errors import ConfigError, OptbenchError, ResultError
from optbench.locations import CONFIG_NAME, LOG_FILE
from optbench.records import RESULT_FILE, read_result, to_json, write_atomically
from optbench.records.aggregate import PLAN_FILE, SweepPlan

if TYPE_CHECKING:
    from optbench.measure.procedure import Progress
    from optbench.processes.crew import Templates
    from optbench.run import Display, Outcome

Location = str | Path
BAD_INPUT = ConfigError.exit_code


def compose(
    overrides: Overrides = (), config_dir: Location | None = None, config_name: str = CONFIG_NAME
) -> RunConfig:
    """The config that the command line would run with these overrides, checked.

    config_dir, config_name: configs of your own, as with --config-dir and --config-name.
    Raises ConfigError that holds every problem.
    """
    return chosen(overrides, config_dir, config_name).checked()


def run(
    config: RunConfig | Overrides = (),
    directory: Location | None = None,
    quiet: bool = True,
    *,
    config_dir: Location | None = None,
) -> Run:
    """The result of one run; what was measured before a failure is in a result with status 'failed'.

    config: overrides as for `compose`, or a config. directory: where it goes; by default a new one below
    outputs/. quiet: print nothing; else what the command line shows.
    Raises ConfigError, DataError, MissingExtra or Unsupported where nothing could be measured, and leaves
    no directory then; KeyboardInterrupt when it is interrupted, and result.json holds what was measured.
    """
    choice = Choice(config, None) if isinstance(config, RunConfig) else chosen(config, config_dir)
    name = run_name(choice.checked())
    place = Path(directory) if directory is not None else new_directory(name)
    claim = claimed(place)
    try:
        outcome = carry_out(choice, place, None if quiet else "")
        error = outcome.error
        if outcome.nothing_measured and isinstance(error, OptbenchError) and error.exit_code == BAD_INPUT:
            claim.withdraw()
            raise error
    finally:
        claim.release()
    if isinstance(error, KeyboardInterrupt):
        raise error
    return viewed(Run, outcome.result, directory=str(place))


def sweep(
    axes: Mapping[str, Sequence[object]],
    overrides: Overrides = (),
    directory: Location | None = None,
    quiet: bool = True,
    *,
    config_dir: Location | None = None,
) -> Results:
    """The results of every combination of the axes' values, such as `{"quant": ["none", "dynamic"]}`.

    overrides: the same for all points. A point that cannot run or fails has its row and reason.
    Raises ConfigError where a point cannot be composed, before the first one runs; KeyboardInterrupt when
    interrupted: the points that are done stand in the directory.
    """
    fixed = as_overrides(overrides)
    values = axis_values(axes, fixed)
    combinations = itertools.product(*values.values())
    points = chosen_each([[*combination, *fixed] for combination in combinations], config_dir)
    raise_problems(points)
    place = Path(directory) if directory is not None else new_directory("sweep")
    claim = claimed(place)
    try:
        write_atomically(place / PLAN_FILE, to_json(SweepPlan(plan_of(values, fixed))))
        walk_points(points, place, quiet)
        return swept(place)
    finally:
        claim.release()


def load_run(path: Location) -> Run:
    """One run, from its directory or its result.json. Raises ResultError."""
    place = Path(path)
    return viewed(Run, read_result(place), directory=str(place if place.is_dir() else place.parent))


def load_results(*paths: Location | Run) -> Results:
    """Every run below these directories. Raises ResultError where there is none."""
    from optbench.results.aggregate import aggregate

    if not paths:
        raise ResultError("load_results needs a directory that holds results, such as 'outputs'")
    return viewed(Results, aggregate([place_of(path) for path in paths]))


def compare(
    a: Location | Run | Results,
    b: Location | Run | Results,
    fail_if: Sequence[str] = (),
    allow_different: bool = False,
) -> Compared:
    """B against A, point by point, as `optbench compare`; `exit_code` tells what became of the conditions.

    fail_if: conditions such as 'speedup<0.97'. allow_different: compare unlike environments all the same.
    Raises ResultError where either cannot be read or they cannot be compared, ConfigError for a condition.
    """
    from optbench.results.compare import compare as compare_results
    from optbench.results.conditions import parse

    conditions = [parse(text) for text in ([fail_if] if isinstance(fail_if, str) else fail_if)]
    return viewed(Compared, compare_results(place_of(a), place_of(b), conditions, allow_different))


def walk_points(points: Sequence[Choice], place: Path, quiet: bool) -> None:
    """Run each point in a directory of its own; they share their template processes."""
    from optbench.processes.crew import Templates

    templates = Templates(place / LOG_FILE)
    try:
        for number, point in enumerate(points):
            own = place / str(number)
            title = None if quiet else f"point {number}: {' '.join(point.overrides or [])}"
            claim = claimed(own)
            try:
                outcome = carry_out(point, own, title, templates)
            finally:
                claim.release()
            if isinstance(outcome.error, KeyboardInterrupt):
                raise outcome.error
    finally:
        templates.close()


def swept(place: Path) -> Results:
    """The table of a sweep, which is also written into its directory with its page."""
    from optbench.delivery.report import leave_sweep_page
    from optbench.results.aggregate import aggregate
    from optbench.results.tables import write_all

    found = aggregate([place])
    write_all(found, place)
    leave_sweep_page(place, found)
    return viewed(Results, found)


def carry_out(choice: Choice, place: Path, title: str | None, templates: Templates | None = None) -> Outcome:
    """Run one config in a directory that is there. title: of what is printed; null prints nothing."""
    from optbench.delivery.report import leave_run_page
    from optbench.main import resumed
    from optbench.reports.terminal import Terminal
    from optbench.run import run as run_config

    config = choice.composed
    if choice.overrides is not None:
        keep_overrides(place, choice.overrides)
    terminal = None if title is None else Terminal(title or None)
    display: Display = Silent() if terminal is None else terminal
    with logged(place / LOG_FILE):
        outcome = resumed(config, place, quiet=title is None)
        if outcome is None:
            outcome = run_config(config, place, display, templates, choice.command)
        leave_run_page(place, outcome.result)
    if terminal is not None:
        terminal.finish(outcome.result, place / RESULT_FILE)
    return outcome


class Silent:
    """A display that shows nothing."""

    def begin(self, config: RunConfig, directory: Path) -> None:
        """Nothing."""

    @contextlib.contextmanager
    def stage(self, title: str) -> Iterator[None]:
        """Nothing."""
        yield

    def progress(self, progress: Progress) -> None:
        """Nothing."""


def place_of(source: Location | Run | Results) -> Path:
    """The directory of a run or of results. Raises ResultError for results of several directories."""
    if isinstance(source, Run):
        return Path(source.directory)
    if isinstance(source, Results):
        if len(source.directories) != 1:
            raise ResultError(
                f"results of {len(source.directories)} directories cannot be compared as one; give the "
                "directory of one run or sweep"
            )
        return Path(source.directories[0])
    return Path(source)
