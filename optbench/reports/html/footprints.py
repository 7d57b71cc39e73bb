"""Bars of size and memory of many variants, with what they are held against."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from optbench.records.aggregate import Point, Side
from optbench.reports.html.parts import Chart, Table, number, visible, words
from optbench.reports.html.svg import Drawing
from optbench.reports.point_cells import variant_name
from optbench.units import format_bytes

WIDTH, LEFT, RIGHT, ROW = 720.0, 236.0, 610.0, 24.0
MOST_BARS = 40
QUANTITIES: list[tuple[str, str, Callable[[Side], int | None]]] = [
    ("weights", "Size of the weights", lambda side: side.size_bytes),
    ("memory", "Peak memory", lambda side: side.peak_memory_bytes),
]


def footprints(points: Sequence[Point], prefix: str) -> list[Chart]:
    """A chart for each quantity that is known of at least two variants; each variant once."""
    sides: dict[tuple[str, str], Side] = {}
    for point in points:
        if point.baseline is not None:
            sides.setdefault(("baseline", point.baseline.label), point.baseline)
        if point.candidate is not None and point.status == "ok":
            sides.setdefault(("candidate", variant_name(point)), point.candidate)
    charts = []
    for key, title, value_of in QUANTITIES:
        found = [(kind, name, value) for (kind, name), side in sides.items() if (value := value_of(side))]
        if len(found) > 1:
            found.sort(key=lambda one: (one[0] != "baseline", one[2]))
            charts.append(bars(f"{prefix}-{key}", title, found[:MOST_BARS]))
    return charts


def bars(name: str, title: str, found: Sequence[tuple[str, str, int]]) -> Chart:
    """A bar for each variant; the baseline first, then the smallest."""
    told = "; ".join(f"{label} {format_bytes(value)}" for _, label, value in found[:8])
    drawing = Drawing(name, WIDTH, ROW * len(found) + 12, title, f"{told}.")
    largest = max(value for _, _, value in found)
    for number_, (kind, label, value) in enumerate(found):
        y = 4 + ROW * number_
        length = (RIGHT - LEFT) * value / largest
        drawing.text(4, y + 15, visible(label, 34), "label")
        more = {
            "data_tip": visible(f"{label}: {format_bytes(value)}"),
            "data_value": repr(float(value)),
            "rx": 2,
        }
        drawing.rect(LEFT, y + 2, max(1.0, length), ROW - 7, f"mark bar {kind}", **more)
        drawing.text(LEFT + length + 8, y + 15, format_bytes(value), "value")
    rows = [[words(label), number(float(value), format_bytes)] for _, label, value in found]
    legend = [("baseline", "baseline bar"), ("candidate", "candidate bar")]
    table = Table(title, ["", title.lower()], rows)
    return Chart(name, title, f"{told}.", drawing.root, table, legend, wide=True)
