"""A config part with its behaviour, registered by name; and what is said of a whole tree of them.

`@register("backend", "onnxruntime")` stores the dataclass as `onnxruntime_schema` in Hydra's config
store; `conf/backend/onnxruntime.yaml` starts with `defaults: [onnxruntime_schema, _self_]` and adds the
values. `OmegaConf.to_object` then gives the object itself.
"""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, TypeVar

from hydra.core.config_store import ConfigStore

from optbench.errors import ConfigError, MissingExtra

ComponentType = TypeVar("ComponentType", bound="type[Component]")


@dataclass
class Component:
    """Base of all config parts.

    extra: the optional dependency group that brings `packages`, the modules this part needs.
    label_fields: what is told beside the name where a field differs from its default: words by field,
        with {} for the value.
    """

    extra: ClassVar[str] = ""
    packages: ClassVar[tuple[str, ...]] = ()
    label_fields: ClassVar[Mapping[str, str]] = {}

    def label(self) -> str:
        """The name, and what of `label_fields` is not as usual: 'pytorch bfloat16'."""
        usual = {one.name: one.default for one in dataclasses.fields(self)}
        words = [component_name(self)]
        for name, text in self.label_fields.items():
            if (value := getattr(self, name)) != usual[name]:
                value = value.value if isinstance(value, Enum) else value
                words.append(text.format(str(value).lower() if isinstance(value, bool) else value))
        return " ".join(words)

    def missing_extra(self) -> MissingExtra | None:
        """The error to raise if a package of `extra` is not installed."""
        if all(map(is_installed, self.packages)):
            return None
        return MissingExtra(component_name(self), f"pip install 'optbench[{self.extra}]'")

    def problems(self) -> list[str]:
        """Each finding as 'key must ..., got ...; do ...', keys relative to this component."""
        return []


_registered: dict[tuple[str, str], str] = {}
"""Module of the class behind each group and name."""


def is_installed(package: str) -> bool:
    """Whether a package can be imported; a folder of its name that lies about, as W&B leaves one, is none."""
    spec = importlib.util.find_spec(package)
    return spec is not None and spec.origin is not None


def register(group: str, name: str) -> Callable[[ComponentType], ComponentType]:
    """Class decorator: store the dataclass as `<name>_schema` of a config group.

    Raises ValueError where another module has taken the name.
    """

    def store(cls: ComponentType) -> ComponentType:
        owner = _registered.setdefault((group, name), cls.__module__)
        if owner != cls.__module__:
            raise ValueError(f"{group}={name} is registered by {owner} already; choose another name")
        ConfigStore.instance().store(group=group, name=f"{name}_schema", node=cls, replace=True)
        cls.registered_name = name  # type: ignore[attr-defined]
        return cls

    return store


def component_name(component: Component) -> str:
    """The name a component was registered under, such as 'onnxruntime'."""
    return str(getattr(component, "registered_name", type(component).__name__))


def walk(node: object, path: str = "") -> Iterator[tuple[str, Component]]:
    """All components of a config tree with their dotted paths, parents first."""
    if isinstance(node, Component):
        yield path, node
    if isinstance(node, Mapping):
        children: Sequence[tuple[str, object]] = [(str(key), value) for key, value in node.items()]
    elif isinstance(node, list):
        children = [(str(index), value) for index, value in enumerate(node)]
    elif dataclasses.is_dataclass(node) and not isinstance(node, type):
        children = [(f.name, getattr(node, f.name)) for f in dataclasses.fields(node)]
    else:
        return
    for name, child in children:
        yield from walk(child, f"{path}.{name}" if path else name)


def collect_problems(root: Component) -> list[str]:
    """Problems of every component of the tree, each led by its full key, parents first."""
    return [
        f"{path}.{problem}" if path else problem
        for path, component in walk(root)
        for problem in component.problems()
    ]


def check(root: Component) -> None:
    """Raise one ConfigError that holds every problem of the tree."""
    if problems := collect_problems(root):
        raise ConfigError(*problems)
