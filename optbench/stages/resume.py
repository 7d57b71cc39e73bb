"""Points that an earlier sweep has finished: found by config and environment, taken over instead of measured.

A config names its model and rows by path, so files that are newer than a result rule it out.
"""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

from optbench import __version__
from optbench.config import RunConfig
from optbench.errors import ResultError
from optbench.records import RunResult, read_result, replace, write_result
from optbench.results.walk import RunDirectory, SlimResult, find, read_slim
from optbench.stages.draft import config_hash, environment_of

SAME = ("machine", "python", "versions", "plug_ins", "thread_variables")
"""Facts of the environment that must be equal."""


def finished_before(config: RunConfig) -> Path | None:
    """The run directory of a finished result for this config, here and now; None if there is none.

    It was measured by this version of optbench, on this machine, with these libraries, and its model and
    rows have not been written since. Of several the latest.
    """
    if config.resume is None:
        return None
    now = environment_of(config)
    own = config_hash(config)
    fits = [
        (result.started_at, directory)
        for directory, result in finished(config.resume)
        if result.config_hash == own
        and result.optbench_version == __version__
        and all(getattr(result.environment, name) == now[name] for name in SAME)
        and not written_since(inputs(config), result.started_at)
    ]
    return Path(max(fits)[1]) if fits else None


@functools.lru_cache(maxsize=4)
def finished(directory: str) -> list[tuple[str, SlimResult]]:
    """Every finished run below a directory; read once, however many points ask."""
    found = []
    for item in find([Path(directory)]):
        if isinstance(item, RunDirectory) and item.has_result:
            try:
                result = read_slim(item.path)
            except ResultError:
                continue
            if result.status == "ok":
                found.append((item.path, result))
    return found


def inputs(config: RunConfig) -> list[Path]:
    """What a run reads by path: the model, the rows, and artifacts that were given."""
    given = [getattr(config.model, "path", None), getattr(config.dataset, "path", None)]
    given += [variant.artifact for variant in config.variants.values()]
    return [Path(path).expanduser() for path in given if path]


def written_since(paths: list[Path], started_at: str) -> bool:
    """Whether any file below `paths` is newer than a run, or may be; names of a hub have no file here."""
    try:
        begun = datetime.fromisoformat(started_at)
        if begun.tzinfo is None:
            begun = begun.replace(tzinfo=timezone.utc)
        return any(modified > begun.timestamp() for path in paths for modified in times(path))
    except (OSError, ValueError):
        return True


def times(path: Path) -> Iterator[float]:
    """Modification times of a file, or of all files in a directory."""
    if path.is_file():
        yield path.stat().st_mtime
    for place, _, names in os.walk(path):
        for name in names:
            yield (Path(place) / name).stat(follow_symlinks=False).st_mtime


def take_over(source: Path, directory: Path) -> RunResult:
    """Copy a run's result and raw values into another run directory; the result says where from.

    Raises ResultError if the result cannot be read, OSError if it cannot be written.
    """
    result = read_result(source)
    for file in source.glob("*.parquet"):
        if file.is_symlink():  # it may lead anywhere
            continue
        shutil.copy2(file, directory / file.name)
    result = replace(result, notes=[*result.notes, f"taken over from {source}, not measured again"])
    write_result(directory, result)
    return result
