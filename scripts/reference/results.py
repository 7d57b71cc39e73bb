"""docs/reference/result.md: every record that a result, a table, a comparison or a search is made of."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from typing import Any

import msgspec

from optbench.records import SCHEMA_VERSION, Aggregate, RunResult, SweepPlan, TuneResult
from optbench.records.aggregate import AGGREGATE_VERSION
from optbench.records.cache import CACHE_VERSION, CacheListing
from optbench.records.comparison import COMPARISON_VERSION, RunComparison
from optbench.records.history import HISTORY_VERSION, History
from reference.meanings import NOTICE, code, meanings, own_docstring, table

Struct = type[msgspec.Struct]

ROOTS: tuple[tuple[str, Struct, str], ...] = (
    ("result.json", RunResult, f"in every run's directory; schema version {SCHEMA_VERSION}"),
    ("results.json", Aggregate, f"of a sweep or `optbench aggregate`; schema version {AGGREGATE_VERSION}"),
    ("sweep.json", SweepPlan, "in a sweep's directory, before its first point"),
    ("tune.json", TuneResult, "of a search, `+experiment=tune`"),
    ("optbench compare --format json", RunComparison, f"schema version {COMPARISON_VERSION}"),
    ("optbench history --format json", History, f"schema version {HISTORY_VERSION}"),
    ("optbench cache list --format json", CacheListing, f"schema version {CACHE_VERSION}"),
)

INTRODUCTION = """\
Names end in their unit: seconds, bytes, shares between 0 and 1. A value that could not be had is
null and stands beside the reason. Fields may be added; one that is renamed or removed raises the
schema version, and an optbench refuses a file of a newer version than it knows. For programs: the
JSON Schemas [result.schema.json](../result.schema.json), [results.schema.json](../results.schema.json),
[history.schema.json](../history.schema.json) and [cache-list.schema.json](../cache-list.schema.json).
Fields without a remark say all in their name.

```bash
python -c "import json; print(json.load(open('result.json'))['verdict']['sentence'])"
```"""


def page() -> str:
    """The whole page."""
    parts = ["# Results", INTRODUCTION]
    seen: set[Struct] = set()
    for name, record, where in ROOTS:
        parts += [f"## {code(name)}", f"{where[0].upper()}{where[1:]}."]
        for part in reachable(record):
            if part not in seen:
                seen.add(part)
                parts += [f"### {part.__name__}", told(part), fields_table(part)]
    return "\n\n".join([*parts, NOTICE]) + "\n"


def reachable(record: Struct, above: tuple[Struct, ...] = ()) -> Iterator[Struct]:
    """A record and those it holds, in the order of its fields."""
    yield record
    for field in msgspec.structs.fields(record):
        for held in records_in(field.type):
            if held not in (*above, record):
                yield from reachable(held, (*above, record))


def records_in(hint: Any) -> Iterator[Struct]:
    """The records that a type names."""
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        yield hint
    for argument in typing.get_args(hint):
        yield from records_in(argument)


def told(record: Struct) -> str:
    """A docstring without what it lists about fields."""
    text = own_docstring(record)
    names = [field.name for field in msgspec.structs.fields(record)]
    first = " ".join(text.split("\n\n")[0].split())
    for name in names:
        first = first.partition(f" {name}: ")[0]
    return first


def fields_table(record: Struct) -> str:
    """Name, type and meaning of each field."""
    fields = msgspec.structs.fields(record)
    said = meanings(record, [field.name for field in fields])
    rows = [(code(field.name), type_name(field.type), said.get(field.name, "")) for field in fields]
    return table(("field", "type", "meaning"), rows)


def type_name(hint: Any) -> str:
    """A type in words, records linked: 'list of [Signal](#signal)', 'number or null'."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(type_name(argument) for argument in arguments)
    if origin is typing.Literal:
        return ", ".join(code(str(value)) for value in arguments)
    if origin is list:
        return f"list of {type_name(arguments[0])}"
    if origin is dict:
        return "map" if arguments[1] is Any else f"map to {type_name(arguments[1])}"
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return f"[{hint.__name__}](#{hint.__name__.lower()})"
    words = {int: "integer", float: "number", str: "text", bool: "true or false", type(None): "null"}
    return words.get(hint, str(hint))
