"""Tables over the points of an aggregate, for a terminal and as Markdown: rendering only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from optbench.records.aggregate import Aggregate, Group, Point, PointStatus
from optbench.records.values import replace
from optbench.reports.console import say
from optbench.reports.escape import markdown, one_line
from optbench.reports.point_cells import (
    SHAPE_AXES,
    agreement_cell,
    capacity_cell,
    decision_cell,
    grade_cell,
    integer_cell,
    latency_cell,
    map_cell,
    memory_cell,
    metric_cell,
    shape_cell,
    size_cell,
    speedup_cell,
    throughput_cell,
    variant_name,
)
from optbench.reports.text_tables import markdown_table, rich_table, wide_enough
from optbench.units import MISSING_TEXT

ABOUT_VARIANTS = {
    "artifact",
    "backend",
    "baseline",
    "dataset",
    "graph",
    "model",
    "quant",
    "quantization",
    "recipe",
    "task",
}
"""Groups and keys that make a point another variant, however many points are given them."""
MOST_ROWS = 200
MOST_REASONS = 20
STATUS_ORDER: tuple[PointStatus, ...] = ("ok", "running", "failed", "skipped", "missing", "unreadable")


@dataclass(frozen=True)
class Sheet:
    """A table: its title, head and rows; the first `texts` columns are words."""

    title: str
    head: list[str]
    rows: list[list[str]]
    texts: int


def without_common(aggregate: Aggregate) -> Aggregate:
    """The aggregate without settings that take one value and make no variant, such as measure=quick."""
    kept = {
        key: values
        for key, values in aggregate.axes.items()
        if len(values) > 1 or key.partition(".")[0] in ABOUT_VARIANTS
    }
    if len(kept) == len(aggregate.axes):
        return aggregate
    points = [
        replace(point, axes={key: value for key, value in point.axes.items() if key in kept})
        for point in aggregate.points
    ]
    return replace(aggregate, axes=kept, points=points)


def sheet(points: Sequence[Point], title: str = "") -> Sheet:
    """One row for each point; a column that would be empty or equal everywhere is left out."""
    parts: list[tuple[str, Callable[[Point], str]]] = [
        ("point", lambda point: point.name),
        ("variant", variant_name),
    ]
    for key, name in SHAPE_AXES.items():
        cell = shape_cell(key)
        if len({cell(point) for point in points}) > 1:
            parts.append((name, cell))
    parts.append(("speed-up", speedup_cell))
    optional: list[tuple[str, Callable[[Point], str], bool]] = [
        ("samples", throughput_cell, any(point.scenario == "throughput" for point in points)),
        ("capacity", capacity_cell, True),
        ("p50 / p95", latency_cell, True),
        ("weights", size_cell, True),
        ("peak memory", memory_cell, True),
        (metric_heading(points), metric_cell, True),
        ("same", agreement_cell, True),
        ("in integers (one look's time)", integer_cell, True),
        ("grade", grade_cell, True),
        ("verdict", decision_cell, any(p.decision not in (None, "NOT ASKED") for p in points)),
    ]
    parts += [
        (name, cell)
        for name, cell, wanted in optional
        if wanted and any(cell(point) != MISSING_TEXT for point in points)
    ]
    rows = [[cell(point) for _, cell in parts] for point in points[:MOST_ROWS]]
    title = "; ".join(part for part in (title, in_common(points)) if part)
    return Sheet(title, [name for name, _ in parts], rows, 2)


def in_common(points: Sequence[Point]) -> str:
    """What all rows with a result share: the baseline, the shape, the threads."""
    known = [point for point in points if point.baseline is not None]
    labels = {point.baseline.label for point in known if point.baseline is not None}
    threads = {p.baseline.threads for p in known if p.baseline is not None and p.status == "ok"}
    told = [
        *(f"against {one_line(label)}" for label in only(labels)),
        *(f"batch {size}" for size in only({point.batch_size for point in known})),
        *(f"{length} tokens" for length in only({point.input_length for point in known})),
        *(f"{count} thread{'' if count == 1 else 's'}" for count in only(threads)),
    ]
    return ", ".join(told)


def only(values: set[Any]) -> list[Any]:
    """The one value of a set, if there is just one and it is known."""
    return list(values) if len(values) == 1 and None not in values else []


def metric_heading(points: Sequence[Point]) -> str:
    """The name of the leading metric, where it is the same everywhere."""
    names = {point.leading_metric.name for point in points if point.leading_metric is not None}
    return one_line(names.pop(), 24) if len(names) == 1 else "leading metric"


def maps(points: Sequence[Point]) -> list[Sheet]:
    """For each variant that was run at several batch sizes and lengths: speed-ups as a map."""
    by_variant: dict[str, list[Point]] = {}
    for point in points:
        if point.batch_size is not None and point.input_length is not None:
            by_variant.setdefault(variant_name(point), []).append(point)
    found = []
    for name, own in by_variant.items():
        batches = sorted({point.batch_size for point in own if point.batch_size is not None})
        lengths = sorted({point.input_length for point in own if point.input_length is not None})
        if len(batches) > 1 and len(lengths) > 1:
            cells = {(point.batch_size, point.input_length): map_cell(point) for point in own}
            rows = [
                [f"batch {batch}", *(cells.get((batch, length), MISSING_TEXT) for length in lengths)]
                for batch in batches
            ]
            title = f"speed-up of {name} by batch size and length"
            found.append(Sheet(title, ["", *(f"{length} tokens" for length in lengths)], rows, 1))
    return found


def group_title(group: Group, aggregate: Aggregate) -> str:
    """A group by the facts that set it apart."""
    told = ", ".join(f"{key} {group.facts.get(key) or 'absent'}" for key in aggregate.differing)
    return f"group {group.number}: {told}"


def sheets(aggregate: Aggregate) -> list[Sheet]:
    """A table for each group, those without a group last, each followed by its maps."""
    groups: dict[int | None, list[Point]] = {}
    for point in aggregate.points:
        groups.setdefault(point.group, []).append(point)
    if len(aggregate.groups) < 2:
        groups = {None: list(aggregate.points)}
    found = []
    for number, points in groups.items():
        title = ""
        if len(groups) > 1:
            known = next((group for group in aggregate.groups if group.number == number), None)
            title = group_title(known, aggregate) if known is not None else "in no group"
        found += [sheet(points, title), *maps(points)]
    return found


def heading(aggregate: Aggregate) -> str:
    """How many points there are, by what became of them."""
    total = len(aggregate.points)
    counts = [f"{aggregate.counts[s]:,} {s}" for s in STATUS_ORDER if aggregate.counts.get(s)]
    return f"{total:,} point{'' if total == 1 else 's'}: {', '.join(counts)}"


def warnings(aggregate: Aggregate) -> list[str]:
    """What stands in the way of reading the rows against each other."""
    lines = []
    if len(aggregate.groups) > 1:
        lines.append(
            f"{len(aggregate.groups)} groups that must not be compared with each other: they differ in "
            f"{', '.join(aggregate.differing)}"
        )
    if len(aggregate.points) > MOST_ROWS:
        lines.append(f"tables show up to {MOST_ROWS} rows; all stand in results.csv")
    return [one_line(line) for line in [*lines, *aggregate.notes]]


def reasons(aggregate: Aggregate) -> list[str]:
    """Why points have no answer, equal reasons together."""
    by_reason: dict[tuple[str, str], list[Point]] = {}
    for point in aggregate.points:
        if point.status != "ok":
            by_reason.setdefault((point.status, point.reason or "no reason is known"), []).append(point)
    lines = []
    for (status, reason), points in by_reason.items():
        names = ", ".join(reason_name(point) for point in points[:8])
        more = f" and {len(points) - 8} more" if len(points) > 8 else ""
        log = next((point.log for point in points if point.log and status != "skipped"), None)
        tail = f" (log: {log})" if log else ""
        lines.append(one_line(f"{status}: {names}{more}: {reason}{tail}"))
    if len(lines) > MOST_REASONS:
        lines = [*lines[:MOST_REASONS], f"and {len(lines) - MOST_REASONS} other reasons, in results.csv"]
    return lines


def reason_name(point: Point) -> str:
    """A point without answer, by its place; one without a result also by what sets it apart."""
    axes = " ".join(f"{key}={value}" for key, value in point.axes.items())
    is_told = point.config_hash is not None or not axes or "=" in point.name.rpartition("/")[2]
    return point.name if is_told else f"{point.name} ({axes})"


def show(aggregate: Aggregate, out: Console) -> None:
    """Tables on a console; in a pipe they are as wide as they need to be."""
    aggregate = without_common(aggregate)
    say(out, heading(aggregate), "bold")
    for line in warnings(aggregate):
        say(out, line, "bold")
    for item in sheets(aggregate):
        if item.title:
            say(out, item.title, "dim")
        table = rich_table(item.head, item.rows, item.texts)
        wide_enough(out, table)
        out.print(table)
    for line in reasons(aggregate):
        say(out, line)


def to_markdown(aggregate: Aggregate) -> str:
    """The same as Markdown, fit for a CI step's summary."""
    aggregate = without_common(aggregate)
    parts = [f"### optbench: {markdown(heading(aggregate))}"]
    parts += [f"> {markdown(line)}" for line in warnings(aggregate)]
    for item in sheets(aggregate):
        if item.title:
            parts.append(f"**{markdown(item.title)}**")
        parts.append(markdown_table(item.head, item.rows, item.texts))
    if lines := reasons(aggregate):
        parts.append("\n".join(f"- {markdown(line)}" for line in lines))
    return "\n\n".join(parts) + "\n"


def written_line(files: Sequence[Path]) -> str:
    """Where the files lie."""
    return f"Written: {files[0].parent}/ {', '.join(file.name for file in files)}"
