"""The Hydra entrypoint: compose a config, run it, leave result.json, hand the objectives to Optuna."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from optbench import plugins
from optbench.config import RunConfig, register_run_schema
from optbench.draft import refused
from optbench.errors import ConfigError, OptbenchError, ResultError
from optbench.hooks import Session, hydra_message, point_title, print_problems, to_config
from optbench.locations import LOG_FILE, conf_dir
from optbench.records import RESULT_FILE
from optbench.resolvers import register_resolvers
from optbench.verbosity import Verbosity, verbosity

if TYPE_CHECKING:
    from optbench.config import RunConfig
    from optbench.crew import Templates
    from optbench.run import Outcome
    from optbench.tune import Search


FORESEEN = (HydraException, OmegaConfBaseException, OptbenchError, OSError, ValueError)
"""What a wrong command line or file ends in."""


def task(config: DictConfig) -> tuple[float, ...]:
    """One point: its `objectives`, for the sampler of a sweep. Never raises on bad input."""
    from optbench.objectives import objective
    from optbench.report import leave_run_page
    from optbench.reports.terminal import Terminal
    from optbench.run import run

    hydra_config = HydraConfig.get()
    directory = Path(hydra_config.runtime.output_dir)
    sweeping = hydra_config.mode is RunMode.MULTIRUN
    title = point_title(hydra_config.job.num, hydra_config.overrides.task) if sweeping else None
    terminal = Terminal(title)
    if verbosity() is Verbosity.verbose:
        logging.getLogger().addHandler(logging.StreamHandler())
    checked = to_config(config)
    search = search_of(checked, directory.parent) if sweeping else None
    if search is not None and (reason := search.refuses(checked)):
        return left_out(search, checked, directory, reason)
    templates = kept_templates(directory) if sweeping else None
    outcome = resumed(checked, directory) or run(checked, directory, terminal, templates)
    if search is not None:
        search.add(own_choices(hydra_config.overrides.task), checked, outcome)
    if outcome.nothing_measured and outcome.exit_code in (2, 130) and not sweeping:
        discard(directory)
        if outcome.exit_code == 130:
            raise KeyboardInterrupt
        print_problems(ConfigError(*str(outcome.error).splitlines()))
    else:
        terminal.finish(outcome.result, directory / RESULT_FILE)
        leave_run_page(directory, outcome.result)
    Session.exit_code = outcome.exit_code
    return tuple(objective(kind, outcome.result) for kind in checked.objectives)


def search_of(config: RunConfig, directory: Path) -> Search | None:
    """The search that the running sweep is, if it is one."""
    from optbench.records.search import TUNE_FILE
    from optbench.reports.terminal import Terminal
    from optbench.reports.tuning import show_search
    from optbench.tune import Search

    if config.tune is None or config.quality.margin is None:
        return None
    if Session.search is None:
        search = Search(directory, config.tune, config.quality.margin, Terminal)
        Session.search = search
        Session.at_end.insert(
            0,
            lambda: show_search(search.finish(Session.templates, Session.interrupted), directory / TUNE_FILE),
        )
    return Session.search


def left_out(search: Search, config: RunConfig, directory: Path, reason: str) -> tuple[float, ...]:
    """The objectives of a point that a search does not run, which gets a row all the same."""
    from optbench.objectives import WORST, objective
    from optbench.tune import leave_out

    leave_out(config, directory, reason)
    earlier = search.earlier(config)
    if earlier is None:
        return tuple(WORST[kind] for kind in config.objectives)
    return tuple(objective(kind, earlier) for kind in config.objectives)


def own_choices(overrides: Sequence[str]) -> dict[str, str]:
    """What sets a point of a sweep apart: axis to value."""
    pairs = [item.partition("=") for item in overrides]
    return {key: value for key, _, value in pairs if key in Session.axes}


def kept_templates(directory: Path) -> Templates:
    """The template processes that the points of a sweep share; they end with the sweep."""
    from optbench.crew import Templates

    if Session.templates is None:
        Session.templates = Templates(directory.parent / LOG_FILE)
        Session.at_end.append(Session.templates.close)
        atexit.register(Session.templates.close)
    return Session.templates


def resumed(config: RunConfig, directory: Path) -> Outcome | None:
    """The outcome of the same point in an earlier sweep, taken over; None if it must be measured."""
    from optbench.resume import finished_before, take_over
    from optbench.run import Outcome

    try:
        source = finished_before(config)
        if source is None:
            return None
        result = take_over(source, directory)
    except (ResultError, OSError):
        return None
    if verbosity() is not Verbosity.quiet:
        sys.stderr.write(f"  taken over from {source}\n")
    return Outcome(result, directory, None)


def discard(directory: Path) -> None:
    """Remove what Hydra wrote before it was known that the run cannot start; keep anything else."""
    shutil.rmtree(directory / ".hydra", ignore_errors=True)
    for file in (RESULT_FILE, LOG_FILE):
        (directory / file).unlink(missing_ok=True)
    for place in (directory, directory.parent):
        with contextlib.suppress(OSError):
            place.rmdir()


def discard_unused(directory: Path | None) -> None:
    """Remove what Hydra wrote for a run that was interrupted before it began."""
    if directory is not None and not (directory / RESULT_FILE).exists():
        discard(directory)


def launch(arguments: list[str]) -> int:
    """Run the Hydra application with `arguments`; returns the exit code."""
    register_run_schema()
    plugins.import_all()
    register_resolvers()
    Session.reset()
    application = hydra.main(
        config_path=str(conf_dir()), config_name="config", execution_whitelist=("optbench.*",)
    )(task)
    with arguments_of(arguments), full_errors() as wants_traceback:
        try:
            application()
        except KeyboardInterrupt:
            if not Session.sweeping:
                discard_unused(Session.directory)
            sys.stderr.write("optbench: interrupted\n")
            return 130
        except SystemExit as error:
            return error.code if isinstance(error.code, int) else 2
        except Exception as error:
            if wants_traceback or not (Session.sweeping or isinstance(error, FORESEEN)):
                raise
            if Session.sweeping:
                return ended_early(error)
            if isinstance(error, OSError) and not isinstance(error, HydraException):
                problems = [f"{error.filename} cannot be written or read: {error.strerror}"]
            else:
                problems = composition_problems(arguments, error)
            print_problems(ConfigError(*problems))
            return 2
    return Session.exit_code


def ended_early(error: Exception) -> int:
    """Say why a sweep ended before its last point, as when Hydra or a launcher failed; the exit code."""
    if isinstance(error, OSError) and error.strerror:
        told = refused(error.filename or Session.directory or "a file", error)
    else:
        told = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
    sys.stderr.write(
        f"optbench: the sweep ended before its last point: {told}; when that is mended, run it again with "
        f"resume={Session.directory}: what it has measured is taken over\n"
    )
    return 130 if Session.exit_code == 130 else 3


@contextlib.contextmanager
def arguments_of(arguments: list[str]) -> Iterator[None]:
    """Hydra reads sys.argv."""
    before = sys.argv
    sys.argv = ["optbench", *arguments]
    try:
        yield
    finally:
        sys.argv = before


@contextlib.contextmanager
def full_errors() -> Iterator[bool]:
    """Make Hydra raise instead of printing; yields whether the user asked for tracebacks."""
    asked = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield asked is not None
    finally:
        if asked is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = asked


def composition_problems(arguments: list[str], error: BaseException) -> list[str]:
    """Every override that cannot be composed: composition itself stops at the first."""
    overrides = [item for item in arguments if "=" in item and not item.startswith("-")]
    problems: list[str] = []
    message: str | None = hydra_message(error)
    while message is not None:
        problems.append(message)
        for override in overrides:
            fewer = [item for item in overrides if item != override]
            without = first_problem(fewer)
            if without != message:
                overrides, message = fewer, without
                break
        else:
            message = None
    return list(dict.fromkeys(problems))


def first_problem(overrides: list[str]) -> str | None:
    """What Hydra says about composing these overrides; None if they compose."""
    from hydra import compose, initialize_config_dir

    axes = [item for item in overrides if not item.startswith("hydra.")]
    try:
        with initialize_config_dir(config_dir=str(conf_dir())):
            compose("config", overrides=[first_value(item) for item in axes])
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        return hydra_message(error)
    return None


def first_value(override: str) -> str:
    """An override with the first of its values, as a sweep's first point has it."""
    try:
        (parsed,) = OverridesParser.create().parse_overrides([override])
    except HydraException:
        return override
    if not parsed.is_sweep_override():
        return override
    return f"{parsed.get_key_element()}={next(parsed.sweep_string_iterator())}"
