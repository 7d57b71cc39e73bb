"""OmegaConf resolvers that the shipped configs use."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from optbench.environment import available_cores
from optbench.hydra_app.help import help_body
from optbench.locations import cache_directory, conf_dir, package_file

EVERY_POINT = 100_000
OWN_CONFIGS = "command-line"
"""What Hydra calls the source that --config-dir names."""
LONGEST_NAME = 80
OWN_LIMITS = ("n_jobs", "array_parallelism", "ray")
"""Options by which launchers know how many points to run at a time."""


def axis(key: str, values: Any, *, _root_: DictConfig) -> str:
    """A sweep axis: the list's values, unless the command line gives `key` itself; empty without values."""
    for override in OmegaConf.select(_root_, "hydra.overrides.task", default=[]):
        name, _, value = str(override).partition("=")
        if name == key:
            return value
    if not isinstance(values, ListConfig | list) or not values:
        return ""
    return ",".join(str(value) for value in values)


def options(group: str) -> list[str]:
    """Names of the shipped options of a config group, sorted."""
    return sorted(file.stem for file in (conf_dir() / group).glob("*.yaml"))


def model_name(choice: str, *, _root_: DictConfig) -> str:
    """The model in a directory's name: the option chosen, or the last part of a path given for it."""
    overrides = OmegaConf.select(_root_, "hydra.overrides.task", default=[])
    given = {str(item).partition("=")[0] for item in overrides}
    path = OmegaConf.select(_root_, "model.path", throw_on_missing=False)
    if not path or (choice != "pretrained" and "model.path" not in given):
        return choice
    name = Path(os.path.normpath(Path(str(path)).expanduser().absolute())).name
    return re.sub(r"[^\w.-]", "_", name)[:LONGEST_NAME] or choice


def thread_counts() -> list[int]:
    """1, 2, 4 ... and the number of cores that this process may use."""
    cores = available_cores()
    powers = [1 << power for power in range(cores.bit_length())]
    return sorted({*powers, cores})


def points_at_once(*, _root_: DictConfig) -> int:
    """How many points a sweeper hands to the launcher in one go, where the user does not say.

    One by one to the launcher that runs them here. A grid as a whole to a launcher that knows how many to
    run at a time, so that no point waits for the slowest of a batch. Else as many as may run at a time.
    """
    launcher = (
        "hydra.launcher.inner" if OmegaConf.select(_root_, "hydra.launcher.inner") else "hydra.launcher"
    )
    if str(OmegaConf.select(_root_, f"{launcher}._target_")).endswith(".BasicLauncher"):
        return 1
    limits = [OmegaConf.select(_root_, f"{launcher}.{key}") for key in OWN_LIMITS]
    sampler = str(OmegaConf.select(_root_, "hydra.sweeper.sampler._target_"))
    if sampler.endswith(".GridSampler") and any(limit is not None for limit in limits):
        return EVERY_POINT
    return next((limit for limit in limits if isinstance(limit, int) and limit > 0), available_cores())


def page(*, _root_: DictConfig) -> str:
    """The help page, with the experiments of a --config-dir where Hydra's config names one."""
    sources = OmegaConf.select(_root_, "hydra.runtime.config_sources") or []
    given = [source.path for source in sources if source.provider == OWN_CONFIGS and source.schema == "file"]
    return help_body([Path(path) for path in given])


def register_resolvers() -> None:
    """Make the resolvers known; safe to call again."""
    for name, function in (
        ("package_file", lambda name: str(package_file(name))),
        ("cache_file", lambda name: str(cache_directory() / name)),
        ("axis", axis),
        ("model_name", model_name),
        ("options", options),
        ("thread_counts", thread_counts),
        ("points_at_once", points_at_once),
        ("help_body", page),
    ):
        OmegaConf.register_resolver(name, function, replace=True)
