"""The process that sends requests when they are due, so that nobody who computes has to look at a clock."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

PR_SET_TIMERSLACK = 29
LEAD_NANOSECONDS = 20_000_000
"""From the call to the time that counts as zero, so that the first requests are not late."""


class LoadGenerator:
    """Lives in a process of its own."""

    def __init__(self, raised: bool = False) -> None:
        if raised:
            go_first()
        if sys.platform == "linux":  # wake up when due, not up to 50 microseconds later
            ctypes.CDLL(None, use_errno=True).prctl(PR_SET_TIMERSLACK, 1)

    def send(self, requests: Path, due_nanoseconds: Sequence[int]) -> tuple[list[int], list[int], float]:
        """Write a byte into a named pipe for each request when it is due, counted from now.

        Returns the monotonic nanoseconds at which each should have been and was sent, and the CPU
        seconds this took. A request that is overdue goes out at once: nobody waits for an answer.
        """
        sent: list[int] = []
        clock = time.monotonic_ns
        with requests.open("wb", buffering=0) as pipe:
            used = time.process_time()
            begin = clock() + LEAD_NANOSECONDS
            for due in due_nanoseconds:
                left = begin + due - clock()
                if left > 0:
                    time.sleep(left / 1e9)
                sent.append(clock())
                pipe.write(b"\0")
            used = time.process_time() - used
        return [begin + due for due in due_nanoseconds], sent, used


def go_first() -> None:
    """Run when due whatever else runs, where the system permits: it takes under one percent of a core.

    A raised priority is not enough: Linux lets the running thread finish its slice of a few milliseconds
    first, which would count as latency of the variant.
    """
    if hasattr(os, "sched_setscheduler"):
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
