"""The points of a sweep: its axes, what they are made of, and what is wrong with them."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from optbench import components
from optbench.config import RunConfig
from optbench.errors import ConfigError
from optbench.hydra_app.complaints import complaint
from optbench.hydra_app.invocation import Invocation
from optbench.hydra_app.typed import to_config
from optbench.records import to_json, write_atomically
from optbench.records.aggregate import PLAN_FILE, SweepPlan

ALL_POINTS_LIMIT = 64
"""Up to so many points of a sweep are composed one by one before the first runs; beyond, each value."""


def missing_tracker(config: RunConfig) -> list[str]:
    """What must be installed before anything is measured that could then not be logged."""
    missing = config.tracking.missing_extra()
    return [] if missing is None else [str(missing)]


def tracking_problems(config: RunConfig) -> list[str]:
    """Why no point of a sweep could be logged."""
    return missing_tracker(config) + [f"tracking.{problem}" for problem in config.tracking.problems()]


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
    Invocation.axes = frozenset(key for key, values in axes.items() if len(values) > 1)
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
    return [item for item in overrides if item.partition("=")[0] in Invocation.axes]
