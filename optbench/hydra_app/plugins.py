"""Imports every plug-in module, so that its schema is known before a config is composed."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from pathlib import Path

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin

from optbench import extensions
from optbench.extensions import Extension

GROUP_PACKAGES = ("models", "tasks", "datasets", "backends", "quantizations", "graphs", "trackers")
PACKAGES = {"quant": "quantization"}
"""Where an option goes in the config, if not under its group's own name."""


@functools.cache
def import_all() -> None:
    """Import all modules of the plug-in packages, and those of other distributions; each registers itself."""
    for package_name in GROUP_PACKAGES:
        package = importlib.import_module(f"optbench.{package_name}")
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    for extension in extensions.loaded():
        offer(extension)


def offer(extension: Extension) -> None:
    """Let the command line choose what a plug-in has registered, also where it brings no yaml file for it."""
    group, name = extension.group, extension.name
    if not extensions.brings(group, name):
        if f"{name}_schema.yaml" not in ConfigStore.instance().repo.get(group, {}):
            extensions.tell(
                extension,
                f'{extension.module} has neither @register("{group}", "{name}") nor conf/{group}/{name}.yaml '
                "beside it",
            )
            return
        option(group, name, [f"{name}_schema"])
    if group == "backend" and not extensions.brings("baseline", name):
        parts = {"/backend@backend": name, "/quant@quantization": "none", "/graph@graph": "default"}
        option("baseline", name, ["baseline_schema", *({key: value} for key, value in parts.items())])


def option(group: str, name: str, defaults: list[str | dict[str, str]]) -> None:
    """Store an option without a file. Files of that name go first."""
    node = {"defaults": [*defaults, "_self_"]}
    ConfigStore.instance().store(group=group, name=name, node=node, package=PACKAGES.get(group, group))


def conf_directories() -> tuple[Path, ...]:
    """Folders with configs beside the shipped ones."""
    return tuple(extensions.conf_directories())


class ExtensionConfigs(SearchPathPlugin):
    """Adds the configs of plug-ins to Hydra's search path, after the shipped ones."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Append each folder."""
        for place in conf_directories():
            search_path.append("optbench plug-ins", f"file://{place}")


def extend_search_path() -> None:
    """Make Hydra's own application in this process find the configs of plug-ins."""
    Plugins.instance().register(ExtensionConfigs)
