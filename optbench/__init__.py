"""optbench: is the optimized transformer faster on this machine, by how much, and still as good?

The Python API (docs/api.md) is imported when a name of it is asked for, so that `import optbench` costs
nothing.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optbench.api.calls import compare, compose, load_results, load_run, run, sweep
    from optbench.api.views import Compared, Results, Run
    from optbench.config import RunConfig
    from optbench.errors import OptbenchError

__version__ = "0.1.0"

__all__ = [
    "Compared",
    "OptbenchError",
    "Results",
    "Run",
    "RunConfig",
    "__version__",
    "compare",
    "compose",
    "load_results",
    "load_run",
    "run",
    "sweep",
]

_MODULES = {
    "Compared": "optbench.api.views",
    "OptbenchError": "optbench.errors",
    "Results": "optbench.api.views",
    "Run": "optbench.api.views",
    "RunConfig": "optbench.config",
    "compare": "optbench.api.calls",
    "compose": "optbench.api.calls",
    "load_results": "optbench.api.calls",
    "load_run": "optbench.api.calls",
    "run": "optbench.api.calls",
    "sweep": "optbench.api.calls",
}
"""Where each name of the API lives."""


class _Package(ModuleType):
    """Keeps `optbench.run` and `optbench.compare` the functions when the modules of those names load."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _MODULES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
