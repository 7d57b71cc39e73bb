"""What a row of the catalogue is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

Make = Callable[[Path], object]
"""Makes files in a directory, which is the current one while the command line runs."""


@dataclass(frozen=True)
class Row:
    """A command line as it is typed after `optbench`, and what its message must contain.

    words: the key or file, what is required, what was found, what to do. files: made before, in this order.
    """

    command: str
    words: tuple[str, ...]
    files: tuple[Make, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    code: int = 2

    @property
    def title(self) -> str:
        """The command line, the files and the environment in one line."""
        made = ", ".join(getattr(make, "__name__", "file") for make in self.files)
        settings = " ".join(f"{key}={value}" for key, value in self.environment.items())
        return " ".join(part for part in (settings, self.command, f"[{made}]" if made else "") if part)


def row(
    command: str,
    *words: str,
    files: tuple[Make, ...] = (),
    environment: Mapping[str, str] | None = None,
    code: int = 2,
) -> Row:
    """A row in the order in which it is read."""
    return Row(command, words, files, environment or {}, code)
