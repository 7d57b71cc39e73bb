"""What happens around a run: validation before any directory exists, exit codes after the last one.

Hydra calls these callbacks. It turns their ordinary exceptions into warnings; SystemExit and
KeyboardInterrupt pass.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import itertools
import math
import os
import signal
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from optbench import components
from optbench.complaints import complaint
from optbench.config import RunConfig
from optbench.delivery import deliver_sweep
from optbench.errors import ConfigError, OptbenchError, ResultError
from optbench.records import RESULT_FILE, read_result, to_json, write_atomically
from optbench.records.aggregate import PLAN_FILE, SweepPlan
from optbench.session import Session
from optbench.summary import summarise
from optbench.walk import read_plan

ALL_POINTS_LIMIT = 64
"""Up to so many points of a sweep are composed one by one before the first runs; beyond, each value."""


def to_config(config: DictConfig) -> RunConfig:
    """The typed config below Hydra's. Raises ConfigError for missing and mistyped values."""
    plain = copy.deepcopy(config)
    OmegaConf.set_readonly(plain, False)
    OmegaConf.set_struct(plain, False)
    plain.pop("hydra", None)
    try:
        built = OmegaConf.to_object(plain)
    except MissingMandatoryValue as error:
        keys = missing_keys(plain) or [error.full_key or str(error)]
        raise ConfigError(
            *(f"{key} must be set, it has no default; set it with {key}=VALUE" for key in keys)
        ) from error
    except OmegaConfBaseException as error:
        raise ConfigError(f"{error.full_key}: {str(error).splitlines()[0]}") from error
    if not isinstance(built, RunConfig):
        name = HydraConfig.get().job.config_name if HydraConfig.initialized() else "the config"
        raise ConfigError(
            f"{name} must start from optbench's schema; put '- config' first in its defaults list"
        )
    if unknown := unknown_settings(plain):
        raise ConfigError(*unknown)
    return built


def missing_keys(config: DictConfig) -> list[str]:
    """Every key without a value; empty where an interpolation to nowhere hides them."""
    with contextlib.suppress(OmegaConfBaseException):
        return sorted(OmegaConf.missing_keys(config))
    return []


def unknown_settings(node: DictConfig, path: str = "") -> list[str]:
    """Keys that were added to a component that has no such setting: Hydra adds whatever +KEY=VALUE says."""
    holder = OmegaConf.get_type(node)
    fields = [one.name for one in dataclasses.fields(holder)] if dataclasses.is_dataclass(holder) else None
    found = []
    for name in node:
        key = f"{path}{name!s}"
        if fields is not None and name not in fields:
            close = get_close_matches(str(name), fields, n=1)
            meant = f"did you mean {path}{close[0]}?" if close else f"there are {', '.join(fields)}"
            found.append(f"{key} is no setting, so +{key}= has nothing to add to; {meant}")
        elif isinstance(child := node[name], DictConfig):
            found += unknown_settings(child, f"{key}.")
    return found


def leave(error: ConfigError) -> None:
    """Print every problem and end the process with the code for bad configuration."""
    print_problems(error)
    raise SystemExit(error.exit_code)


def print_problems(error: ConfigError) -> None:
    """All problems on stderr, one line each."""
    count = len(error.problems)
    head = (
        "optbench: the configuration has a problem:"
        if count == 1
        else (f"optbench: the configuration has {count} problems:")
    )
    sys.stderr.write("\n  ".join([head, *error.problems]) + "\n")


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
        if Session.planning:
            show_plan([([], checked)], {}, 1)
        Session.directory = Path(str(config.hydra.run.dir)).absolute()

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
        if Session.planning:
            axes = sweep_axes(config)
            show_plan(points, axes, point_count(config, axes))
        keep_plan(config)
        Session.sweeping, Session.directory = True, directory
        signal.signal(signal.SIGINT, interrupt)

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """After Ctrl-C in a sweep, stop here: the current point is complete."""
        if Session.interrupted:
            raise KeyboardInterrupt

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """The sweep's exit code, from what its points wrote, and their table."""
        if not Session.sweeping:
            return
        signal.signal(signal.SIGINT, signal.default_int_handler)
        Session.exit_code = 3
        for finish in Session.at_end:
            finish()
        directory = Path(str(config.hydra.sweep.dir))
        Session.exit_code = sweep_exit_code(directory)
        summarise(directory)
        finish_tracking(config, directory)
        if (url := OmegaConf.select(config, "results_url")) is not None:
            deliver_sweep(directory, str(url))


def interrupt(number: int, frame: Any) -> None:
    """Ctrl-C in a sweep: the first one ends it after the current point, the second one at once."""
    if Session.interrupted:
        raise KeyboardInterrupt
    Session.interrupted = True
    point = "this point"
    if Session.stop_file is not None:
        point = "the points that run"
        with contextlib.suppress(OSError):
            Session.stop_file.touch()
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
        f"{key} is a list of points for a sweep; run optbench -m sweep=grid {key}="
        f"[{','.join(map(str, values))}], or give one value with {key.removesuffix('s')}="
        for key, values in (
            ("batch_sizes", checked.batch_sizes),
            ("input_lengths", checked.input_lengths),
        )
        if values
    ]


def missing_tracker(config: RunConfig) -> list[str]:
    """What must be installed before anything is measured that could then not be logged."""
    missing = config.tracking.missing_extra()
    return [] if missing is None else [str(missing)]


def tracking_problems(config: RunConfig) -> list[str]:
    """Why no point of a sweep could be logged."""
    return missing_tracker(config) + [f"tracking.{problem}" for problem in config.tracking.problems()]


def finish_tracking(config: DictConfig, directory: Path) -> None:
    """Close what a sweep has logged; its results stand whatever goes wrong with it."""
    from optbench.publishing import finish_sweep

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


def sweep_axes(config: DictConfig) -> dict[str, list[str]]:
    """Axis name to the values it takes; fixed overrides have one value."""
    params = OmegaConf.select(config, "hydra.sweeper.params") or {}
    given = [f"{key}={value}" for key, value in params.items()]
    if empty := [item for item in given if item.endswith("=")]:
        needed = " and ".join(item.replace("=", "s=[...]") for item in empty)
        raise ConfigError(f"sweep=grid needs its points; give {needed}")
    given += list(config.hydra.overrides.task)
    keys = [str(item).partition("=")[0].lstrip("+~") for item in config.hydra.overrides.task]
    if twice := sorted({key for key in keys if keys.count(key) > 1}):
        raise ConfigError(*(f"{key} is given more than once; give it once" for key in twice))
    axes: dict[str, list[str]] = {}
    for override in OverridesParser.create().parse_overrides([str(item) for item in given]):
        key = override.get_key_element()
        if not override.is_sweep_override():
            axes[key] = [override.get_value_element_as_str()]
            continue
        try:
            axes[key] = [str(value) for value in override.sweep_string_iterator()]
        except (HydraException, ValueError) as error:  # an interval, a range whose step is 0
            raise ConfigError(
                f"{override.input_line} names no values to walk over: {complaint(error)}"
            ) from error
    return axes


def sweep_points(axes: dict[str, list[str]]) -> list[list[str]]:
    """Points to check: all of a small grid, else each value once beside the others' first."""
    names, values = list(axes), list(axes.values())
    count = 1
    for options in values:
        count *= len(options)
    if count <= ALL_POINTS_LIMIT:
        combinations: Sequence[Sequence[str]] = list(itertools.product(*values))
    else:
        first = [options[0] for options in values]
        combinations = [first] + [
            [*first[:index], option, *first[index + 1 :]]
            for index, options in enumerate(values)
            for option in options[1:]
        ]
    return [
        [f"{name}={value}" for name, value in zip(names, combination, strict=True)]
        for combination in combinations
    ]


def composed_points(config: DictConfig) -> tuple[list[tuple[list[str], RunConfig]], list[str]]:
    """Points of a sweep with their configs, and the distinct problems of composing the others.

    Without any of the latter: wrong values that all points share.
    """
    axes = sweep_axes(config)
    Session.axes = frozenset(key for key, values in axes.items() if len(values) > 1)
    loader: Any = GlobalHydra.instance().config_loader()
    points: list[tuple[list[str], RunConfig]] = []
    problems: dict[str, None] = {}
    everywhere: list[str] | None = None
    for point in sweep_points(axes):
        try:
            point_config = to_config(loader.load_sweep_config(config, point))
            points.append((point, point_config))
            problems.update(dict.fromkeys(tracking_problems(point_config)))
            found = components.collect_problems(point_config)
            everywhere = [one for one in found if everywhere is None or one in everywhere]
        except ConfigError as error:
            problems.update(dict.fromkeys(error.problems))
        except (HydraException, OmegaConfBaseException) as error:
            problems[complaint(error)] = None
    return points, list(problems) or list(everywhere or [])


def walks_all(config: DictConfig) -> bool:
    """Whether a sweep has each combination of its axes as a point, rather than those a sampler likes."""
    sampler = str(OmegaConf.select(config, "hydra.sweeper.sampler._target_") or "")
    sweeper = str(OmegaConf.select(config, "hydra.sweeper._target_") or "")
    return sampler.endswith("GridSampler") or sweeper.endswith("BasicSweeper")


def point_count(config: DictConfig, axes: dict[str, list[str]]) -> int:
    """Points of a sweep; the most that a sampler is allowed."""
    if not walks_all(config):
        return int(OmegaConf.select(config, "hydra.sweeper.n_trials"))
    return math.prod(len(values) for values in axes.values())


def show_plan(
    points: Sequence[tuple[list[str], RunConfig]], axes: dict[str, list[str]], count: int
) -> NoReturn:
    """Print what would be run and end the process: with 0, or 2 where nothing could run.

    Nothing may pass but SystemExit: Hydra turns other exceptions into warnings and runs.
    """
    from optbench.planning import PlannedPoint, plan_of
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


def keep_plan(config: DictConfig) -> None:
    """Write down which points a grid has, so that those that never start are missed."""
    if not walks_all(config):
        return
    directory = Path(str(config.hydra.sweep.dir))
    with contextlib.suppress(OSError):
        directory.mkdir(parents=True, exist_ok=True)
        write_atomically(directory / PLAN_FILE, to_json(SweepPlan(sweep_axes(config))))


def point_title(number: int | str, overrides: Sequence[str]) -> str:
    """A sweep's point in words: its number, and what sets it apart from the others."""
    return f"point {number}: {' '.join(own_overrides(overrides) or overrides)}"


def own_overrides(overrides: Sequence[str]) -> list[str]:
    """Those that the running sweep varies."""
    return [item for item in overrides if item.partition("=")[0] in Session.axes]


def sweep_exit_code(directory: Path) -> int:
    """3 if a point failed, left no result or was planned and never began, 130 after Ctrl-C, else 0."""
    if Session.interrupted:
        return 130
    codes = []
    for job in sorted(path for path in directory.iterdir() if (path / ".hydra").is_dir()):
        try:
            codes.append(3 if read_result(job / RESULT_FILE).status == "failed" else 0)
        except ResultError:
            codes.append(3)
    plan = read_plan(str(directory))
    planned = 0 if plan is None else math.prod(len(values) for values in plan.axes.values())
    return 3 if len(codes) < planned else max(codes, default=3)
