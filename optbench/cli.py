"""The `optbench` command: a first word names a tool, anything else is a run for Hydra."""

from __future__ import annotations

import sys

from optbench import __version__
from optbench.verbosity import Verbosity, set_verbosity


def main(arguments: list[str]) -> int:
    """Run the command line; returns the exit code (see `optbench --help`)."""
    if "--version" in arguments:
        sys.stdout.write(f"optbench {__version__}\n")
        return 0
    if "-q" in arguments and "-v" in arguments:
        sys.stderr.write("optbench: -q and -v exclude each other; give one of them\n")
        return 2
    for flag, verbosity in (("-q", Verbosity.quiet), ("-v", Verbosity.verbose)):
        if flag in arguments:
            set_verbosity(verbosity)
    rest = [argument for argument in arguments if argument not in ("-q", "-v")]

    from optbench.main import launch

    return launch(rest)


def console() -> None:
    """Entry point of the console script."""
    sys.exit(main(sys.argv[1:]))
