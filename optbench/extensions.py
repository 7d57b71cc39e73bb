"""Plug-ins that other distributions bring: found by their entry points, loaded once, and never in the way.

An entry point of a group such as `optbench.backends` has the option's name, and names the module that
registers it. The folder `conf` beside that module may hold yaml files of any config group.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType

GROUPS = {
    "optbench.models": "model",
    "optbench.tasks": "task",
    "optbench.datasets": "dataset",
    "optbench.backends": "backend",
    "optbench.quantizations": "quant",
    "optbench.graphs": "graph",
    "optbench.trackers": "tracking",
}
"""Config group of each group of entry points."""

SIDES = ("backend", "baseline")
"""Every backend can be the baseline's too."""


@dataclass(frozen=True)
class Extension:
    """An entry point: the option it offers, its module, and the distribution that brings it."""

    group: str
    name: str
    module: str
    distribution: str
    version: str

    @property
    def choice(self) -> str:
        """As on the command line, such as 'backend=reference'."""
        return f"{self.group}={self.name}"

    @property
    def package(self) -> str:
        """The top of the module's name, which all its modules share."""
        return self.module.partition(".")[0]


@functools.cache
def discovered() -> tuple[Extension, ...]:
    """Every entry point of ours in this environment, by what the distributions say; nothing is imported."""
    every = metadata.entry_points()
    found = [
        Extension(group, item.name, item.module, item.dist.metadata["Name"], item.dist.version)
        for name, group in GROUPS.items()
        for item in every.select(group=name)
        if item.dist is not None
    ]
    return tuple(sorted(set(found), key=lambda item: (item.distribution, item.group, item.name)))


@functools.cache
def loaded() -> tuple[Extension, ...]:
    """Those whose module could be imported; of each of the others stderr says once why it could not."""
    return tuple(extension for extension in discovered() if imported(extension) is not None)


def imported(extension: Extension) -> ModuleType | None:
    """The module; null where it cannot be imported, which must not hinder runs that do not need it."""
    try:
        return importlib.import_module(extension.module)
    except Exception as error:
        told = str(error).splitlines()[0] if str(error) else "no reason given"
        tell(extension, f"{type(error).__name__}: {told}")
        return None


def tell(extension: Extension, reason: str) -> None:
    """One line on stderr about an option that cannot be used, and whose it is."""
    sys.stderr.write(
        f"optbench: {extension.choice} of {extension.distribution} {extension.version} cannot be used: "
        f"{reason}\n"
    )


@functools.cache
def conf_directories() -> dict[Path, str]:
    """The folders with yaml files that loaded plug-ins bring, and whose each is.

    A module that lies in no package brings none: `conf` beside it would belong to everybody.
    """
    found: dict[Path, str] = {}
    for extension in loaded():
        module = sys.modules[extension.module]
        if module.__package__ and module.__file__ is not None:
            place = Path(module.__file__).resolve().parent / "conf"
            if place.is_dir():
                found.setdefault(place, extension.distribution)
    return found


def brings(group: str, name: str) -> bool:
    """Whether a plug-in has a yaml file for an option."""
    return any((place / group / f"{name}.yaml").is_file() for place in conf_directories())


def options(group: str) -> dict[str, Extension]:
    """Options of a group that loaded plug-ins offer without a yaml file, by name."""
    offered = (item for item in loaded() if item.group == group or (item.group, group) == SIDES)
    return {item.name: item for item in offered if not brings(group, item.name)}


def versions_behind(kinds: Iterable[type]) -> dict[str, str]:
    """Version by distribution of the plug-ins that these classes come from; empty for optbench's own."""
    packages = {kind.__module__.partition(".")[0] for kind in kinds}
    return {item.distribution: item.version for item in discovered() if item.package in packages}
