"""OmegaConf resolvers that the shipped configs use."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from optbench.environment import available_cores
from optbench.help import help_body
from optbench.locations import cache_directory, conf_dir, package_file


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


def thread_counts() -> list[int]:
    """1, 2, 4 ... and the number of cores that this process may use."""
    cores = available_cores()
    powers = [1 << power for power in range(cores.bit_length())]
    return sorted({*powers, cores})


def register_resolvers() -> None:
    """Make the resolvers known; safe to call again."""
    for name, function in (
        ("package_file", lambda name: str(package_file(name))),
        ("cache_file", lambda name: str(cache_directory() / name)),
        ("axis", axis),
        ("options", options),
        ("thread_counts", thread_counts),
        ("help_body", help_body),
    ):
        OmegaConf.register_resolver(name, function, replace=True)
