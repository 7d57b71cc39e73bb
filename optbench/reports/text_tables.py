"""Tables of text from anywhere, as Markdown and for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from optbench.reports.escape import markdown, one_line

WIDEST = 400
"""Columns of a table in a pipe, at most."""


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


def wide_enough(out: Console, table: Table) -> None:
    """Make a pipe as wide as a table needs."""
    if not out.is_terminal:
        natural = Measurement.get(out, out.options.update(max_width=WIDEST), table)
        out.width = max(out.width, natural.maximum)
