"""What happens around a run: validation before any directory exists, exit codes after the last one.

Hydra calls these callbacks. It turns their ordinary exceptions into warnings; SystemExit and
KeyboardInterrupt pass.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from optbench import components
from optbench.claims import EARLIER, Claim, require_unclaimed
from optbench.config import RunConfig
from optbench.delivery.summary import summarise
from optbench.delivery.upload import deliver_sweep
from optbench.errors import ConfigError, OptbenchError, ResultError
from optbench.hydra_app.axes import (
    composed_points,
    keep_plan,
    missing_tracker,
    own_overrides,
    point_count,
    sweep_axes,
)
from optbench.hydra_app.complaints import complaint
from optbench.hydra_app.invocation import Invocation
from optbench.hydra_app.typed import leave, print_problems, to_config
from optbench.locations import HYDRA_DIRECTORY
from optbench.processes.termination import exit_code_of
from optbench.records import RESULT_FILE, read_result
from optbench.results.walk import read_plan
from optbench.verbosity import Verbosity, verbosity


class RunHooks(Callback):
    """Validates before a run or sweep, and works out the exit code of a sweep."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """All problems of a single run, before Hydra makes its directory."""
        HydraConfig.instance().set_config(config)  # the output directory's name interpolates it
        try:
            checked = to_config(config)
            problems = components.collect_problems(checked) + single_run_problems(config, checked)
            problems += missing_tracker(checked)
            problems += directory_problems(Path(str(config.hydra.run.dir)), "hydra.run.dir")
            if problems:
                raise ConfigError(*problems)
        except ConfigError as error:
            leave(error)
        if Invocation.planning:
            show_plan([([], checked)], {}, 1)
        claim(Path(str(config.hydra.run.dir)), "hydra.run.dir")

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """A wrong option, key or type anywhere in the sweep ends it before the first point."""
        silence_optuna()
        try:
            directory = Path(str(config.hydra.sweep.dir))
            problems = directory_problems(directory, "hydra.sweep.dir")
            points, wrong = composed_points(config)
            problems += resume_problems(config, directory) + wrong
            if problems:
                raise ConfigError(*problems)
        except ConfigError as error:
            leave(error)
        except (HydraException, OmegaConfBaseException) as error:
            leave(ConfigError(complaint(error)))
        if Invocation.planning:
            axes = sweep_axes(config)
            show_plan(points, axes, point_count(config, axes))
        claim(directory, "hydra.sweep.dir")
        keep_plan(config)
        Invocation.sweeping = True
        signal.signal(signal.SIGINT, interrupt)

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """After Ctrl-C in a sweep, stop here: the current point is complete."""
        if Invocation.sweeping and Invocation.interrupted:
            raise Invocation.interruption()

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """The sweep's exit code, from what its points wrote, and their table."""
        if not Invocation.sweeping:
            return
        signal.signal(signal.SIGINT, signal.default_int_handler)
        Invocation.exit_code = 3
        for finish in Invocation.at_end:
            finish()
        directory = Path(str(config.hydra.sweep.dir))
        Invocation.exit_code = sweep_exit_code(directory)
        summarise(directory)
        if not Invocation.terminated:  # a tracker may take longer than the time that is left
            finish_tracking(config, directory)
        if (url := OmegaConf.select(config, "results_url")) is not None:
            deliver_sweep(directory, str(url))


def claim(directory: Path, key: str) -> None:
    """Take the directory of a run or sweep, or end the process; a word where it replaces an earlier one."""
    try:
        require_unclaimed(directory.absolute().parent, f"{key}={directory}")  # by a sweep around it
        taken = Claim.take(directory, key)
    except ConfigError as error:
        leave(error)
    else:
        Invocation.claim = taken
        if taken.overwrites and verbosity() is not Verbosity.quiet:
            sys.stderr.write(f"optbench: {directory} holds an earlier result, which this run overwrites\n")


def interrupt(number: int, frame: Any) -> None:
    """Ctrl-C in a sweep: the first one ends it after the current point, the second one at once."""
    if Invocation.interrupted:
        raise KeyboardInterrupt
    Invocation.interrupted = True
    point = "this point"
    if Invocation.stop_file is not None:
        point = "the points that run"
        with contextlib.suppress(OSError):
            Invocation.stop_file.touch()
    sys.stderr.write(f"\noptbench: stopping after {point}; press Ctrl-C again to stop at once\n")


def silence_optuna() -> None:
    """Optuna logs every trial to stderr unless told otherwise."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)


def single_run_problems(config: DictConfig, checked: RunConfig) -> list[str]:
    """Lists and sweeps that only -m can walk."""
    if config.hydra.runtime.choices.get("sweep") not in (None, "none"):
        return ["sweep=grid walks a grid, which needs a multirun; add -m"]
    return [
        f"{key}s is a list of points for a sweep; run optbench -m sweep=grid '{key}s="
        f"[{','.join(map(str, values))}]', or give one value with {key}="
        for key, values in checked.grid.items()
        if values
    ]


def finish_tracking(config: DictConfig, directory: Path) -> None:
    """Close what a sweep has logged; its results stand whatever goes wrong with it."""
    from optbench.delivery.publishing import finish_sweep

    try:
        finish_sweep(OmegaConf.to_object(config.tracking), directory)  # type: ignore[arg-type]
    except Exception as error:  # logging must never cost a sweep its exit code
        sys.stderr.write(f"optbench: the sweep could not be logged to its end: {error}\n")


def directory_problems(directory: Path, key: str) -> list[str]:
    """Why results cannot be written there; nothing is created."""
    place = directory.absolute()
    while not place.exists() and not place.is_symlink():
        place = place.parent
    if place.is_dir() and os.access(place, os.W_OK | os.X_OK):
        return []
    found = "is not a directory" if not place.is_dir() else "is not writable"
    return [f"{key}={directory} must be a writable directory, but {place} {found}; choose another"]


def resume_problems(config: DictConfig, directory: Path) -> list[str]:
    """A sweep that would overwrite the one it resumes."""
    resume = OmegaConf.select(config, "resume")
    if resume is None or directory.resolve() != Path(str(resume)).resolve():
        return []
    return [f"resume={resume} must not be the directory of the new sweep; leave out hydra.sweep.dir"]


def show_plan(
    points: Sequence[tuple[list[str], RunConfig]], axes: dict[str, list[str]], count: int
) -> NoReturn:
    """Print what would be run and end the process: with 0, or 2 where nothing could run.

    Nothing may pass but SystemExit: Hydra turns other exceptions into warnings and runs.
    """
    from optbench.planning.plan import PlannedPoint, plan_of
    from optbench.reports.planning import show

    sizes = {key: len(values) for key, values in axes.items() if len(values) > 1}
    try:
        planned = [PlannedPoint(" ".join(own_overrides(point)), config) for point, config in points]
        plan = plan_of(planned, count, sizes)
        show(plan)
    except OptbenchError as error:
        print_problems(ConfigError(*str(error).splitlines()))
        raise SystemExit(error.exit_code) from error
    except Exception as error:
        reason = f"{type(error).__name__}: {error}; this is a defect of optbench, please report it"
        sys.stderr.write(f"optbench: there is no plan: {reason}\n")
        raise SystemExit(OptbenchError.exit_code) from error
    raise SystemExit(0 if plan.can_run else ConfigError.exit_code)


def sweep_exit_code(directory: Path) -> int:
    """3 if a point failed, left no result or was planned and never began, else 0; that of an interrupt."""
    if Invocation.interrupted:
        return exit_code_of(Invocation.interruption())
    codes = []
    for job in directory.iterdir():
        if job.name == EARLIER or not (job / HYDRA_DIRECTORY).is_dir():
            continue
        try:
            codes.append(3 if read_result(job / RESULT_FILE).status == "failed" else 0)
        except ResultError:
            codes.append(3)
    plan = read_plan(str(directory))
    planned = 0 if plan is None else math.prod(len(values) for values in plan.axes.values())
    return 3 if len(codes) < planned else max(codes, default=3)
