"""A measured model, handed over: copied with everything that belongs to it and what was found about it.

What a result says about files is checked, never believed: the copy must have the hash that was measured,
and no name from a result becomes part of a path.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import msgspec

from optbench.artifacts import entries
from optbench.artifacts.entries import KEY, Manifest
from optbench.artifacts.store import FILES, files_of, hashed_files
from optbench.checkpoint import companions, hash_file, hash_files, papers
from optbench.delivery.about import about_of, handed_over, manifest_of
from optbench.delivery.command_line import overrides_of, reproduce
from optbench.errors import DataError, ResultError
from optbench.locations import MANIFEST
from optbench.records import RESULT_FILE, ArtifactRecord, RunResult, read_result
from optbench.reports.card import card_text

CARD = "README.md"


@dataclass(frozen=True)
class Export:
    """What was written where; `sentence` is the run's answer."""

    directory: Path
    size_bytes: int
    sentence: str


def export(run: Path, destination: Path, variant: str = "candidate", force: bool = False) -> Export:
    """Copy the measured files of a run's variant to `destination`. Raises ResultError, DataError."""
    result = finished_result(run)
    found = result.variants.get(variant)
    if found is None or found.artifact is None:
        known = " or ".join(name for name, one in result.variants.items() if one.artifact is not None)
        raise ResultError(f"--variant must be {known or 'of a run with files'} in {run}, got {variant!r}")
    command = reproduce(result.command, overrides_of(run))
    source = Path(found.artifact.path)
    target = Path(os.path.abspath(destination.expanduser()))  # noqa: PTH100 - resolve() would follow a link
    require_place(target, source, force)
    with disk_errors(target), held(source), staged(target) as place:
        manifest = manifest_of(source, found)
        copy_measured(found.artifact, source, place, manifest, command)
        about = about_of(result, variant, manifest, target.name, command)
        names = sorted(set(entries.names_below(place)) - {CARD})
        record = handed_over(about, manifest, {name: hash_file(place / name) for name in names})
        (place / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")
        (place / CARD).write_text(card_text(about, original_card(place)), encoding="utf-8")
        size = sum((place / name).stat().st_size for name in [*names, CARD, MANIFEST])
        replace_directory(place, target)
    return Export(target, size, result.verdict.sentence if result.verdict is not None else "")


def finished_result(run: Path) -> RunResult:
    """The result of a run that came to its end. Raises ResultError."""
    if not run.exists():
        raise ResultError(
            f"RUN_DIR={run} must be a run's directory or its {RESULT_FILE}, found nothing there"
        )
    if run.is_dir() and not (run / RESULT_FILE).is_file():
        points = sorted(file.parent for file in run.glob(f"*/{RESULT_FILE}"))
        hint = f"; it is a sweep: give one of its points, such as {points[0]}" if points else ""
        raise ResultError(f"RUN_DIR={run} must hold a {RESULT_FILE}, found none{hint}")
    result = read_result(run)
    if result.status != "ok":
        why = "" if result.failure is None else f" at {result.failure.stage}: {result.failure.message}"
        raise ResultError(
            f"RUN_DIR={run} must be a run that came to its end, found one that {result.status}{why}"
        )
    return result


def require_place(target: Path, source: Path, force: bool) -> None:
    """Raise DataError unless the model may be put at `target`."""
    ours, real = source.resolve(), target.resolve()
    if ours == real or ours.is_relative_to(real) or real.is_relative_to(ours):
        raise DataError(f"DEST={target} must be apart from {source}, which is to be copied")
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise DataError(f"DEST={target} must be a directory that is not there yet, found a file or a link")
    if not target.exists() or not any(target.iterdir()):
        return
    if not force:
        raise DataError(f"DEST={target} is not empty; give another directory, or --force to replace a model")
    if not (target / MANIFEST).is_file():
        raise DataError(
            f"DEST={target} holds no {MANIFEST}, so it is no model of optbench and --force does not "
            "replace it; give another directory"
        )


@contextlib.contextmanager
def disk_errors(target: Path) -> Iterator[None]:
    """Turn what the disk refuses into a DataError."""
    try:
        yield
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise DataError(
            f"the model cannot be copied to DEST={target}: {error.strerror or error}{where}; nothing was "
            "changed there"
        ) from error


@contextlib.contextmanager
def held(source: Path) -> Iterator[None]:
    """Keep a cache entry from being removed while it is copied."""
    with contextlib.ExitStack() as stack:
        if KEY.fullmatch(source.name) and source.parent.name == entries.FOLDER and source.is_dir():
            with contextlib.suppress(OSError):  # a cache that may only be read
                stack.enter_context(entries.in_use(source))
        yield


@contextlib.contextmanager
def staged(target: Path) -> Iterator[Path]:
    """An empty directory beside `target`, gone at the end whatever happens."""
    target.parent.mkdir(parents=True, exist_ok=True)
    outer = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        place = outer / "new"
        place.mkdir()
        yield place
    finally:
        entries.remove(outer)


def replace_directory(place: Path, target: Path) -> None:
    """Move a finished directory to its place; the old one is put back if that fails."""
    old = place.with_name("old")
    if target.exists():
        target.rename(old)
    try:
        place.rename(target)
    except OSError:
        if old.exists():
            old.rename(target)
        raise


def copy_measured(
    record: ArtifactRecord, source: Path, place: Path, manifest: Manifest, command: str
) -> None:
    """Copy the files, and hold the copy against the hash that was measured. Raises DataError."""
    again = f"make it again with: {command}; then export that run"
    if record.format not in FILES or not source.is_dir() or not files_of(source, record.format):
        raise DataError(f"{source}, which the run measured, is gone or holds no model any more; {again}")
    for name, file in files_to_copy(source, record.format, manifest).items():
        copy = place / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
    measured = [place / file.name for file in hashed_files(source, record.format)]
    sha256 = hash_files(measured) if all(file.is_file() for file in measured) else "of no complete model"
    if sha256 != record.sha256:
        raise DataError(
            f"{source} has changed since it was measured (sha256 {sha256} instead of {record.sha256}); "
            f"{again}"
        )


def files_to_copy(source: Path, format: str, manifest: Manifest) -> dict[str, Path]:
    """What belongs to a model, by its name in the copy; a manifest names no file outside `source`."""
    files = [*hashed_files(source, format), *companions(source), *papers(source)]
    found = {file.relative_to(source).as_posix(): file for file in files if file.is_file()}
    for name in manifest.files:
        parts = PurePosixPath(name)
        file = source / parts
        inside = not parts.is_absolute() and ".." not in parts.parts
        if inside and file.is_file() and file.resolve().is_relative_to(source.resolve()):
            found[parts.as_posix()] = file
    found.pop(MANIFEST, None)
    return found


def original_card(place: Path) -> str:
    """The card that the checkpoint brought; empty where it brought none."""
    try:
        return (place / CARD).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
