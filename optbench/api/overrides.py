"""Python values as overrides, the way they are written on the command line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from numbers import Integral, Real
from pathlib import Path

from optbench.errors import ConfigError

Overrides = str | Sequence[str] | Mapping[str, object]
"""`["quant=dynamic", "batch_size=8"]`, `{"quant": "dynamic", "batch_size": 8}`, or one as a string."""

WORD = re.compile(r"[A-Za-z_/.][\w/.@-]*", re.ASCII)
"""A text that needs no quotes."""

NOT_WORDS = frozenset(["null", "true", "false", "inf", "nan"])
"""Words that Hydra reads as something else, whatever their case."""


def as_overrides(given: Overrides) -> list[str]:
    """The overrides as a list of texts. Raises ConfigError for anything else."""
    if isinstance(given, str):
        return [given]
    if isinstance(given, Mapping):
        return [override(key, value) for key, value in given.items()]
    found = list(given)
    for item in found:
        if not isinstance(item, str):
            raise ConfigError(
                f"overrides must be texts such as 'batch_size=8', or a mapping, got {item!r} "
                f"({type(item).__name__})"
            )
    return found


def override(key: str, value: object) -> str:
    """One override. Raises ConfigError for a value that has no form on the command line."""
    try:
        return f"{key}={written(value)}"
    except TypeError as error:
        raise ConfigError(
            f"{key} must be a number, a text, true or false, None, or a list or mapping of those, got "
            f"{value!r} ({type(value).__name__})"
        ) from error


def written(value: object) -> str:
    """A value in Hydra's grammar; a text stays a text. Raises TypeError."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, Real):
        return str(int(value)) if isinstance(value, Integral) else repr(float(value))
    if isinstance(value, str | Path):
        return text(str(value))
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{plain_key(key)}:{written(item)}" for key, item in value.items()) + "}"
    if not isinstance(value, Iterable):
        raise TypeError
    return "[" + ",".join(map(written, value)) + "]"


def is_word(value: str) -> bool:
    """Whether Hydra reads a text without quotes as just that text."""
    return bool(WORD.fullmatch(value)) and value.lower() not in NOT_WORDS


def plain_key(key: object) -> str:
    """A key of a mapping, which cannot be quoted. Raises TypeError."""
    if isinstance(key, str) and is_word(key):
        return key
    if isinstance(key, int) and not isinstance(key, bool):
        return str(key)
    raise TypeError


def text(value: str) -> str:
    """A text, quoted where Hydra would read it as anything else."""
    if is_word(value):
        return value
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", value)  # backslashes before a quote count double
    ending = re.search(r"\\*$", escaped)
    return f"'{escaped}{ending[0] if ending else ''}'"
