"""docs/reference/config.md: every group, option and field, with type, default and meaning."""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import yaml
from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, OmegaConf

from optbench.components import Component
from optbench.config import GatesConfig, RunConfig, TuneConfig, register_run_schema
from optbench.hydra_app import plugins
from optbench.hydra_app.help import GROUPS, meaning
from optbench.locations import conf_dir
from reference.meanings import NOTICE, code, meanings, own_docstring, summary, table

HEAD = ("key", "type", "default", "meaning")
WITHOUT_FIELDS = ("recipe", "sweep")
"""Groups whose options only choose and set what belongs to others."""


def page() -> str:
    """The whole page."""
    register_run_schema()
    plugins.import_all()
    parts = ["# Configuration", INTRODUCTION, "## The run itself", fields_table(RunConfig, "")]
    for group, purpose in GROUPS.items():
        parts += [f"## {group}", f"{purpose[0].upper()}{purpose[1:]}.", options_table(group)]
        if group not in WITHOUT_FIELDS:
            parts += schema_parts(group)
    parts += ["## gates", summary(GatesConfig), fields_table(GatesConfig, "gates")]
    parts += ["## tune", summary(TuneConfig), fields_table(TuneConfig, "tune"), FINALISTS]
    return "\n\n".join(part for part in [*parts, NOTICE] if part) + "\n"


INTRODUCTION = """\
A run is one option of each group (`backend=onnxruntime`) and any number of values (`batch_size=8`,
`backend.opset=17`), on the command line or in [a file of your
own](../howto.md#a-config-file-of-my-own). `optbench --cfg job` followed by the same words shows
what they compose to, without running it. Times are in seconds, sizes in bytes, shares between 0 and
1. What is misspelt, of the wrong type or out of range is refused with exit code 2.

The candidate's parts stand at the top level; `quant=` chooses what is set by `quantization.KEY`.
The baseline takes the same parts: `quant@baseline.quantization=dynamic`,
`baseline.backend.opset=17`, `baseline.threads=1`."""

FINALISTS = """\
`tune.measure` and `tune.quality` take the keys of `measure` and `quality`; they count for the finalists."""


def options_table(group: str) -> str:
    """The options of a group, each with its meaning and what it sets."""
    rows = []
    for file in sorted((conf_dir() / group).glob("*.yaml")):
        said = re.sub(":$", ".", meaning(file))
        rows.append((code(f"{group}={file.stem}"), said, ", ".join(map(code, settings(file)))))
    return table(("option", "meaning", "sets"), rows)


def settings(file: Path) -> list[str]:
    """What a config file chooses and sets, as words of the command line."""
    content = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    chosen = []
    for entry in content.pop("defaults", []):
        if isinstance(entry, dict):
            for key, value in entry.items():
                name = key.removeprefix("override ").lstrip("/").partition("@")[0]
                chosen.append(f"{name}={value}")
    return chosen + list(flat(content))


def flat(node: Any, prefix: str = "") -> Iterator[str]:
    """Nested values as KEY=VALUE."""
    for key, value in node.items():
        path = f"{prefix}.{key}" if prefix else str(key)
        if isinstance(value, dict) and value:
            yield from flat(value, path)
        else:
            yield f"{path}={plain(value)}"


def schema_parts(group: str) -> list[str]:
    """Each schema of a group once: the options that have it, what it is, and its fields."""
    options: dict[str, list[str]] = {}
    for file in sorted((conf_dir() / group).glob("*.yaml")):
        defaults = (yaml.safe_load(file.read_text(encoding="utf-8")) or {}).get("defaults", [])
        for entry in defaults:
            if isinstance(entry, str) and entry.endswith("_schema"):
                options.setdefault(entry, []).append(file.stem)
    parts = []
    for schema, names in options.items():
        cls = OmegaConf.get_type(ConfigStore.instance().load(f"{group}/{schema}.yaml").node)
        if cls is None:
            raise TypeError(f"{group}/{schema} is registered without a dataclass")
        package = "quantization" if group == "quant" else group
        heading = (
            f"Keys of `{package}`" if len(options) == 1 else ", ".join(code(f"{group}={n}") for n in names)
        )
        parts += [f"### {heading}", summary(cls), fields_table(cls, package)]
    return parts


def fields_table(cls: type, prefix: str) -> str:
    """The fields of a dataclass; empty if it has none."""
    rows = list(field_rows(cls, prefix))
    return table(HEAD, rows) if rows else ""


def field_rows(cls: type, prefix: str) -> Iterator[tuple[str, str, str, str]]:
    """Key, type, default and meaning of each field that a user sets, parts of parts included.

    Raises ValueError for a field that no docstring explains.
    """
    hints = typing.get_type_hints(cls)
    fields = dataclasses.fields(cls)
    said = meanings(cls, [field.name for field in fields])
    for field in fields:
        hint = hints[field.name]
        key = f"{prefix}.{field.name}" if prefix else field.name
        part = component_of(hint)
        if part is not None:
            if field.default is not MISSING and part is not GatesConfig and part is not TuneConfig:
                yield from field_rows(part, key)
            continue
        explained = said.get(field.name) or enum_summary(hint)
        if not explained:
            raise ValueError(
                f"{cls.__module__}.{cls.__qualname__} must explain its field {field.name!r}; write "
                f"'{field.name}: what it means.' in its docstring"
            )
        yield code(key), type_name(hint), default_of(field), explained


def component_of(hint: Any) -> type[Component] | None:
    """The component class that a field holds, if it holds one."""
    for candidate in (hint, *typing.get_args(hint)):
        if isinstance(candidate, type) and issubclass(candidate, Component):
            return candidate
    return None


def enum_summary(hint: Any) -> str:
    """What the docstring of an enumeration says; empty for other types."""
    for candidate in (hint, *typing.get_args(hint)):
        if isinstance(candidate, type) and issubclass(candidate, Enum):
            text = " ".join(own_docstring(candidate).split())
            return text[:1].lower() + text[1:]
    return ""


def type_name(hint: Any) -> str:
    """A type in words: 'number or null', 'list of text', or the values of an enumeration."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(type_name(argument) for argument in arguments)
    if origin is list:
        return f"list of {type_name(arguments[0])}"
    if origin is dict:
        return "map"
    if isinstance(hint, type) and issubclass(hint, Enum):
        return ", ".join(code(str(member.value)) for member in hint)
    words = {int: "integer", float: "number", str: "text", bool: "true or false", type(None): "null"}
    return words.get(hint, getattr(hint, "__name__", str(hint)))


def default_of(field: dataclasses.Field[Any]) -> str:
    """The default as it is written on the command line; 'must be set' where there is none."""
    if field.default_factory is not dataclasses.MISSING:
        return code(plain(field.default_factory()))
    if field.default in (MISSING, dataclasses.MISSING):
        return "must be set"
    return code(plain(field.default))


def plain(value: Any) -> str:
    """A value as it is written on the command line."""
    if isinstance(value, Enum):
        return str(value.value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return f"[{','.join(plain(item) for item in value)}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {plain(item)}" for key, item in value.items()) + "}"
    return str(value)
