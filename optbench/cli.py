"""The `optbench` command: a first word names a tool, anything else is a run for Hydra."""

from __future__ import annotations

import os
import sys

from optbench import __version__
from optbench.errors import ConfigError, OptbenchError
from optbench.verbosity import VARIABLE, Verbosity, mute, set_verbosity

TOOLS = ("aggregate", "cache", "compare", "doctor", "export", "history", "report")
"""First words that name a tool; anything else is a run."""

PIPE_CODE = 141
"""The exit code of a program that SIGPIPE ended: 128 + 13."""


def main(arguments: list[str]) -> int:
    """Run the command line; returns the exit code (see `optbench --help`)."""
    if "--version" in arguments:
        sys.stdout.write(f"optbench {__version__}\n")
        return 0
    if "-q" in arguments and "-v" in arguments:
        return refused("-q and -v exclude each other; give one of them")
    for flag, level in (("-q", Verbosity.quiet), ("-v", Verbosity.verbose)):
        if flag in arguments:
            set_verbosity(level)
    known = [level.value for level in Verbosity]
    if (set_to := os.environ.get(VARIABLE, known[0])) not in known:
        return refused(f"{VARIABLE} must be one of {', '.join(known)}, got {set_to!r}; unset it")
    rest = [argument for argument in arguments if argument not in ("-q", "-v")]
    if rest and rest[0] in TOOLS:
        return run_tool(rest)

    from optbench.hydra_app.arguments import argument_problems
    from optbench.hydra_app.typed import print_problems
    from optbench.main import launch

    words = [argument for argument in rest if argument != "--plan"]
    if problems := argument_problems(words, TOOLS):
        print_problems(ConfigError(*problems))
        return 2
    return launch(words, planning="--plan" in rest)


def run_tool(arguments: list[str]) -> int:
    """Run a command beside a run; what is wrong with it is one line on stderr."""
    from optbench.commands.tools import app

    try:
        code = app(arguments, prog_name="optbench", standalone_mode=False)
    except SystemExit as end:
        # typer and rich end with 1 where nobody reads what they print; our commands return their codes
        return PIPE_CODE if end.code == 1 else end.code if isinstance(end.code, int) else 2
    except BrokenPipeError:
        raise
    except OptbenchError as error:
        return refused(str(error), error.exit_code)
    except OSError as error:
        return refused(
            f"{error.filename or arguments[0]} cannot be read or written: {error.strerror or error}"
        )
    except Exception as error:  # typer's own exceptions have no base class that all its versions name
        return misused(error)
    return code if isinstance(code, int) else 0


def misused(error: Exception) -> int:
    """Say what typer found wrong with a command line; anything that is not typer's is raised again."""
    name = type(error).__name__
    if name == "Abort":
        return refused("interrupted", 130)
    told = getattr(error, "format_message", None)
    if told is None:
        raise error
    if name == "NoArgsIsHelpError":
        error.show()  # type: ignore[attr-defined]
        return 2
    context = getattr(error, "ctx", None)
    command = "optbench" if context is None else context.command_path
    return refused(f"{' '.join(told().split()).rstrip('.')}; see {command} --help")


def refused(reason: str, code: int = 2) -> int:
    """Say why there is nothing to run; returns the exit code."""
    sys.stderr.write(f"optbench: {reason}\n")
    return code


def console() -> None:
    """Entry point of the console script; ends without a word where nobody reads, as behind `head`."""
    try:
        code = main(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        code = PIPE_CODE
    except KeyboardInterrupt:
        sys.stderr.write("optbench: interrupted\n")
        code = 130
    if code == PIPE_CODE:
        for stream in (sys.stdout, sys.stderr):
            mute(stream)
    sys.exit(code)
