"""How much the terminal shows: one setting for a process and the sweeps it starts."""

from __future__ import annotations

import os
from enum import Enum

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
