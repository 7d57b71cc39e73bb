"""Whose a run's directory is: one process writes into it at a time, and takes back what it made there.

A file that the kernel locks (flock), with the pid and the host of its holder: whoever dies lets go, so a lock
that is held is a run that is going on. It goes with the run; a killed process leaves the file, unlocked.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import sys
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from optbench.errors import ConfigError
from optbench.locations import HYDRA_DIRECTORY, LOCK_FILE, LOG_FILE, REPORT_FILE
from optbench.records import BLOCKS_FILE, PREDICTIONS_FILE, REQUESTS_FILE, RESULT_FILE, SAMPLES_FILE
from optbench.records.aggregate import PLAN_FILE
from optbench.records.search import TUNE_FILE

if sys.platform != "win32":
    import fcntl

RESULTS = (RESULT_FILE, REPORT_FILE, SAMPLES_FILE, BLOCKS_FILE, REQUESTS_FILE, PREDICTIONS_FILE)
"""What a run leaves: an earlier one's must not lie beside a later one's."""
OURS = (*RESULTS, PLAN_FILE, TUNE_FILE, LOG_FILE, HYDRA_DIRECTORY)
"""What a run or sweep that could not start has left."""
POINT = re.compile(r"\d+|(final|repair|ranking)-\d+")
"""Directories of a sweep's points, and of what a search runs besides."""
EARLIER = ".earlier"
"""Where an earlier run's files wait for the end of a later one in the same directory."""
TRIES, PAUSE_SECONDS = 10, 0.02
"""Who only looks whether a directory is claimed holds its lock for a moment."""


@dataclass(frozen=True)
class Holder:
    """Who claimed a directory. is_certain: false on another host, whose locks may not be seen here."""

    pid: int
    host: str
    is_certain: bool = True

    def __str__(self) -> str:
        where = "" if self.host == socket.gethostname() else f" on {self.host}"
        return f"pid {self.pid}{where}"


class Claim:
    """A directory that this process alone writes into, until `release` or `withdraw`.

    overwrites: whether an earlier run or sweep lay there. Its files, and the points of a sweep, are set
    aside; `withdraw` puts them back, and whoever is killed leaves them there.
    """

    def __init__(
        self, directory: Path, made: list[Path], stream: int | None, begun: Collection[str] = ()
    ) -> None:
        self.directory = directory
        self._made = made
        self._stream = stream
        names = {item.name for item in directory.iterdir()} - {LOCK_FILE}
        self.overwrites = bool(names & {RESULT_FILE, PLAN_FILE})
        self._kept = set() if self.overwrites else names
        if self.overwrites:
            remove(directory / EARLIER)
            points = sorted(name for name in names if PLAN_FILE in names and is_point(directory / name))
            ours = [name for name in OURS if name not in begun]
            move([*ours, *points], directory, directory / EARLIER)

    @classmethod
    def take(cls, directory: Path, key: str, begun: Collection[str] = ()) -> Claim:
        """Claim a directory, made if it is not there. Raises ConfigError while another process has it.

        key: what names the directory on the command line or in Python. begun: files in it that are already
        those of the run that claims it.
        """
        directory = directory.absolute()
        made = [one for one in (directory, *directory.parents) if not one.exists()]
        try:
            directory.mkdir(parents=True, exist_ok=True)
            return cls(directory, made, locked(directory / LOCK_FILE), begun)
        except BlockingIOError:
            require_unclaimed(directory, f"{key}={directory}")
            raise ConfigError(busy(f"{key}={directory}", "this process")) from None
        except OSError as error:
            raise ConfigError(
                f"{key}={directory} must be a writable directory, but {error.filename} cannot be used: "
                f"{error.strerror}; choose another"
            ) from error

    def release(self) -> None:
        """Let go; safe to call again. What an earlier run left here is gone then."""
        remove(self.directory / EARLIER)
        if self._stream is not None:
            with contextlib.suppress(OSError):
                (self.directory / LOCK_FILE).unlink(missing_ok=True)
            os.close(self._stream)
            self._stream = None

    def withdraw(self, more: Iterable[str] = ()) -> None:
        """Remove what was written and made for a run that has nothing to keep, and nothing else; let go.

        more: names of further files that it wrote.
        """
        for name in {*OURS, *more} - self._kept:
            remove(self.directory / name)
        earlier = self.directory / EARLIER
        move([item.name for item in earlier.glob("*")], earlier, self.directory)
        self.release()
        for place in self._made:
            with contextlib.suppress(OSError):
                place.rmdir()


def require_unclaimed(directory: Path, named: str) -> None:
    """Raise ConfigError while another process runs in a directory. named: the setting, for the message."""
    holder = holder_of(directory)
    if holder is not None and holder.is_certain:
        raise ConfigError(busy(named, str(holder)))


def busy(named: str, who: str) -> str:
    """Why nothing can be written there now."""
    return (
        f"{named} must be a directory that no other run or sweep writes into, but one is running there "
        f"({who}); wait for its end, or choose another directory"
    )


def locked(file: Path) -> int | None:
    """The descriptor of a lock file that is ours now; null where the file system has no locks.

    Raises BlockingIOError while somebody else holds it.
    """
    if sys.platform == "win32":
        return None
    for _ in range(TRIES):
        try:
            stream = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        except OSError:
            return None
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if is_file(stream, file):
                os.truncate(stream, 0)
                os.write(stream, f"{os.getpid()} {socket.gethostname()}\n".encode())
                return stream
        except BlockingIOError:
            time.sleep(PAUSE_SECONDS)
        except OSError:
            os.close(stream)
            return None
        os.close(stream)
    raise BlockingIOError


def is_file(stream: int, file: Path) -> bool:
    """Whether a descriptor is still what a name stands for: the holder before us may have removed it."""
    try:
        return os.path.samestat(os.fstat(stream), file.stat())
    except FileNotFoundError:
        return False


def holder_of(directory: Path | str) -> Holder | None:
    """The process that runs in a directory, if one does or may do; never this process itself."""
    if sys.platform == "win32":
        return None
    try:
        with (Path(directory) / LOCK_FILE).open("rb") as stream:
            pid, host = stream.read(1000).decode().split()
            holder = Holder(int(pid), host, is_locked(stream.fileno()))
    except (OSError, ValueError):
        return None
    if holder.host == socket.gethostname():
        return holder if holder.is_certain and holder.pid != os.getpid() else None
    return holder


def is_locked(stream: int) -> bool:
    """Whether somebody else holds a lock on an open file."""
    try:
        fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    fcntl.flock(stream, fcntl.LOCK_UN)
    return False


def is_point(directory: Path) -> bool:
    """Whether a sweep has made a directory for a point."""
    if not POINT.fullmatch(directory.name):
        return False
    return any((directory / name).exists() for name in (HYDRA_DIRECTORY, RESULT_FILE, LOG_FILE))


def move(names: Iterable[str], source: Path, target: Path) -> None:
    """Move what is there of these files to another directory, which is made for the first of them."""
    for name in names:
        if (source / name).exists():
            target.mkdir(mode=0o700, exist_ok=True)
            (source / name).replace(target / name)


def remove(path: Path) -> None:
    """Remove a file or a directory of ours, as far as the system permits."""
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
