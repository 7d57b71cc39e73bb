"""How much the terminal shows: one setting for a process and the sweeps it starts."""

from __future__ import annotations

import contextlib
import os
from enum import Enum
from typing import IO

VARIABLE = "OPTBENCH_VERBOSITY"


class Verbosity(Enum):
    """-q: the answer, gates that do not pass, and the path of the result. -v: also what the libraries log."""

    quiet = "quiet"
    normal = "normal"
    verbose = "verbose"


def set_verbosity(verbosity: Verbosity) -> None:
    """Set it for this process and its children."""
    os.environ[VARIABLE] = verbosity.value


def verbosity() -> Verbosity:
    """The current setting."""
    return Verbosity(os.environ.get(VARIABLE, Verbosity.normal.value))


def mute(stream: IO[str]) -> None:
    """Let what is still written to a stream vanish, as nobody reads it any more."""
    with contextlib.suppress(OSError, ValueError):  # no file of the system, or closed
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
