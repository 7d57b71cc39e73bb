"""The Hydra entrypoint: compose a config, run it, leave result.json, hand the objectives to Optuna."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import ConfigCompositionException
from hydra.types import RunMode
from omegaconf import DictConfig

from optbench.claims import Claim
from optbench.delivery.command_line import SWEEP_FLAGS
from optbench.errors import ConfigError, OptbenchError, ResultError
from optbench.hydra_app import plugins
from optbench.hydra_app.arguments import own_name, own_places, words_of
from optbench.hydra_app.axes import own_overrides, point_title
from optbench.hydra_app.composition import (
    COMPOSING_ERRORS,
    composed,
    first_value,
    initialized,
    prepare,
)
from optbench.hydra_app.endings import discard, ended_early, give_back, interrupted, refuse
from optbench.hydra_app.invocation import Invocation
from optbench.hydra_app.typed import print_problems, to_config
from optbench.locations import CONFIG_NAME, HYDRA_DIRECTORY, LOG_FILE, conf_dir
from optbench.processes.termination import terminable
from optbench.records import RESULT_FILE
from optbench.search.objectives import WORST
from optbench.verbosity import Verbosity, verbosity

if TYPE_CHECKING:
    from optbench.config import RunConfig
    from optbench.processes.crew import Templates
    from optbench.run import Outcome
    from optbench.search.tune import Search

FORESEEN = (OptbenchError, *COMPOSING_ERRORS)
"""What a wrong command line or file ends in."""


def task(config: DictConfig) -> tuple[float, ...]:
    """One point: its `objectives`, for the sampler of a sweep. Never raises on bad input."""
    hydra_config = HydraConfig.get()
    directory = Path(hydra_config.runtime.output_dir)
    try:
        checked = to_config(config)
    except ConfigError as error:  # a config that has not our callbacks, so that Hydra has made its directory
        discard(directory, hydra_config)
        return refused_point(error)
    if hydra_config.mode is not RunMode.MULTIRUN:  # claimed before Hydra made it
        return point(checked, directory)
    try:
        claim = Claim.take(directory, "the point's directory", begun=(HYDRA_DIRECTORY, LOG_FILE))
    except ConfigError as error:
        refused_point(error)
        return tuple(WORST[kind] for kind in checked.objectives)
    try:
        return point(checked, directory)
    finally:
        claim.release()


def refused_point(error: ConfigError) -> tuple[float, ...]:
    """No objectives: say what is wrong."""
    print_problems(error)
    Invocation.exit_code = error.exit_code
    return ()


def point(config: RunConfig, directory: Path) -> tuple[float, ...]:
    """The objectives of a checked config that runs in a directory of its own."""
    from optbench.delivery.publishing import publish
    from optbench.delivery.upload import hand_in
    from optbench.reports.terminal import Terminal
    from optbench.run import run
    from optbench.search.objectives import objective

    hydra_config = HydraConfig.get()
    sweeping = hydra_config.mode is RunMode.MULTIRUN
    title = point_title(hydra_config.job.num, hydra_config.overrides.task) if sweeping else None
    terminal = Terminal(title, beside_others=Invocation.launched)
    if verbosity() is Verbosity.verbose:
        logging.getLogger().addHandler(logging.StreamHandler())
    search = search_of(config, directory.parent) if sweeping else None
    if search is not None and (refusal := search.refuses(config)):
        return left_out(search, config, directory, refusal)
    templates = kept_templates(directory) if sweeping else None
    outcome = resumed(config, directory) or run(config, directory, terminal, templates)
    if search is not None:
        search.add(own_choices(hydra_config.overrides.task), config, outcome)
    if outcome.left_nothing and not sweeping:
        give_back(outcome)
    else:
        terminal.finish(outcome.result, directory / RESULT_FILE)
        sweep = Path(hydra_config.sweep.dir) if sweeping else None
        hand_in(directory, outcome.result, config.results_url, sweep)
        publish(config.tracking, outcome.result, directory, directory.parent if sweeping else None)
    Invocation.exit_code = outcome.exit_code
    return tuple(objective(kind, outcome.result) for kind in config.objectives)


def search_of(config: RunConfig, directory: Path) -> Search | None:
    """The search that the running sweep is, if it is one."""
    from optbench.records.search import TUNE_FILE
    from optbench.reports.terminal import Terminal
    from optbench.reports.tuning import show_search
    from optbench.search.tune import Search

    if config.tune is None or config.quality.margin is None:
        return None
    if Invocation.search is None:
        search = Search(directory, config.tune, config.quality.margin, Terminal)
        Invocation.search = search
        Invocation.at_end.insert(
            0,
            lambda: show_search(
                search.finish(Invocation.templates, Invocation.interrupted), directory / TUNE_FILE
            ),
        )
    return Invocation.search


def left_out(search: Search, config: RunConfig, directory: Path, reason: str) -> tuple[float, ...]:
    """The objectives of a point that a search does not run, which gets a row all the same."""
    from optbench.search.objectives import WORST, objective
    from optbench.search.tune import leave_out

    leave_out(config, directory, reason)
    earlier = search.earlier(config)
    if earlier is None:
        return tuple(WORST[kind] for kind in config.objectives)
    return tuple(objective(kind, earlier) for kind in config.objectives)


def own_choices(overrides: Sequence[str]) -> dict[str, str]:
    """What sets a point of a sweep apart: axis to value."""
    pairs = [item.partition("=") for item in own_overrides(overrides)]
    return {key: value for key, _, value in pairs}


def kept_templates(directory: Path) -> Templates:
    """The template processes that the points of a sweep share; they end with the sweep."""
    from optbench.processes.crew import Templates

    if Invocation.templates is None:
        Invocation.templates = Templates(directory.parent / LOG_FILE)
        Invocation.at_end.append(Invocation.templates.close)
        atexit.register(Invocation.templates.close)
    return Invocation.templates


def resumed(config: RunConfig, directory: Path, quiet: bool = False) -> Outcome | None:
    """The outcome of the same point in an earlier sweep, taken over; None if it must be measured."""
    from optbench.run import Outcome
    from optbench.stages.resume import finished_before, take_over

    try:
        source = finished_before(config)
        if source is None:
            return None
        result = take_over(source, directory)
    except (ResultError, OSError):
        return None
    if verbosity() is not Verbosity.quiet and not quiet:
        sys.stderr.write(f"  taken over from {source}\n")
    return Outcome(result, directory, None)


def launch(arguments: list[str], planning: bool = False) -> int:
    """Run the Hydra application with `arguments`, or tell what it would do; returns the exit code."""
    prepare()
    plugins.extend_search_path()
    Invocation.reset()
    Invocation.planning = planning
    application = hydra.main(
        config_path=str(conf_dir()), config_name=CONFIG_NAME, execution_whitelist=("optbench.*",)
    )(task)
    with full_errors() as wants_traceback, terminable(Invocation.end_now), released():
        try:
            start(application, arguments)
        except KeyboardInterrupt as error:
            with arguments_of(arguments):
                return interrupted(error)
        except SystemExit as error:
            Invocation.withdraw()
            return error.code if isinstance(error.code, int) else 2
        except BrokenPipeError:
            raise
        except Exception as error:
            if wants_traceback or not (Invocation.sweeping or isinstance(error, FORESEEN)):
                raise
            if Invocation.sweeping:
                return ended_early(error)
            Invocation.withdraw()
            return refuse(arguments, error)
    return Invocation.exit_code


@contextlib.contextmanager
def released() -> Iterator[None]:
    """Let go of the run's directory in the end."""
    try:
        yield
    finally:
        if Invocation.claim is not None:
            Invocation.claim.release()


def start(application: Callable[[], object], arguments: list[str]) -> None:
    """Call Hydra; an experiment that says it is a sweep (`hydra.mode: MULTIRUN`) needs no -m.

    Hydra itself looks for the mode in the primary config and on the command line only.
    """
    try:
        with arguments_of(arguments):
            application()
    except ConfigCompositionException:
        if set(arguments) & set(SWEEP_FLAGS) or not is_sweep(arguments):
            raise
        with arguments_of([SWEEP_FLAGS[0], *arguments]):
            application()


def is_sweep(arguments: list[str]) -> bool:
    """Whether a command line whose first point composes chooses an experiment that is a sweep.

    Hydra refuses lists of values such as batch_size=1,8 before it has read the experiment.
    """
    words = words_of(arguments)
    if not any(item.lstrip("+").startswith("experiment") for item in words.overrides):
        return False
    try:
        with initialized(own_places(words)):
            first = composed([first_value(item) for item in words.overrides], own_name(words))
    except COMPOSING_ERRORS:
        return False
    return bool(first.hydra.mode is RunMode.MULTIRUN)


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
