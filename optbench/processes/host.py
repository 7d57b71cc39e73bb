"""Who may compute on this machine: timings alone, everything else side by side but never beside a timing.

Two files that the kernel locks (flock), so that whoever dies lets go and nothing is left to clean up. A
timing holds the room alone, work that is not timed shares it. Both pass the turnstile first, one after the
other: a timing that waits for the room keeps it closed, so work that comes later cannot starve it
(docs/decisions/0011).
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from optbench.errors import DataError

if sys.platform != "win32":
    import fcntl

    FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK

VARIABLE = "OPTBENCH_LOCK_DIR"
FIXED_PLACE = Path("/tmp")
"""One for all: schedulers give each job a TMPDIR of its own."""
TURNSTILE, ROOM = "optbench-turnstile.lock", "optbench-timing.lock"

Waiting = Callable[[], contextlib.AbstractContextManager[object]]
"""Makes what is shown while a lock is waited for."""


def lock_directory() -> Path:
    """Where this machine's locks lie: $OPTBENCH_LOCK_DIR, else /tmp, else the folder for temporary files."""
    if given := os.environ.get(VARIABLE):
        return Path(given).expanduser()
    return FIXED_PLACE if os.access(FIXED_PLACE, os.W_OK) else Path(tempfile.gettempdir())


@contextlib.contextmanager
def timing_alone(waiting: Waiting = contextlib.nullcontext) -> Iterator[None]:
    """Hold this machine while something is timed. Raises DataError where its lock cannot be opened."""
    with held(True, waiting):
        yield


@contextlib.contextmanager
def beside_others(waiting: Waiting = contextlib.nullcontext) -> Iterator[None]:
    """Keep timings out while something computes that is not timed. Raises DataError as `timing_alone`."""
    with held(False, waiting):
        yield


if sys.platform != "win32":

    @contextlib.contextmanager
    def held(alone: bool, waiting: Waiting) -> Iterator[None]:
        """Pass the turnstile, then hold the room."""
        kind = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
        directory = lock_directory()
        with contextlib.ExitStack() as stack:
            room = stack.enter_context(opened(directory / ROOM))
            with opened(directory / TURNSTILE) as turnstile:
                try:
                    fcntl.flock(turnstile, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    fcntl.flock(room, kind | fcntl.LOCK_NB)
                except BlockingIOError:
                    with waiting():
                        fcntl.flock(turnstile, fcntl.LOCK_EX)
                        fcntl.flock(room, kind)
            yield

    @contextlib.contextmanager
    def opened(path: Path) -> Iterator[int]:
        """A descriptor of a lock file that every user of the machine may lock; made if it is not there."""
        try:
            try:
                descriptor = os.open(path, FLAGS)
            except FileNotFoundError:  # never O_CREAT on another user's file: Linux refuses that in /tmp
                descriptor = os.open(path, FLAGS | os.O_CREAT, 0o644)
                with contextlib.suppress(PermissionError):
                    os.fchmod(descriptor, 0o644)
        except OSError as error:
            raise DataError(
                f"the lock {path}, which keeps runs on this machine apart, cannot be opened: "
                f"{error.strerror}; set {VARIABLE} to a folder that all who measure here can read and write"
            ) from error
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise DataError(f"the lock {path} must be a plain file; remove it, or set {VARIABLE}")
            with contextlib.suppress(OSError):  # so that no cleaner of old files takes it from under us
                os.utime(descriptor)
            yield descriptor
        finally:
            os.close(descriptor)

else:

    @contextlib.contextmanager
    def held(alone: bool, waiting: Waiting) -> Iterator[None]:
        """Windows has no shared lock of this kind: there timings keep each other out, and nothing else."""
        from filelock import FileLock, Timeout

        if not alone:
            yield
            return
        lock = FileLock(lock_directory() / ROOM)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            with waiting():
                lock.acquire()
        try:
            yield
        finally:
            lock.release()
