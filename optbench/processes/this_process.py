"""This very process as the kernel sees it: its parent, threads, priority and memory."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import re
import signal
import sys
import time
from pathlib import Path

HIGHEST_PRIORITY = -20
PR_SET_PDEATHSIG = 1
ASLEEP_LIMIT_SECONDS = 0.5
ASLEEP_POLL_SECONDS = 0.0005


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent dies; Linux only, elsewhere EOF ends it."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def thread_count() -> int:
    """Threads of this process, also those that Python does not know of."""
    tasks = Path("/proc/self/task")
    if tasks.is_dir():
        return len(list(tasks.iterdir()))
    import psutil

    return psutil.Process().num_threads()


def raise_priority() -> None:
    """Ask the scheduler to prefer this process; threads that start later inherit it. Needs privilege.

    With two processes burning both cores, MiniLM int8 against float32 reads 1.72x as on the idle
    machine, and 2.40x at normal priority (2 threads on 2 cores): threads that wait for one another
    multiply every interruption.
    """
    if hasattr(os, "setpriority"):
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, HIGHEST_PRIORITY)


def fall_asleep() -> None:
    """Return once no other thread of this process runs, so that the next variant has the cores.

    Runtimes spin after a call (OpenMP about 10 ms). A spinning thread is in state R; its CPU time would
    tell only at scheduler ticks. Gives up after half a second: the trust signals then show the load.
    """
    deadline = time.perf_counter() + ASLEEP_LIMIT_SECONDS
    while other_threads_running() and time.perf_counter() < deadline:
        time.sleep(ASLEEP_POLL_SECONDS)


def other_threads_running() -> bool:
    """Whether any thread but the calling one is running or ready to run; False where unknown."""
    own = str(os.getpid())
    tasks = Path("/proc/self/task")
    if not tasks.is_dir():
        return False
    for task in tasks.iterdir():
        if task.name == own:
            continue
        try:
            state = (task / "stat").read_bytes().rpartition(b") ")[2][:1]
        except OSError:
            continue  # the thread has just ended
        if state == b"R":
            return True
    return False


def niceness() -> int | None:
    """Scheduling priority as the system has it, -20 to 19; null where it does not tell."""
    return os.getpriority(os.PRIO_PROCESS, 0) if hasattr(os, "getpriority") else None


def set_niceness(value: int) -> None:
    """Ask for a niceness; one that is lower than now needs privilege, without which nothing changes."""
    if hasattr(os, "setpriority"):
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, value)


def memory_bytes(field: str) -> int | None:
    """VmRSS (now) or VmHWM (highest so far) of this process; null where /proc does not tell.

    Never ru_maxrss: a child inherits its parent's.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return None
    found = re.search(rf"^{field}:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def forget_peak_memory() -> bool:
    """Reset VmHWM to what is resident now, where the kernel permits it (proc(5), clear_refs)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


OF_TORCHAO = {
    "torchao": re.compile(r"Failed to load \S*/_C_\w+\.\S*so: "),
    "torch.utils._pytree": re.compile(r"<enum '\w+'> is an Enum subclass and is now natively supported"),
}
"""By logger, what importing torchao 0.18 says: its kernels for certain GPUs, such as _C_cutlass_90a.abi3.so,
cannot be loaded (those for the CPU lie in _C.abi3.so), and how it registers two enums."""


def leave_out_torchao() -> None:
    """Keep out of the log what torchao says when it is imported.

    transformers imports it wherever it is installed, so it would stand there for runs that do not use it.
    """

    def is_other(record: logging.LogRecord) -> bool:
        return not OF_TORCHAO[record.name].match(record.getMessage())

    for name in OF_TORCHAO:
        logging.getLogger(name).addFilter(is_other)
