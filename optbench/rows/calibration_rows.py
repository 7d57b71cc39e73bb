"""Which rows calibrate: a seeded draw that shares no row with the ones that are evaluated.

Scales that were fitted to an evaluated row make the candidate look better than it is. Rows are compared
by key, a hash of what the model reads of them, so that the same text in another split is found too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optbench.errors import ConfigError, DataError


@dataclass(frozen=True)
class CalibrationDraw:
    """The rows that calibrate, by their numbers among the candidates, in drawn order.

    rows_dropped: candidates that are also evaluated. rows_left: candidates that could be drawn.
    fingerprint: SHA-256 of the keys of the drawn rows, in order.
    """

    rows: list[int]
    rows_dropped: int
    rows_left: int
    fingerprint: str


@dataclass(frozen=True)
class DrawnRows:
    """Which rows calibrate; their inputs wait in a file.

    rows: how many. rows_dropped: of the split, left out because they are also evaluated. fingerprint:
    SHA-256 of what the model reads of them, in order.
    """

    rows: int
    rows_dropped: int
    fingerprint: str
    split: str
    notes: list[str]


def draw_calibration_rows(
    evaluated: Set[str], candidates: Sequence[str], count: int, *, seed: int, split: str
) -> CalibrationDraw:
    """`count` of the candidates whose key is not evaluated, or all of them if they are fewer.

    evaluated, candidates: keys of rows, see `row_keys`. Raises ConfigError if count < 1, DataError if every
    candidate is evaluated.
    """
    import numpy as np

    if count < 1:
        raise ConfigError(f"calibration needs at least 1 row, got {count}")
    left = [number for number, key in enumerate(candidates) if key not in evaluated]
    if not left:
        raise DataError(
            f"dataset.calibration_split={split} must hold rows that are not evaluated, and all "
            f"{len(candidates)} of its rows are; name another split with dataset.calibration_split=, or "
            "evaluate fewer with quality.max_eval_samples="
        )
    order = np.random.default_rng(seed).permutation(len(left))[:count]
    rows = [left[position] for position in order.tolist()]
    dropped = len(candidates) - len(left)
    return CalibrationDraw(rows, dropped, len(left), fingerprint_of([candidates[row] for row in rows]))


def calibration_notes(
    drawn: CalibrationDraw, split: str, asked: int, failed: Mapping[int, str], inputs: int
) -> list[str]:
    """What a reader must know of a draw: rows that were dropped, missing or unusable.

    failed: rows that could not be encoded, and why. inputs: model inputs that the others gave.
    """
    notes = []
    if drawn.rows_dropped:
        notes.append(f"{drawn.rows_dropped} rows of {split} are also evaluated, so they do not calibrate")
    if len(drawn.rows) < asked:
        notes.append(f"{split} has only {len(drawn.rows)} of the {asked} rows asked for calibration")
    if failed:
        first = next(iter(failed.values()))
        notes.append(f"{len(failed)} calibration rows could not be used; the first: {first}")
    if inputs != len(drawn.rows) - len(failed):
        notes.append(f"{len(drawn.rows) - len(failed)} calibration rows give {inputs} inputs")
    return notes


def fingerprint_of(keys: Sequence[str]) -> str:
    """SHA-256 of keys, in order."""
    return hashlib.sha256("\n".join(keys).encode()).hexdigest()


def row_keys(rows: Any, columns: Sequence[str]) -> list[str]:
    """A key for each row of a `datasets.Dataset` from the columns that the model reads.

    Texts that differ in case or white space only share a key: an uncased model reads them alike. Images
    are compared by their bytes.
    """
    stored = [list(stored_values(rows, column)) for column in columns]
    return [row_key(values) for values in zip(*stored, strict=True)]


def row_key(values: Sequence[Any]) -> str:
    """SHA-256 of what a row holds: texts, lists of words, pixels, or images as bytes or path."""
    return hashlib.sha256(json.dumps([comparable(value) for value in values]).encode()).hexdigest()


def stored_values(rows: Any, column: str) -> Iterator[Any]:
    """The values of a column, images as the bytes they were stored in."""
    feature = rows.features[column]
    if type(feature).__name__ == "Image":
        rows = rows.cast_column(column, type(feature)(decode=False))
    yield from rows[column]


def comparable(value: Any) -> Any:
    """A value in a form that JSON holds, equal for values that the model reads alike."""
    if isinstance(value, str):
        return " ".join(value.split()).casefold()
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest()
    if isinstance(value, Mapping):
        if set(value) == {"bytes", "path"}:
            return comparable(value["bytes"] or file_bytes(value["path"]))
        return {str(name): comparable(item) for name, item in value.items()}
    if isinstance(value, Sequence):
        return [comparable(item) for item in value]
    return value.tolist() if hasattr(value, "tolist") else value


def file_bytes(path: str | None) -> bytes | str | None:
    """The content of an image file; its path where it cannot be read, which is counted elsewhere."""
    try:
        return Path(path).read_bytes() if path else None
    except OSError:
        return path
