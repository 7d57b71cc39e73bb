"""Speed against quality: every variant, the margin, and those that no other beats in both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from optbench.records import Estimate, Interval
from optbench.records.aggregate import Point
from optbench.reports.html.parts import Cell, Chart, Table, between, number, visible, words
from optbench.reports.html.scales import Scale, scale
from optbench.reports.html.svg import Drawing, horizontal_axis, vertical_axis
from optbench.reports.html.sweep_charts import shape_name
from optbench.reports.point_cells import variant_name
from optbench.units import format_points, format_ratio

LEFT, RIGHT, TOP, BOTTOM = 66.0, 700.0, 36.0, 338.0
MOST_LABELS = 8
TITLE = "Speed against quality"


@dataclass(frozen=True)
class Place:
    """A point with both coordinates. change: of its leading metric, signed so that more is better."""

    name: str
    speed: Estimate
    change: Estimate
    margin: float | None
    metric: str


def quality_change(point: Point) -> Estimate | None:
    """What the leading metric gained, signed so that more is better; null unless it is a share."""
    metric = point.leading_metric
    if metric is None or metric.difference is None or not metric.is_share:
        return None
    found = metric.difference
    if metric.higher_is_better:
        return found
    interval = found.interval
    turned = None if interval is None else Interval(-interval.high, -interval.low, interval.level)
    return Estimate(-found.value, turned, found.reason)


def places_of(points: Sequence[Point]) -> list[Place]:
    """The points that have both coordinates."""
    shapes = len({(point.batch_size, point.input_length) for point in points}) > 1
    found = []
    for point in points:
        metric, change = point.leading_metric, quality_change(point)
        if point.status == "ok" and point.speedup is not None and change is not None and metric is not None:
            margin = None if metric.non_inferiority is None else metric.non_inferiority.margin
            found.append(Place(shape_name(point, shapes), point.speedup, change, margin, metric.name))
    return found


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of points that no other beats in both coordinates at once, by the first one ascending."""
    best = -math.inf
    kept = []
    for index in sorted(range(len(points)), key=lambda at: (-points[at][0], -points[at][1])):
        if points[index][1] > best:
            kept.append(index)
            best = points[index][1]
    return kept[::-1]


def pareto(points: Sequence[Point], name: str) -> Chart | None:
    """Speed-up (across) against the change of the leading metric (up); null for a single variant."""
    places = places_of(points)
    if len(places) < 2 or len({variant_name(point) for point in points if point.status == "ok"}) < 2:
        return None
    margins = sorted({place.margin for place in places if place.margin is not None})
    best = front([(place.speed.value, place.change.value) for place in places])
    description = (
        f"{len(places)} points; up and to the right is better. Beaten by no other in both: "
        f"{', '.join(places[index].name for index in best[:6])}. "
        + (
            f"The dashed line marks a loss of {format_points(margins[0]).lstrip('+')}."
            if margins
            else "No margin was set (quality.margin)."
        )
    )
    drawing = Drawing(name, 720.0, 392.0, TITLE, description)
    across, up = axes(drawing, places, margins)
    draw_front(drawing, across, up, [places[index] for index in best])
    for index, place in enumerate(places):
        draw_place(drawing, across, up, place, index in best)
    if len(best) <= MOST_LABELS:
        for index in best:
            draw_label(drawing, across, up, places[index])
    head = ["variant", "on the front", "speed-up", "change of the metric"]
    rows = [
        [
            words(place.name),
            Cell("yes" if index in best else ""),
            number(place.speed.value, format_ratio),
            number(place.change.value, format_points),
        ]
        for index, place in enumerate(places)
    ]
    table = Table(TITLE, head, rows, texts=2)
    return Chart(name, TITLE, description, drawing.root, table, wide=True)


def axes(drawing: Drawing, places: Sequence[Place], margins: Sequence[float]) -> tuple[Scale, Scale]:
    """Both axes with no difference and the margins marked."""
    across = scale([1.0, *(v for p in places for v in spread(p.speed))], LEFT, RIGHT, log=True)
    up = scale([0.0, *(-m for m in margins), *(v for p in places for v in spread(p.change))], BOTTOM, TOP)
    names = {place.metric for place in places}
    metric = visible(names.pop(), 30) if len(names) == 1 else "the leading metric"
    heading = f"change of {metric}, in points (up is better)"
    horizontal_axis(drawing, across, TOP, BOTTOM, [(v, format_ratio(v)) for v in across.ticks(7)], "speed-up")
    ticks = [(value, format_points(value).removesuffix(" pt")) for value in up.ticks(6)]
    vertical_axis(drawing, up, LEFT, RIGHT, ticks, heading)
    drawing.line(across(1.0), TOP, across(1.0), BOTTOM, "decides even")
    drawing.line(LEFT, up(0.0), RIGHT, up(0.0), "decides even")
    for margin in margins:
        drawing.line(LEFT, up(-margin), RIGHT, up(-margin), "decides margin")
        drawing.text(RIGHT, up(-margin) - 5, f"margin {format_points(-margin)}", "tick", "end")
    return across, up


def draw_front(drawing: Drawing, across: Scale, up: Scale, best: Sequence[Place]) -> None:
    """The border of what is reached: down to the next point's quality, then on to its speed."""
    steps: list[tuple[float, float]] = []
    for place in best:
        x, y = across(place.speed.value), up(place.change.value)
        if steps:
            steps.append((steps[-1][0], y))
        steps.append((x, y))
    drawing.path(steps, "front")


def draw_place(drawing: Drawing, across: Scale, up: Scale, place: Place, on_front: bool) -> None:
    """A dot with the intervals of both coordinates."""
    x, y = across(place.speed.value), up(place.change.value)
    if place.speed.interval is not None:
        low, high = place.speed.interval.low, place.speed.interval.high
        drawing.line(across(low), y, across(high), y, "whisker faint")
    if place.change.interval is not None:
        low, high = place.change.interval.low, place.change.interval.high
        drawing.line(x, up(low), x, up(high), "whisker faint")
    change = f"{format_points(place.change.value)} ({between(place.change, format_points)})"
    tip = f"{place.name}: {format_ratio(place.speed.value)}, {change}"
    kind = "estimate front" if on_front else "estimate"
    drawing.mark(x, y, 5.5, kind, tip, place.speed.value)


def draw_label(drawing: Drawing, across: Scale, up: Scale, place: Place) -> None:
    """The name of a point, towards the middle of the paper."""
    x, y = across(place.speed.value), up(place.change.value)
    anchor, shift = ("end", -9) if x > (LEFT + RIGHT) / 2 else ("start", 9)
    drawing.text(x + shift, y - 9, visible(place.name, 40), "label small", anchor)


def spread(estimate: Estimate) -> list[float]:
    """The value and the ends of its interval."""
    ends = [] if estimate.interval is None else [estimate.interval.low, estimate.interval.high]
    return [estimate.value, *ends]
