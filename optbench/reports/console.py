"""Text on the terminal: plain, never wrapped, never taken for markup."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console

from optbench.reports.escape import lines

if TYPE_CHECKING:
    pass


PIPE_WIDTH = 100


def say(where: Console, text: str, style: str | None = None) -> None:
    """Plain text, never wrapped, never taken for markup; a result of unknown origin may steer no terminal."""
    where.print(lines(text), style=style, highlight=False, markup=False, soft_wrap=True)


def console(stream: object) -> Console:
    """A console on a stream; pipes get a fixed width and no colour, NO_COLOR is honoured by rich."""
    made = Console(file=stream, emoji=False)  # type: ignore[arg-type]
    if not made.is_terminal:
        made.width = PIPE_WIDTH
    return made


def plural(count: int) -> str:
    """The ending of a regular noun."""
    return "" if count == 1 else "s"
