"""Run directories at an fsspec URL, such as s3://bucket/runs: copies go there, tables are made from there.

result.json is copied last, so a directory at the URL that has one is complete. Reading copies only what the
reader needs, into a private directory that is gone afterwards.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from optbench.errors import ResultError
from optbench.locations import HYDRA_DIRECTORY, OVERRIDES_FILE
from optbench.records import PREDICTIONS_FILE, RESULT_FILE
from optbench.records.aggregate import PLAN_FILE, Aggregate, Point
from optbench.records.search import TUNE_FILE
from optbench.records.values import replace

SEPARATOR = "://"
FOR_TABLES = (RESULT_FILE, PLAN_FILE, TUNE_FILE, f"{HYDRA_DIRECTORY}/{OVERRIDES_FILE}")
"""What aggregate and history read, and compare beside the answers."""

Wanted = Callable[[str], bool]
"""Whether a file is to be copied, by its path with slashes."""


@dataclass(frozen=True)
class Fetched:
    """A place as it was named, and where its files lie here: the same for a directory."""

    name: str
    path: Path

    @property
    def is_copy(self) -> bool:
        """Whether the files were copied from a URL."""
        return is_url(self.name)

    def named(self, path: str) -> str:
        """A path below the copy as one below the URL; others stay as they are."""
        copy = str(self.path)
        if not self.is_copy or not (path == copy or path.startswith(f"{copy}/")):
            return path
        return self.name.rstrip("/") + path[len(copy) :]


def is_url(place: str) -> bool:
    """Whether a place is a URL, not a path."""
    return SEPARATOR in place


def for_tables(path: str) -> bool:
    """The files that make a table."""
    return any(path == name or path.endswith(f"/{name}") for name in FOR_TABLES)


def for_comparison(path: str) -> bool:
    """The files that make a comparison: also what was answered to each row."""
    return for_tables(path) or path.rpartition("/")[2] == PREDICTIONS_FILE


def for_page(path: str) -> bool:
    """The files that make a page: also a run's raw values."""
    return "/" not in path or for_tables(path)


def everything(path: str) -> bool:
    """Every file."""
    return True


def url_problems(key: str, url: str | None) -> list[str]:
    """Why nothing can be copied to a URL, as far as can be told without trying."""
    if url is None:
        return []
    if not is_url(url):
        hint = f"file://{Path(url).absolute()}"
        return [f"{key} must be a URL of fsspec, such as s3://bucket/runs, got {url}; a path is {hint}"]
    if has_password(url):
        return [
            f"{key} must not hold a password, which would be kept in every result; put it where the library "
            "of that storage looks for it"
        ]
    try:
        file_system(url)
    except ResultError as error:
        return [f"{key}={url} cannot be used: {error}"]
    return []


def has_password(url: str) -> bool:
    """Whether a URL names a secret before its host; one that cannot be read counts as if it did not."""
    try:
        return any(urlsplit(part).password is not None for part in url.split("::"))
    except ValueError:
        return False


def file_system(url: str) -> tuple[Any, str]:
    """fsspec's file system and the path on it. Raises ResultError with what fsspec says."""
    from fsspec.core import url_to_fs

    try:
        system, path = url_to_fs(url)
    except Exception as error:  # each storage raises its own
        raise ResultError(reason_of(error)) from error
    return system, str(path)


def reason_of(error: Exception) -> str:
    """What went wrong, in one line."""
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__


def copy_out(directory: Path, url: str) -> None:
    """Copy a directory's own files, and Hydra's, to a URL; result.json last.

    Raises ResultError: the message is the reason.
    """
    system, root = file_system(url)
    try:
        for file in own_files(directory):
            target = f"{root}/{file.relative_to(directory).as_posix()}"
            system.makedirs(target.rpartition("/")[0], exist_ok=True)
            system.put_file(str(file), target)
    except Exception as error:
        raise ResultError(reason_of(error)) from error


def own_files(directory: Path) -> list[Path]:
    """The files of a run or sweep, without those of its points and what is hidden; result.json last."""
    places = [directory, directory / HYDRA_DIRECTORY]
    found = [
        file
        for place in places
        if place.is_dir()
        for file in sorted(place.iterdir())
        if file.is_file() and not file.name.startswith(".")
    ]
    return sorted(found, key=lambda file: file.name == RESULT_FILE)


def place_of(directory: Path, sweep: Path | None = None) -> str:
    """Where a run stands below a URL: its path below `outputs`, else its name, with that of its sweep."""
    place = directory.absolute()
    above = [parent for parent in place.parents if parent.name == "outputs"]
    base = above[0] if above else (sweep or place).absolute().parent
    return place.relative_to(base).as_posix()


def joined(url: str, place: str) -> str:
    """A URL of something below a URL."""
    return f"{url.rstrip('/')}/{place}"


@contextlib.contextmanager
def fetched(places: Sequence[str], wanted: Wanted = for_tables) -> Iterator[list[Fetched]]:
    """Each place as a directory: itself, or a private copy of the wanted files below a URL.

    Raises ResultError for a URL that cannot be read; one that is raised meanwhile names the URL, not the
    copy.
    """
    found: list[Fetched] = []
    with contextlib.ExitStack() as stack:
        for place in places:
            path = Path(place)
            if is_url(place):
                made = stack.enter_context(tempfile.TemporaryDirectory(prefix="optbench-"))
                path = Path(made).resolve() / (PurePosixPath(urlsplit(place).path).name or "results")
                copy_in(place, path, wanted)
            found.append(Fetched(place, path))
        try:
            yield found
        except ResultError as error:
            text = str(error)
            for item in found:
                text = text.replace(str(item.path), item.name)
            raise ResultError(text) from error


def copy_in(url: str, directory: Path, wanted: Wanted = everything, lacking: bool = False) -> int:
    """Copy the wanted files below a URL; returns how many. Raises ResultError.

    lacking: copy only what is not there yet, and be content with nothing.
    """
    try:
        system, root = file_system(url.removesuffix(f"/{RESULT_FILE}"))
        names = relative_names(system.find(root), root)
        if not names and not lacking:
            raise ResultError("there is nothing")
        chosen = [name for name in names if wanted(name) and not (lacking and (directory / name).exists())]
        for name in chosen:
            target = directory / name
            target.parent.mkdir(parents=True, exist_ok=True)
            system.get_file(f"{root.rstrip('/')}/{name}", str(target))
    except Exception as error:
        raise ResultError(f"{url} cannot be read: {reason_of(error)}") from error
    return len(chosen)


def renamed(found: Aggregate, places: Sequence[Fetched]) -> Aggregate:
    """The record with the URLs in place of the copies that it was made from."""
    if not any(place.is_copy for place in places):
        return found

    points = [renamed_point(point, places) for point in found.points]
    directories = [named(places, directory) for directory in found.directories]
    return replace(found, root=named(places, found.root), directories=directories, points=points)


def renamed_point(point: Point, places: Sequence[Fetched]) -> Point:
    """A point with its URL; of several places its name is the URL too, since they have no root in common."""
    directory = named(places, point.directory)
    log = None if point.log is None else named(places, point.log)
    name = point.name if len(places) == 1 or directory == point.directory else directory
    return replace(point, directory=directory, log=log, name=name)


def named(places: Sequence[Fetched], path: str) -> str:
    """A path below any of the copies as one below its URL."""
    return next((text for place in places if (text := place.named(path)) != path), path)


def relative_names(paths: Sequence[str], root: str) -> list[str]:
    """Paths below `root`, relative to it; none that leads out of it."""
    prefix = root.rstrip("/") + "/"
    names = [path[len(prefix) :] for path in paths if path.startswith(prefix)]
    return [name for name in names if ".." not in PurePosixPath(name).parts]
