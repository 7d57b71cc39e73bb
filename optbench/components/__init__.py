"""What every plug-in is: a dataclass with its config fields and its behaviour, registered by name.

A plug-in module imports no heavy library at its top: the command line reads all of them before it knows
which one will run.
"""

from typing import TYPE_CHECKING

from optbench.components.backend import (
    Backend,
    Graph,
    ModuleTraits,
    Quantization,
    not_in_memory,
    wrong_format,
)
from optbench.components.component import (
    Component,
    ComponentType,
    check,
    collect_problems,
    component_name,
    is_installed,
    register,
    walk,
)
from optbench.components.data import DataKeys, Dataset, Model
from optbench.components.session import (
    Artifact,
    Generating,
    LoadOptions,
    ModelSpec,
    Pipeline,
    Priority,
    Session,
    WaitPolicy,
)
from optbench.components.task import Examples, Kind, Task

if TYPE_CHECKING:
    from optbench.components.session import Feed as Feed

__all__ = [
    "Artifact",
    "Backend",
    "Component",
    "ComponentType",
    "DataKeys",
    "Dataset",
    "Examples",
    "Generating",
    "Graph",
    "Kind",
    "LoadOptions",
    "Model",
    "ModelSpec",
    "ModuleTraits",
    "Pipeline",
    "Priority",
    "Quantization",
    "Session",
    "Task",
    "WaitPolicy",
    "check",
    "collect_problems",
    "component_name",
    "is_installed",
    "not_in_memory",
    "register",
    "walk",
    "wrong_format",
]
