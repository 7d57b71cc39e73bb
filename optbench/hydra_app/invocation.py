"""What the callbacks, the command line and the points of a sweep share within one process."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from optbench.processes.termination import Terminated

if TYPE_CHECKING:
    from optbench.claims import Claim
    from optbench.processes.crew import Templates
    from optbench.search.tune import Search


class Invocation:
    """The run or sweep that this process was called for."""

    exit_code = 0
    interrupted = False
    terminated = False
    """Whether what interrupted it was SIGTERM."""
    sweeping = False
    planning = False
    """Whether to tell what would be run instead of running it."""
    launched = False
    """Whether a launcher started this process for a point, so that others may run beside it."""
    claim: ClassVar[Claim | None] = None
    """On the directory of the run or sweep that has begun."""
    stop_file: ClassVar[Path | None] = None
    """Made by Ctrl-C to tell a launcher's processes that no further point is to start."""
    templates: ClassVar[Templates | None] = None
    search: ClassVar[Search | None] = None
    at_end: ClassVar[list[Callable[[], object]]] = []
    """Called when the sweep's last point is done, in this order."""
    axes: ClassVar[frozenset[str]] = frozenset()
    """Keys that the running sweep varies."""

    @classmethod
    def end_now(cls) -> None:
        """SIGTERM: nothing more is to begin, here or in a launcher's processes."""
        cls.interrupted = cls.terminated = True
        if cls.stop_file is not None:
            with contextlib.suppress(OSError):
                cls.stop_file.touch()

    @classmethod
    def withdraw(cls) -> None:
        """Leave nothing in the directory of what has begun: there is nothing to keep."""
        if cls.claim is not None:
            cls.claim.withdraw()

    @classmethod
    def interruption(cls) -> KeyboardInterrupt:
        """What ends the sweep that was interrupted."""
        return Terminated() if cls.terminated else KeyboardInterrupt()

    @classmethod
    def reset(cls) -> None:
        """As before the first run."""
        cls.exit_code = 0
        cls.interrupted = cls.terminated = cls.sweeping = cls.planning = cls.launched = False
        cls.templates = cls.search = cls.stop_file = cls.claim = None
        cls.at_end = []
        cls.axes = frozenset()
