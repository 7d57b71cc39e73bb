"""The `optbench` command: a first word names a tool, anything else is a run for Hydra."""

from __future__ import annotations

import sys

from optbench import __version__
from optbench.errors import OptbenchError
from optbench.verbosity import Verbosity, set_verbosity

TOOLS = ("aggregate", "cache", "compare", "doctor", "export", "history", "report")
"""First words that name a tool; anything else is a run."""


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

    if rest and rest[0] in TOOLS:
        from optbench.tools import app

        try:
            app(rest, prog_name="optbench")
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else 2
        except OptbenchError as error:
            sys.stderr.write(f"optbench: {error}\n")
            return error.exit_code
        return 0

    from optbench.main import launch

    return launch([argument for argument in rest if argument != "--plan"], planning="--plan" in rest)


def console() -> None:
    """Entry point of the console script."""
    try:
        code = main(sys.argv[1:])
    except KeyboardInterrupt:
        sys.stderr.write("optbench: interrupted\n")
        code = 130
    sys.exit(code)
