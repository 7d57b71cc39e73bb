"""What docstrings say about the fields of a class, and Markdown tables to say it in."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence

NOTICE = "<!-- Made by scripts/build_reference.py; change the source that it names, never this file. -->"


def own_docstring(cls: type) -> str:
    """The docstring written for `cls` itself; empty where Python made one up or there is none."""
    text = cls.__dict__.get("__doc__") or ""
    return "" if text.startswith(f"{cls.__name__}(") else inspect.cleandoc(text)


def summary(cls: type) -> str:
    """The first paragraph of a docstring as one line, without what it lists about fields."""
    return " ".join(own_docstring(cls).split("\n\n")[0].split())


def meanings(cls: type, names: Iterable[str]) -> dict[str, str]:
    """What the docstrings of `cls` and its bases say about fields, as in 'start: how workers begin'.

    A list entry begins a line or follows a full stop or a semicolon; several names may share one. The class
    itself is believed before its bases.
    """
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.startswith("optbench"):
            found.update(listed(own_docstring(base), names))
    return found


def listed(text: str, names: Iterable[str]) -> dict[str, str]:
    """The entries of one docstring."""
    name = "|".join(sorted(map(re.escape, names), key=len, reverse=True))
    if not name:
        return {}
    head = re.compile(rf"(?:^|(?<=[.;]))\s*((?:{name})(?:,\s+(?:{name}))*):\s+", re.MULTILINE)
    matches = list(head.finditer(text))
    ends = [*(match.start() for match in matches[1:]), len(text)]
    found = {}
    for match, end in zip(matches, ends, strict=False):
        meaning = text[match.end() : end].split("\n\n", maxsplit=1)[0]
        words = " ".join(meaning.split()).rstrip(";")
        found.update(dict.fromkeys(re.split(r",\s+", match[1]), words))
    return found


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; cells may hold Markdown, and a bar in them is escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def code(text: str) -> str:
    """`text` as Markdown code."""
    return f"`{text}`"
