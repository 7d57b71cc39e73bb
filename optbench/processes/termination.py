"""SIGTERM: how `timeout`, GitLab, Kubernetes and Slurm ask a process to end, seconds before they kill it.

Only the command line listens to it; a program that calls the Python API keeps its own handlers.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import ClassVar

from optbench.processes.child import end_children

INTERRUPTED_CODE = 130
"""The exit code after Ctrl-C: 128 + SIGINT."""


class Terminated(KeyboardInterrupt):
    """The system asked this process to end. Wherever Ctrl-C is heeded, so is this."""

    exit_code: ClassVar[int] = 128 + signal.SIGTERM

    def __init__(self) -> None:
        super().__init__("terminated (SIGTERM)")


def exit_code_of(error: BaseException) -> int:
    """The exit code after an interrupt: 143 for SIGTERM, 130 for Ctrl-C."""
    return int(getattr(error, "exit_code", INTERRUPTED_CODE))


def told(interrupt: BaseException) -> str:
    """An interrupt in words."""
    return str(interrupt) or "interrupted from the keyboard"


@contextlib.contextmanager
def terminable(first: Callable[[], object] = lambda: None) -> Iterator[None]:
    """SIGTERM raises Terminated meanwhile, once: `timeout` sends it twice, to us and to our group.

    first: called before. Children are killed, as there is no time to wait for the call they are in.
    Does nothing in a thread, where no handler can be set.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def terminate(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        first()
        end_children(threading.get_ident(), shared=True)
        raise Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
