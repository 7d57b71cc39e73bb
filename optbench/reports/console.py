"""Text on the terminal: plain, never wrapped, never taken for markup."""

from __future__ import annotations

import sys

from rich.console import Console

from optbench.reports.escape import lines
from optbench.verbosity import mute

PIPE_WIDTH = 100


def say(where: Console, text: str, style: str | None = None) -> None:
    """Plain text, never wrapped, never taken for markup; a result of unknown origin may steer no terminal."""
    where.print(lines(text), style=style, highlight=False, markup=False, soft_wrap=True)


class Screen(Console):
    """A console that falls silent when nobody reads it any more, as behind `head`; rich would exit with 1."""

    def on_broken_pipe(self) -> None:
        """The work goes on: a run is not over because its table was not read to the end."""
        self.quiet = True
        mute(self.file)


def console(stream: object) -> Console:
    """A console on a stream; pipes get a fixed width and no colour, NO_COLOR is honoured by rich."""
    made = Screen(file=stream, emoji=False)  # type: ignore[arg-type]
    if not made.is_terminal:
        made.width = PIPE_WIDTH
    return made


def emit(text: str) -> None:
    """A document onto stdout, as far as somebody reads it."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        mute(sys.stdout)


def plural(count: int) -> str:
    """The ending of a regular noun."""
    return "" if count == 1 else "s"
