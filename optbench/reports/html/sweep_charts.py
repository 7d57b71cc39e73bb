"""Charts of many points: maps over batch size and length, speed-ups of variants."""

from __future__ import annotations

import math
from collections.abc import Sequence

from optbench.records import Estimate
from optbench.records.aggregate import Point
from optbench.reports.html.intervals import Line, Row, interval_chart
from optbench.reports.html.parts import Cell, Chart, Table, between, number, visible
from optbench.reports.html.svg import Drawing
from optbench.reports.point_cells import variant_name
from optbench.units import format_ratio, three_digits

MOST_ROWS = 80
"""A longer forest is no picture; all points stand in the table."""
CELL_WIDTH, CELL_HEIGHT, HEAD = 104.0, 54.0, 84.0
STEPS = 4
OCTAVES_A_STEP = 0.35


def shape_name(point: Point, told: bool) -> str:
    """A point's variant, with its shape where shapes differ."""
    name = variant_name(point)
    return f"{name}, {point.batch_size} x {point.input_length}" if told else name


def kind_of(estimate: Estimate | None) -> str:
    """Whether a speed-up is beyond doubt: faster, slower, or unsure."""
    interval = None if estimate is None else estimate.interval
    if interval is None:
        return "unsure"
    return "faster" if interval.low > 1 else "slower" if interval.high < 1 else "unsure"


def speed_forest(points: Sequence[Point], name: str, title: str) -> Chart | None:
    """Speed-ups with their intervals, the fastest first."""
    known = [point for point in points if point.status == "ok" and point.speedup is not None]
    if not known:
        return None
    known.sort(key=lambda point: -point.speedup.value if point.speedup else 0.0)
    shapes = len({(point.batch_size, point.input_length) for point in known}) > 1
    rows = [
        Row(shape_name(point, shapes), point.speedup, kind_of(point.speedup))
        for point in known[:MOST_ROWS]
        if point.speedup is not None
    ]
    first = known[0]
    description = (
        f"{len(rows)} speed-ups on a logarithmic axis, fastest first: {shape_name(first, shapes)} with "
        f"{format_ratio(first.speedup.value if first.speedup else None)}. The line marks no difference."
    )
    if len(known) > MOST_ROWS:
        description += f" The other {len(known) - MOST_ROWS} stand in the table of all points."
    lines = [Line(1.0, "as fast", "even")]
    return interval_chart(name, title, description, rows, format_ratio, "speed-up", lines, log=True)


def maps(points: Sequence[Point], prefix: str) -> list[Chart]:
    """A map for each variant that was run at several batch sizes and lengths."""
    by_variant: dict[str, dict[tuple[int, int], Point]] = {}
    for point in points:
        if point.batch_size is not None and point.input_length is not None:
            own = by_variant.setdefault(variant_name(point), {})
            own[point.batch_size, point.input_length] = point
    found: list[Chart] = []
    for variant, cells in by_variant.items():
        batches, lengths = (sorted({place[axis] for place in cells}) for axis in (0, 1))
        if len(batches) > 1 and len(lengths) > 1:
            found.append(speed_map(cells, batches, lengths, variant, f"{prefix}map-{len(found)}"))
    return found


def speed_map(
    cells: dict[tuple[int, int], Point],
    batches: Sequence[int],
    lengths: Sequence[int],
    variant: str,
    name: str,
) -> Chart:
    """Speed-ups by batch size (down) and length (across), with the line where both are equally fast."""
    title = f"Speed-up of {variant} by batch size and length"
    values = [p.speedup.value for p in cells.values() if p.speedup is not None and p.status == "ok"]
    span = f"from {format_ratio(min(values))} to {format_ratio(max(values))}" if values else "none known"
    description = (
        f"{len(batches)} batch sizes and {len(lengths)} lengths; speed-ups {span}. The thick line separates "
        "faster from slower; hatched cells have an interval that holds 1, or none."
    )
    width, height = HEAD + CELL_WIDTH * len(lengths) + 8, 44 + CELL_HEIGHT * len(batches) + 8
    drawing = Drawing(name, width, height, title, description)
    pattern = f"{name}-hatch"
    hatching(drawing, pattern)
    for column, length in enumerate(lengths):
        drawing.text(HEAD + CELL_WIDTH * (column + 0.5), 34, f"{length} tokens", "tick", "middle")
    for row, batch in enumerate(batches):
        drawing.text(HEAD - 8, 44 + CELL_HEIGHT * (row + 0.5) + 4, f"batch {batch}", "tick", "end")
        for column, length in enumerate(lengths):
            draw_cell(
                drawing,
                HEAD + CELL_WIDTH * column,
                44 + CELL_HEIGHT * row,
                cells.get((batch, length)),
                pattern,
            )
    for x1, y1, x2, y2 in break_even(cells, batches, lengths):
        drawing.line(
            HEAD + CELL_WIDTH * x1,
            44 + CELL_HEIGHT * y1,
            HEAD + CELL_WIDTH * x2,
            44 + CELL_HEIGHT * y2,
            "breakeven",
        )
    rows = [
        [Cell(f"batch {batch}"), *(map_cell(cells.get((batch, length))) for length in lengths)]
        for batch in batches
    ]
    table = Table(title, ["", *(f"{length} tokens" for length in lengths)], rows)
    return Chart(name, title, description, drawing.root, table, wide=len(lengths) > 4)


def hatching(drawing: Drawing, name: str) -> None:
    """A pattern for cells that show no difference."""
    pattern = drawing.element(
        "pattern",
        id=name,
        width="7",
        height="7",
        patternUnits="userSpaceOnUse",
        patternTransform="rotate(45)",
    )
    drawing.root.remove(pattern)
    definitions = drawing.element("defs")
    definitions.append(pattern)
    line = drawing.element("line", x1="0", y1="0", x2="0", y2="7", kind="hatch")
    drawing.root.remove(line)
    pattern.append(line)


def draw_cell(drawing: Drawing, x: float, y: float, point: Point | None, pattern: str) -> None:
    """One point: its speed-up and interval on a colour, or what became of it."""
    middle = x + CELL_WIDTH / 2
    if point is None or point.speedup is None or point.status != "ok":
        drawing.rect(x + 1, y + 1, CELL_WIDTH - 2, CELL_HEIGHT - 2, "cell none", rx=4)
        drawing.text(middle, y + 31, "not run" if point is None else point.status, "tick", "middle")
        return
    estimate = point.speedup
    tip = f"batch {point.batch_size}, {point.input_length} tokens: {format_ratio(estimate.value)}, "
    tip += between(estimate, format_ratio)
    more = {"data_tip": visible(tip), "data_value": repr(estimate.value), "rx": 4}
    drawing.rect(
        x + 1, y + 1, CELL_WIDTH - 2, CELL_HEIGHT - 2, f"mark cell {step_of(estimate.value)}", **more
    )
    if kind_of(estimate) == "unsure":
        drawing.rect(x + 1, y + 1, CELL_WIDTH - 2, CELL_HEIGHT - 2, "", fill=f"url(#{pattern})", rx=4)
    drawing.text(middle, y + 25, format_ratio(estimate.value), "cellvalue", "middle")
    drawing.text(middle, y + 43, ends(estimate), "cellends", "middle")


def ends(estimate: Estimate) -> str:
    """The interval in few characters."""
    if estimate.interval is None:
        return "no interval"
    return f"{three_digits(estimate.interval.low)} to {three_digits(estimate.interval.high)}"


def step_of(value: float) -> str:
    """The colour of a speed-up: steps of equal ratios to both sides of 1."""
    steps = math.log2(value) / OCTAVES_A_STEP if value > 0 else -STEPS
    size = min(STEPS, math.ceil(abs(steps)))
    return f"{'up' if steps >= 0 else 'down'}{size}"


def break_even(
    cells: dict[tuple[int, int], Point], batches: Sequence[int], lengths: Sequence[int]
) -> list[tuple[int, int, int, int]]:
    """Edges (x1, y1, x2, y2), in cells, between neighbours of which one is faster and the other is not."""

    def faster(row: int, column: int) -> bool | None:
        point = cells.get((batches[row], lengths[column]))
        return None if point is None or point.speedup is None else point.speedup.value >= 1

    found = []
    for row in range(len(batches)):
        for column in range(len(lengths)):
            own = faster(row, column)
            if column + 1 < len(lengths) and {own, faster(row, column + 1)} == {True, False}:
                found.append((column + 1, row, column + 1, row + 1))
            if row + 1 < len(batches) and {own, faster(row + 1, column)} == {True, False}:
                found.append((column, row + 1, column + 1, row + 1))
    return found


def map_cell(point: Point | None) -> Cell:
    """A cell of the map's table."""
    if point is None or point.speedup is None or point.status != "ok":
        return Cell("not run" if point is None else point.status)
    return number(
        point.speedup.value,
        lambda value: f"{format_ratio(value)} ({ends(point.speedup)})" if point.speedup is not None else "",
    )
