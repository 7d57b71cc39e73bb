"""Columns of a small local file, read without any library of data: enough to look at labels in a plan."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

LARGEST_BYTES = 20_000_000
"""Read and parsed in well under a second."""
NO_VALUES = frozenset(
    [
        *("", "#n/a", "#na", "-nan", "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan", "<na>"),
        *("n/a", "na", "nan", "none", "null", "true", "false"),
    ]
)
"""Cells, in lower case, that a csv reader does not take as text: what is missing to pandas, and bool."""

Columns = Mapping[str, Sequence[Any]]


def plain_columns(file: Path) -> Columns | None:
    """The columns of a JSON Lines, csv or tsv file; null for others, for large ones and for any doubt.

    Values are text, int or float; a column of anything else, or of several kinds, is doubt.
    """
    try:
        if file.stat().st_size > LARGEST_BYTES:
            return None
        content = file.read_text(encoding="utf-8")
        if file.suffix == ".jsonl":
            rows = [json.loads(line) for line in content.splitlines() if line.strip()]
        elif file.suffix in (".csv", ".tsv"):
            delimiter = "\t" if file.suffix == ".tsv" else ","
            rows = list(csv.DictReader(content.splitlines(keepends=True), delimiter=delimiter, strict=True))
        else:
            return None
    except (OSError, ValueError, RecursionError, csv.Error):
        return None
    if not rows or any(not isinstance(row, dict) or row.keys() != rows[0].keys() for row in rows):
        return None
    read = typed if file.suffix != ".jsonl" else same
    columns = {name: read([row[name] for row in rows]) for name in rows[0]}
    return None if None in columns or None in columns.values() else columns  # type: ignore[return-value]


def same(values: list[Any]) -> list[Any] | None:
    """Values of one kind as they are; null for any doubt."""
    kinds = {type(value) for value in values}
    return values if len(kinds) == 1 and kinds <= {str, int, float} else None


def typed(cells: list[Any]) -> list[Any] | None:
    """Cells of a csv column as a reader takes them: numbers where all are; null for any doubt."""
    if any(not isinstance(cell, str) or cell.strip().lower() in NO_VALUES for cell in cells):
        return None
    for number in (int, float):
        try:
            return [number(cell) for cell in cells]
        except ValueError:
            continue
    return cells


def kinds_of(columns: Columns) -> dict[str, str]:
    """'string' or 'number' for each column."""
    return {name: "string" if isinstance(values[0], str) else "number" for name, values in columns.items()}
