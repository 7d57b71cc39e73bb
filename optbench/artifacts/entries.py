"""Entries of the artifact cache on disk: private, made once under a lock, whole or not there.

root/artifacts/KEY/ is an entry: the files of a model, and its manifest, which names each file's SHA-256.
KEY.lock is locked by who makes, checks or removes it, KEY.use.lock by every run that uses it; the kernel
lets go of both when a process ends, however it ends. The empty lock files stay: removing one while
somebody waits for it would let two in. .KEY-xxxx/ is an entry being made, or left by a killed process.

Whom to trust: an entry is used if it belongs to the user or to root, and nobody else can write to it.
Root trusts nobody but itself. On systems without user ids (Windows) this is not checked.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from filelock import FileLock, Timeout

from optbench.checkpoint import hash_file
from optbench.errors import DataError
from optbench.locations import MANIFEST
from optbench.records import Record, write_atomically

if sys.platform != "win32":
    import fcntl

KEY = re.compile(r"[a-z]+-[0-9a-f]{24}")
UNFINISHED = re.compile(r"\.([a-z]+-[0-9a-f]{24})-\w+")
FOLDER = "artifacts"
ROOT_USER = 0


class Manifest(Record, frozen=True):
    """How an entry came to be: what decides its key, what was done, and the SHA-256 of each file.

    history: `made_from` of the steps before, first step first. model: directory of the checkpoint, or its
    name in a model that was handed over. base_model: its hub name, if known. made_at: seconds since 1970.
    """

    made_from: dict[str, Any]
    details: dict[str, Any]
    seconds: float
    files: dict[str, str]
    history: list[dict[str, Any]] = msgspec.field(default_factory=list)
    model: str = ""
    base_model: str | None = None
    made_at: float = 0.0


class Damaged(Exception):  # noqa: N818 - it is a finding, not a fault
    """An entry must not be used; the message is the reason."""


class Busy(Exception):  # noqa: N818 - it passes
    """Somebody else makes or uses an entry."""


def key_of(material: dict[str, Any]) -> str:
    """The name of the entry that is made from `material`."""
    text = json.dumps(material, sort_keys=True)
    return f"{material['step']}-{hashlib.sha256(text.encode()).hexdigest()[:24]}"


def private_folder(root: Path) -> Path:
    """The folder of all entries, made for its owner only. Raises DataError where others could write to it."""
    folder = root / FOLDER
    for place in (root, folder):
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.is_symlink():
        raise DataError(f"{folder} is a link; set OPTBENCH_CACHE_DIR to the folder that it points to")
    if hasattr(os, "geteuid"):
        found = folder.stat()
        if found.st_uid == os.geteuid() and found.st_mode & 0o022:
            folder.chmod(stat.S_IMODE(found.st_mode) & ~0o022)
    if reason := distrust(folder):
        raise DataError(
            f"the artifact cache {folder} {reason}, so what it holds cannot be trusted; set "
            "OPTBENCH_CACHE_DIR to a folder of your own"
        )
    return folder


def distrust(path: Path) -> str | None:
    """None, or why somebody else could have changed what lies there."""
    if not hasattr(os, "geteuid"):
        return None
    found = path.lstat()
    if found.st_uid not in {os.geteuid(), ROOT_USER}:
        return f"belongs to another user (uid {found.st_uid})"
    others = 0o022 if stat.S_ISDIR(found.st_mode) else 0o002
    if not stat.S_ISLNK(found.st_mode) and found.st_mode & others:
        return "can be written by other users"
    return None


@contextlib.contextmanager
def exclusive(entry: Path, wait: bool = True) -> Iterator[None]:
    """Hold the lock of an entry. Raises Busy if somebody else does and `wait` is false."""
    try:
        lock = FileLock(f"{entry}.lock", timeout=-1 if wait else 0)
        lock.acquire()
    except Timeout:
        raise Busy from None
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def in_use(entry: Path) -> Iterator[None]:
    """Keep an entry from being removed; any number of processes may, at the same time."""
    with contextlib.ExitStack() as stack:
        if sys.platform != "win32":
            stream = stack.enter_context(Path(f"{entry}.use.lock").open("ab"))
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(stream, fcntl.LOCK_SH)
        yield


@contextlib.contextmanager
def unused(entry: Path) -> Iterator[None]:
    """Hold an entry that nobody makes or uses. Raises Busy if somebody does."""
    with exclusive(entry, wait=False), contextlib.ExitStack() as stack:
        if sys.platform != "win32":
            stream = stack.enter_context(Path(f"{entry}.use.lock").open("ab"))
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Busy from None
            except OSError:  # a file system without locks
                pass
        yield


@contextlib.contextmanager
def staging(entry: Path) -> Iterator[Path]:
    """An empty directory to make an entry in; what killed processes left is removed first."""
    sweep(entry.parent, also=entry.name)
    place = Path(tempfile.mkdtemp(prefix=f".{entry.name}-", dir=entry.parent))
    try:
        target = place / "entry"
        target.mkdir()
        yield target
    finally:
        remove(place)


def sweep(folder: Path, also: str = "") -> int:
    """Remove what killed processes left, of `also` and of all that nobody makes now; returns how many."""
    removed = 0
    for place in list(folder.iterdir()):
        match = UNFINISHED.fullmatch(place.name)
        if match is None:
            continue
        owner = folder / match[1]
        with contextlib.suppress(Busy), contextlib.ExitStack() as stack:
            if owner.name != also:
                stack.enter_context(exclusive(owner, wait=False))
            remove(place)
            removed += 1
    return removed


def put(made: Path, entry: Path) -> None:
    """Move a finished directory to its place; what lay there before goes."""
    for file in [made, *made.rglob("*")]:
        file.chmod(stat.S_IMODE(file.stat().st_mode) & ~0o022)
    if entry.exists() or entry.is_symlink():
        entry.rename(made.with_name("old"))
    made.rename(entry)


def remove(path: Path) -> None:
    """Remove a file, a link (never what it points to) or a directory, as far as the system permits."""
    with contextlib.suppress(OSError):
        if path.is_symlink() or not path.is_dir():
            path.unlink()
    shutil.rmtree(path, ignore_errors=True)


def write_manifest(
    made: Path,
    material: dict[str, Any],
    details: dict[str, Any],
    seconds: float,
    model: str = "",
    history: list[dict[str, Any]] | None = None,
) -> Manifest:
    """Write what an entry was made from beside its files, and the hash of each of them."""
    files = {name: hash_file(made / name) for name in names_below(made)}
    manifest = Manifest(material, details, seconds, files, history or [], model, made_at=time.time())
    write_atomically(made / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
    return manifest


def names_below(directory: Path) -> list[str]:
    """Relative names of the files below a directory, without its manifest. Raises Damaged on a link."""
    names = []
    for file in directory.rglob("*"):
        if file.is_symlink():
            raise Damaged(f"{file.relative_to(directory).as_posix()} is a link")
        if not file.is_dir():
            names.append(file.relative_to(directory).as_posix())
    return sorted(set(names) - {MANIFEST})


def verified(entry: Path) -> Manifest | None:
    """The manifest of an entry whose files all are what it says; null where there is none.

    Raises Damaged with the reason. Names in a manifest are compared with what is there, never opened.
    """
    if not entry.is_symlink() and not entry.exists():
        return None
    try:
        if entry.is_symlink() or not entry.is_dir():
            raise Damaged("it is no directory")
        for place in [entry, *entry.rglob("*")]:
            if reason := distrust(place):
                raise Damaged(f"{place.name} {reason}")
        manifest = read_manifest(entry)
        if key_of(manifest.made_from) != entry.name:
            raise Damaged("it was made from something else")
        present, wanted = set(names_below(entry)), set(manifest.files)
        for word, names in (("lacks", wanted - present), ("also holds", present - wanted)):
            if names:
                raise Damaged(f"it {word} {min(names)}")
        for name in present:
            if hash_file(entry / name) != manifest.files[name]:
                raise Damaged(f"{name} has changed")
    except (OSError, KeyError, TypeError) as error:
        raise Damaged(f"it cannot be read ({type(error).__name__}: {error})") from error
    return manifest


def read_manifest(directory: Path) -> Manifest:
    """The manifest of a prepared model. Raises Damaged."""
    try:
        return msgspec.json.decode((directory / MANIFEST).read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise Damaged(f"it has no {MANIFEST}") from None
    except (OSError, ValueError) as error:  # msgspec's errors and those of decoding are ValueErrors
        raise Damaged(f"{MANIFEST} cannot be read: {error}") from error


def touch(entry: Path) -> None:
    """Note that an entry was used now: the modification time of its manifest."""
    with contextlib.suppress(OSError):
        os.utime(entry / MANIFEST)
