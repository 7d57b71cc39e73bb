"""Imports every plug-in module, so that its schema is known before a config is composed."""

from __future__ import annotations

import importlib
import pkgutil

GROUP_PACKAGES = ("models", "tasks", "datasets", "backends", "quantizations", "graphs", "trackers")


def import_all() -> None:
    """Import all modules of the plug-in packages; each registers itself."""
    for package_name in GROUP_PACKAGES:
        package = importlib.import_module(f"optbench.{package_name}")
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
