"""What lies in the artifact cache: listed, verified, cleared. Never touches anything but entries."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optbench.artifacts import entries
from optbench.artifacts.entries import KEY, UNFINISHED, Busy, Damaged
from optbench.errors import ConfigError, DataError
from optbench.hub import hub_name
from optbench.locations import MANIFEST

ANSWERS = "answers"
"""The step of entries that hold what a variant answered."""
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


@dataclass(frozen=True)
class Listed:
    """One entry as a list shows it; times are seconds since 1970, null where they are not known."""

    key: str
    step: str
    model: str | None
    recipe: str
    size_bytes: int
    made_at: float | None
    used_at: float | None


@dataclass(frozen=True)
class Cleared:
    """What was removed, and which entries were left because they are in use."""

    keys: list[str]
    freed_bytes: int
    busy: list[str]


def folder_of(root: Path) -> Path | None:
    """The folder of all entries; null where nothing was ever cached. Raises DataError."""
    if root.exists() and not root.is_dir():
        raise DataError(
            f"OPTBENCH_CACHE_DIR={root} must be a directory, found a file; set it to another place"
        )
    return entries.private_folder(root) if (root / entries.FOLDER).exists() else None


def entries_in(folder: Path | None) -> list[Path]:
    """The entries in the order of their names; whatever else lies there is none of ours."""
    return [] if folder is None else sorted(path for path in folder.iterdir() if KEY.fullmatch(path.name))


def listing(root: Path) -> list[Listed]:
    """All entries, the one used last first."""
    found = [describe(entry) for entry in entries_in(folder_of(root))]
    return sorted(found, key=lambda item: item.used_at or 0.0, reverse=True)


def describe(entry: Path) -> Listed:
    """An entry in words, without reading its weights."""
    step = entry.name.split("-")[0]
    try:
        manifest = entries.read_manifest(entry)
        used_at = (entry / MANIFEST).stat().st_mtime
    except (Damaged, OSError):
        return Listed(entry.name, step, None, "damaged", size_bytes(entry), None, None)
    model = hub_name(manifest.model) or Path(manifest.model).name or None
    words = answers_words if step == ANSWERS else recipe_words
    recipe = words({**manifest.made_from, "evaluated_rows": manifest.details.get("rows")})
    return Listed(entry.name, step, model, recipe, size_bytes(entry), manifest.made_at or None, used_at)


def recipe_words(made_from: dict[str, Any]) -> str:
    """What decided an entry, but for hashes and versions: 'dynamic, per_channel, weight_type int8'."""
    told = {key: made_from[key] for key in ("task", "opset") if made_from.get(key) is not None}
    recipe = made_from.get("recipe")
    told.update(recipe if isinstance(recipe, dict) else {})
    words = []
    for key, value in told.items():
        if value is True:
            words.append(key)
        elif value not in (None, False, [], {}, ""):
            shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            words.append(shown if key in ("task", "approach") else f"{key} {shown}")
    return ", ".join(words) or "as it comes"


def answers_words(made_from: dict[str, Any]) -> str:
    """What answered what: 'answers to 1,000 rows, text-classification, onnxruntime, graph default'."""
    rows = made_from.get("evaluated_rows")
    told = f"answers to {rows:,} rows" if isinstance(rows, int) else "answers"
    parts = [name_in(made_from.get(key)) for key in ("task", "backend", "quantization")]
    words = [told, *(part for part in parts if part not in (None, "none"))]
    if made_from.get("graph") not in (None, "default"):
        words.append(f"graph {made_from['graph']}")
    return ", ".join(map(str, words))


def name_in(component: Any) -> str | None:
    """The name of a component that was written down with its fields."""
    name = component.get("name") if isinstance(component, dict) else None
    return name if isinstance(name, str) else None


def size_bytes(path: Path) -> int:
    """Bytes of all files below a path; a link counts as itself."""
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size
    return sum(file.lstat().st_size for file in path.rglob("*") if file.is_symlink() or file.is_file())


def faults(root: Path) -> Iterator[tuple[str, str | None]]:
    """Each entry and what is wrong with it: null if it is whole, or that somebody is making it."""
    folder = folder_of(root)
    for entry in entries_in(folder):
        reason: str | None = None
        try:
            with entries.exclusive(entry, wait=False):
                entries.verified(entry)
        except Damaged as damage:
            reason = str(damage)
        except Busy:
            reason = "is being made or read by another process"
        yield entry.name, reason


def chosen(root: Path, names: Sequence[str], unused_seconds: float | None) -> list[Listed]:
    """Entries by key or its beginning (all where none are named), not used for so long.

    Raises ConfigError for a name that fits no entry, or several.
    """
    listed = listing(root)
    if names:
        wanted = {one_key([item.key for item in listed], name) for name in names}
        listed = [item for item in listed if item.key in wanted]
    if unused_seconds is None:
        return listed
    limit = time.time() - unused_seconds
    return [item for item in listed if (item.used_at or 0.0) < limit]


def one_key(keys: Sequence[str], name: str) -> str:
    """The only key that is `name` or begins with it. Raises ConfigError."""
    found = [key for key in keys if key == name] or [key for key in keys if name and key.startswith(name)]
    if len(found) == 1:
        return found[0]
    many = f"{len(found)} entries begin so" if found else "no entry begins so"
    raise ConfigError(f"KEY must name one entry, got {name!r}: {many}; see optbench cache list")


def duration_seconds(text: str) -> float:
    """'30d' in seconds; s, m, h, d and w are known. Raises ConfigError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text.strip())
    if match is None:
        raise ConfigError(f"--older-than must be a number with s, m, h, d or w, such as 30d, got {text!r}")
    return float(match[1]) * SECONDS[match[2]]


def clear(root: Path, keys: Sequence[str]) -> Cleared:
    """Remove entries that nobody makes or uses, and what killed processes left."""
    folder = folder_of(root)
    if folder is None:
        return Cleared([], 0, [])
    removed, busy, freed = [], [], leftover_bytes(folder)
    entries.sweep(folder)
    freed -= leftover_bytes(folder)
    for key in keys:
        entry = folder / key
        try:
            with entries.unused(entry):
                size = size_bytes(entry)
                doomed = folder / f".{key}-removed"
                entry.rename(doomed)  # a kill in between leaves a leftover, not half an entry
                entries.remove(doomed)
        except (Busy, FileNotFoundError):
            busy.append(key)
        except OSError as error:
            raise DataError(f"{entry} cannot be removed: {error.strerror}; look at who owns it") from error
        else:
            removed.append(key)
            freed += size
    return Cleared(removed, freed, busy)


def leftover_bytes(folder: Path) -> int:
    """Bytes of what is being made, or was left by killed processes."""
    total = 0
    for place in folder.iterdir():
        if UNFINISHED.fullmatch(place.name):
            with contextlib.suppress(OSError):  # it may vanish meanwhile
                total += size_bytes(place)
    return total
