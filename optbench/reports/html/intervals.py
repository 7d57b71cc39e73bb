"""A row for each estimate with its interval: speed-ups of variants, differences of metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from optbench.records import Estimate
from optbench.reports.html.parts import Chart, Table, estimate_cells, visible, words
from optbench.reports.html.scales import Scale, scale
from optbench.reports.html.svg import Drawing, horizontal_axis

WIDTH, LEFT, RIGHT = 720.0, 224.0, 532.0
ROW = 28.0
LONGEST_LABEL = 34


@dataclass(frozen=True)
class Row:
    """One estimate. kind: a CSS class that says what it means."""

    label: str
    estimate: Estimate
    kind: str = ""


@dataclass(frozen=True)
class Line:
    """A value that decides: its name and CSS class."""

    value: float
    name: str
    kind: str


def interval_chart(
    name: str,
    title: str,
    description: str,
    rows: Sequence[Row],
    form: Callable[[float], str],
    axis: str,
    lines: Sequence[Line],
    log: bool = False,
) -> Chart:
    """The chart; values that decide are lines through all rows."""
    top, bottom = 30.0, 38.0 + ROW * len(rows)
    drawing = Drawing(name, WIDTH, bottom + 46, title, description)
    across = fitting(rows, lines, log)
    horizontal_axis(drawing, across, top, bottom, [(v, form(v)) for v in across.ticks(6)], axis)
    for number, line in enumerate(lines):
        place = across(line.value)
        drawing.line(place, top - 4, place, bottom, f"decides {line.kind}")
        near = number and abs(place - across(lines[number - 1].value)) < 90
        drawing.text(place, top - (18 if near else 8), line.name, "tick", "middle")
    for number, row in enumerate(rows):
        draw_row(drawing, across, top + 8 + ROW * (number + 0.5), row, form)
    head = ["", axis, "from", "to"]
    cells = [[words(row.label), *estimate_cells(row.estimate, form)] for row in rows]
    return Chart(name, title, description, drawing.root, Table(title, head, cells), wide=True)


def fitting(rows: Sequence[Row], lines: Sequence[Line], log: bool) -> Scale:
    """A scale for all rows and lines."""
    values = [line.value for line in lines]
    for row in rows:
        values.append(row.estimate.value)
        if row.estimate.interval is not None:
            values += [row.estimate.interval.low, row.estimate.interval.high]
    return scale(values, LEFT, RIGHT, log=log)


def bare(text: str) -> str:
    """A number without its unit, which stands before it already."""
    return text.removesuffix("x").removesuffix(" pt")


def draw_row(drawing: Drawing, across: Scale, middle: float, row: Row, form: Callable[[float], str]) -> None:
    """Label, whisker, dot, and the numbers in words."""
    estimate, interval = row.estimate, row.estimate.interval
    drawing.text(4, middle + 4, visible(row.label, LONGEST_LABEL), "label")
    told = form(estimate.value)
    if interval is not None:
        low, high = across(interval.low), across(interval.high)
        drawing.line(low, middle, high, middle, f"whisker {row.kind}")
        for end in (low, high):
            drawing.line(end, middle - 5, end, middle + 5, f"whisker {row.kind}")
        low_told, high_told = (bare(form(end)) for end in (interval.low, interval.high))
        told += f" ({low_told} to {high_told})"
    place = across(estimate.value)
    drawing.mark(place, middle, 5.0, f"estimate {row.kind}", f"{row.label}: {told}", estimate.value)
    drawing.text(RIGHT + 12, middle + 4, told, "value")
