"""The command line that measures a run again, from what Hydra and the result kept."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from optbench.locations import HYDRA_DIRECTORY, OVERRIDES_FILE
from optbench.reports.escape import one_line

CONFIG_FLAGS = ("--config-dir", "-cd", "--config-name", "-cn", "--config-path", "-cp")
SWEEP_FLAGS = ("-m", "--multirun")


def reproduce(command: Sequence[str], overrides: Sequence[str] | None) -> str:
    """The command line that measures a run again; of a sweep, the one point with its `overrides`.

    Empty for a run that no command line stands for: Python code made its config.
    """
    if not command:
        return ""
    arguments = list(command[1:])
    if overrides is not None and any(flag in arguments for flag in SWEEP_FLAGS):
        flags: list[str] = []
        for place, argument in enumerate(arguments):
            before = arguments[place - 1] if place else ""
            if before in CONFIG_FLAGS or (argument.startswith("-") and argument not in SWEEP_FLAGS):
                flags.append(argument)
        arguments = [*flags, *overrides]
    return " ".join(["optbench", *(shlex.quote(one_line(argument, 2000)) for argument in arguments)])


def resuming(command: Sequence[str], sweep: Path) -> str:
    """The command line that goes on with a sweep: in a new directory, with what the old one has finished."""
    own = [word for word in command[1:] if not word.startswith(("hydra.sweep.dir=", "resume="))]
    given = [*own, f"resume={sweep}"]
    return " ".join(["optbench", *(shlex.quote(one_line(word, 2000)) for word in given)])


def overrides_of(run: Path) -> list[str] | None:
    """The overrides of one run or point as Hydra kept them; null where it did not."""
    import yaml

    directory = run if run.is_dir() else run.parent
    try:
        found = yaml.safe_load((directory / HYDRA_DIRECTORY / OVERRIDES_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return None
    return found if isinstance(found, list) and all(isinstance(item, str) for item in found) else None
