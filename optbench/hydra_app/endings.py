"""How a run or sweep ends that has not finished: what is said, what is left, and with which exit code."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.conf import HydraConf

from optbench.claims import remove
from optbench.delivery.command_line import resuming
from optbench.errors import ConfigError, OptbenchError, ResultError, Unsupported
from optbench.hydra_app.arguments import own_name, own_places, words_of
from optbench.hydra_app.composition import composition_problems
from optbench.hydra_app.invocation import Invocation
from optbench.hydra_app.typed import print_problems
from optbench.locations import HYDRA_DIRECTORY
from optbench.processes.termination import exit_code_of
from optbench.records import read_result
from optbench.stages.draft import refused

if TYPE_CHECKING:
    from optbench.records import RunResult
    from optbench.run import Outcome


def refuse(arguments: list[str], error: Exception) -> int:
    """Say everything that is wrong with a command line or its files; the exit code."""
    if isinstance(error, OptbenchError):
        print_problems(ConfigError(*problems_of(error)))
        return error.exit_code
    words = words_of(arguments)
    problems = composition_problems(words.overrides, error, own_places(words), own_name(words))
    print_problems(ConfigError(*problems))
    return ConfigError.exit_code


def problems_of(error: BaseException) -> list[str]:
    """What an error says, a line for each problem: only these two kinds hold several."""
    if isinstance(error, ConfigError | Unsupported):
        return str(error).splitlines()
    return [" ".join(str(error).split())]


def discard(directory: Path, hydra_config: HydraConf) -> None:
    """Remove what Hydra wrote for a config that cannot be read, and its directory where Hydra named that."""
    remove(directory / HYDRA_DIRECTORY)
    remove(directory / f"{hydra_config.job.name}.log")
    named = any(str(item).startswith("hydra.run.dir=") for item in hydra_config.overrides.hydra)
    for place in () if named else (directory, directory.parent):
        with contextlib.suppress(OSError):
            place.rmdir()


def give_back(outcome: Outcome) -> None:
    """Leave nothing of a run that could not start or was interrupted before it had measured anything."""
    if isinstance(outcome.error, KeyboardInterrupt):
        raise outcome.error
    Invocation.withdraw()
    if outcome.error is not None:
        print_problems(ConfigError(*problems_of(outcome.error)))


def interrupted(error: KeyboardInterrupt) -> int:
    """What is left and said when Ctrl-C or SIGTERM ended everything; the exit code."""
    said = f"optbench: {str(error) or 'interrupted'}"
    if (claim := Invocation.claim) is None:
        sys.stderr.write(f"{said}\n")
    elif Invocation.sweeping:
        sys.stderr.write(f"{said}; to go on where it ended: {resuming(sys.argv, claim.directory)}\n")
    else:
        found = result_so_far(claim.directory)
        if found is not None and found.variants:
            sys.stderr.write(f"{said}; what was measured lies in {claim.directory}\n")
        else:
            failure = None if found is None else found.failure
            stage = "configuration" if failure is None else failure.stage
            claim.withdraw()
            sys.stderr.write(f"{said} in its stage '{stage}'; nothing was measured yet, so nothing is left\n")
    return exit_code_of(error)


def result_so_far(directory: Path) -> RunResult | None:
    """What a run has written until now."""
    try:
        return read_result(directory)
    except ResultError:
        return None


def ended_early(error: Exception) -> int:
    """Say why a sweep ended before its last point, as when Hydra or a launcher failed; the exit code."""
    directory = None if Invocation.claim is None else Invocation.claim.directory
    if isinstance(error, OSError) and error.strerror:
        told = refused(error.filename or directory or "a file", error)
    else:
        told = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
    sys.stderr.write(
        f"optbench: the sweep ended before its last point: {told}; when that is mended, run it again with "
        f"resume={directory}: what it has measured is taken over\n"
    )
    return exit_code_of(Invocation.interruption()) if Invocation.interrupted else 3
