"""Text from anywhere made fit for a line, a table cell or Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

ELLIPSIS = "…"
MARKDOWN_SPECIAL = str.maketrans({character: f"\\{character}" for character in "\\`*_[]|~#$"})
HTML_SPECIAL = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def one_line(text: str, longest: int | None = None) -> str:
    """The text on one line without control characters, cut to `longest` characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if longest is not None and len(line) > longest:
        return line[: longest - 1] + ELLIPSIS
    return line


def markdown(text: str) -> str:
    """The text as Markdown that shows just it: no markup, no HTML, no new cell."""
    line = one_line(text)
    for character, entity in HTML_SPECIAL.items():
        line = line.replace(character, entity)
    return line.translate(MARKDOWN_SPECIAL)


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]], texts: int) -> str:
    """A Markdown table whose first `texts` columns are aligned to the left, the others to the right."""
    marks = ["---" if index < texts else "---:" for index in range(len(head))]
    lines = [[markdown(cell) for cell in head], marks, *([markdown(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def rich_table(head: Sequence[str], rows: Sequence[Sequence[str]], texts: int) -> Table:
    """The same on a terminal; cells are text, never markup."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, name in enumerate(head):
        table.add_column(Text(name), justify="left" if index < texts else "right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(one_line(cell)) for cell in row))
    return table
