"""The most time a run may take, whatever it waits for.

Whoever runs it waits in blocking reads from child processes, so a watchdog thread ends the children: each
read then fails at once and the run unwinds as it does for any dead child, keeping what it has. Processes that
the points of a sweep share, such as templates, are spared at first. A run that does not unwind, because the
coordinator itself is stuck, is interrupted in its own thread.
"""

from __future__ import annotations

import contextlib
import ctypes
import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any

from optbench.processes.child import end_children

POLL_SECONDS = 0.25
"""How often children are ended that a run starts after its time is over."""
SHARED_AFTER_SECONDS = 2.0
INTERRUPT_AFTER_SECONDS = 5.0
"""So long a run may take to keep what it has, once nothing is left to wait for."""


SIGNAL: Any = getattr(signal, "SIGURG", None)
"""Interrupts what the main thread waits for; unlike others it is harmless when it comes too late."""


class OutOfTime(BaseException):
    """A run's time is over. Not an Exception, so that nothing but the run itself takes it for a finding."""


class Deadline:
    """A context in which a run may spend `seconds`; null is without limit. `expired` once they are over."""

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self.expired = False
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._runner = threading.get_ident()
        self._before: Any = None
        self._has_ended = False

    def check(self) -> None:
        """Raise OutOfTime once the time is over."""
        if self.expired:
            raise OutOfTime

    def __enter__(self) -> Deadline:
        if self.seconds is not None:
            self._runner = threading.get_ident()
            if self._takes_signals():
                self._before = signal.signal(SIGNAL, self._raise)
            threading.Thread(target=self._watch, name="optbench-deadline", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def end(self) -> None:
        """Stop watching; safe to call again. An interruption that is still on its way ends here."""
        while not self._has_ended:
            with contextlib.suppress(OutOfTime):
                self._stop()

    def _stop(self) -> None:
        with self._lock:  # after which nobody interrupts any more
            self._over.set()
            if self._before is not None:
                signal.signal(SIGNAL, self._before)
                self._before = None
        for _ in range(2):  # the interpreter looks for exceptions from other threads where a loop turns
            pass
        self._has_ended = True

    def _takes_signals(self) -> bool:
        return SIGNAL is not None and self._runner == threading.main_thread().ident

    def _watch(self) -> None:
        if self._over.wait(self.seconds):
            return
        self.expired = True
        begun = time.monotonic()
        interrupt_at = INTERRUPT_AFTER_SECONDS
        while not self._over.is_set():
            late = time.monotonic() - begun
            end_children(self._runner, shared=late > SHARED_AFTER_SECONDS)
            if late > interrupt_at:  # again if it was lost, as an exception in a destructor is
                interrupt_at = late + INTERRUPT_AFTER_SECONDS
                self._interrupt()
            self._over.wait(POLL_SECONDS)

    def _interrupt(self) -> None:
        with self._lock:
            if self._over.is_set():
                return
            if self._before is not None:
                signal.pthread_kill(self._runner, SIGNAL)
            else:
                raise_in(self._runner, OutOfTime)

    def _raise(self, number: int, frame: FrameType | None) -> None:
        if self.expired and not self._over.is_set():
            raise OutOfTime


def raise_in(thread: int, error: type[BaseException]) -> None:
    """Raise `error` in another thread at its next bytecode.

    It is never taken back with a null: CPython 3.11 then looks for an exception that is not there at every
    call for the rest of the process, and for ever where a debugger or coverage traces it.
    """
    with contextlib.suppress(AttributeError):  # an interpreter without CPython's C interface
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(error))
