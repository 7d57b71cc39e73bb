"""The page of a sweep, or of any runs side by side, from their aggregate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optbench.records import TuneResult
from optbench.records.aggregate import Aggregate, Group, Point, Side
from optbench.reports.html import run_tables, sweep_charts, tradeoff
from optbench.reports.html.banner import DECISIONS, GRADES, NOTHING_ASKED, Badge, Tile
from optbench.reports.html.footprints import footprints
from optbench.reports.html.pages import Section, render
from optbench.reports.html.parts import Cell, Table, between, estimate_cells, number, visible, words
from optbench.reports.point_cells import variant_name
from optbench.reports.points import group_title, heading, reasons, warnings
from optbench.units import (
    format_bytes,
    format_difference,
    format_ratio,
    format_seconds,
    format_share,
)

GRADE_ORDER = ("poor", "quick look", "usable", "good")
DECISION_ORDER = ("SHIP", "INCONCLUSIVE", "DO NOT SHIP")
STATUS_KINDS = {
    "ok": "good",
    "running": "unsure",
    "failed": "bad",
    "skipped": "unsure",
    "missing": "bad",
    "unreadable": "bad",
}


@dataclass(frozen=True)
class SweepReport:
    """What a page of many points is made from.

    links: from a point's directory to its own page, relative to this one. environment: of the first run
    that tells it. command: that made the sweep. search: where the sweep was one.
    """

    aggregate: Aggregate
    links: Mapping[str, str]
    environment: Mapping[str, Any]
    command: str
    name: str
    search: TuneResult | None = None


def sections(report: SweepReport) -> list[Section]:
    """All parts below the head, in their order."""
    found = report.aggregate
    return [
        *(part for title, points, prefix in grouped(found) for part in group_sections(title, points, prefix)),
        Section("points", "All points", tables=[points_table(found, report.links)], notes=reasons(found)),
        Section("environment", "Environment", tables=machine_tables(report)),
        Section(
            "reproduce",
            "How to measure it again",
            code=[("Command", report.command)] if report.command else [],
        ),
    ]


def grouped(found: Aggregate) -> list[tuple[str, list[Point], str]]:
    """Points that may be compared, with what sets them apart and a prefix for names."""
    if len(found.groups) < 2:
        return [("", list(found.points), "")]
    return [
        (
            group_title(group, found),
            [p for p in found.points if p.group == group.number],
            f"group{group.number}-",
        )
        for group in found.groups
    ]


def group_sections(title: str, points: Sequence[Point], prefix: str) -> list[Section]:
    """Maps, variants against each other, speed against quality."""
    told = visible(title, 200)
    maps = sweep_charts.maps(points, prefix)
    parts = [Section(f"{prefix}maps", "Speed-up by batch size and length", told, charts=maps)]
    variants = {variant_name(point) for point in points}
    if len(variants) > 1 or not maps:
        forest = sweep_charts.speed_forest(points, f"{prefix}speedups", "Speed-ups with their intervals")
        parts.append(Section(f"{prefix}variants", "Speed-ups", told, charts=[forest] if forest else []))
    pareto = tradeoff.pareto(points, f"{prefix}pareto")
    parts.append(
        Section(f"{prefix}tradeoff", "Speed against quality", told, charts=[pareto] if pareto else [])
    )
    size = footprints(points, f"{prefix}footprint")
    parts.append(Section(f"{prefix}size", "Size and memory", told, charts=size))
    return parts


def badges(found: Aggregate) -> list[Badge]:
    """The best decision with all counts, and the worst grade with all counts."""
    decisions = Counter(point.decision for point in found.points if point.decision not in (None, "NOT ASKED"))
    best = next((name for name in DECISION_ORDER if decisions[name]), None)  # type: ignore[index]
    if best is None:
        measured = sum(point.status == "ok" for point in found.points)
        word = "NOT ASKED" if measured else "FAILED"
        first = Badge(
            "verdict", word, *DECISIONS[word], NOTHING_ASKED if measured else "no point has an answer"
        )
    else:
        told = ", ".join(f"{count} {name}" for name, count in decisions.items())
        word = best if len(decisions) == 1 else f"{best}: {decisions[best]} of {len(found.points)}"  # type: ignore[index]
        first = Badge("verdict", word, *DECISIONS[best], told)
    grades = Counter(point.grade for point in found.points if point.grade is not None)
    worst = next((name for name in GRADE_ORDER if grades[name]), None)  # type: ignore[index]
    if worst is None:
        return [first, Badge("grade", "UNKNOWN", "plain", "–", "nothing was timed")]
    kind = GRADES[worst][0]
    sign = {"good": "✓", "bad": "✗"}.get(kind, "?")
    told = ", ".join(f"{count} {name}" for name, count in grades.items())
    return [first, Badge("lowest grade", worst.upper(), kind, sign, told)]


def fastest(found: Aggregate) -> Point | None:
    """The point with the largest speed-up, of those that ship where any does."""
    known = [point for point in found.points if point.status == "ok" and point.speedup is not None]
    shipping = [point for point in known if point.decision == "SHIP"]
    return max(shipping or known, key=lambda p: p.speedup.value if p.speedup else 0.0, default=None)


def sentence_of(report: SweepReport) -> str:
    """A search's own sentence; else the fastest point, said to be the best of many."""
    if report.search is not None:
        return visible(report.search.sentence)
    best = fastest(report.aggregate)
    if best is None or best.speedup is None:
        return f"No point has a speed-up: {heading(report.aggregate)}."
    count = sum(
        point.speedup is not None and (best.decision != "SHIP" or point.decision == "SHIP")
        for point in report.aggregate.points
    )
    shape = f" at batch {best.batch_size} x {best.input_length} tokens" if best.batch_size else ""
    text = (
        f"The fastest of {count}{' that ship' if best.decision == 'SHIP' else ''}: "
        f"{variant_name(best)}{shape}, "
        f"{format_ratio(best.speedup.value)} as fast ({between(best.speedup, format_ratio)})."
    )
    return text + (" The best of many looks better than it is." if count > 2 else "")


def points_table(found: Aggregate, links: Mapping[str, str]) -> Table:
    """A row for every point, failed and missing ones included."""
    columns = columns_of(found, links)
    kept = [
        (head, cell, is_text)
        for head, cell, is_text in columns
        if any(cell(point).text.strip("–") for point in found.points)
    ]
    kept.sort(key=lambda column: not column[2])
    rows = [[cell(point) for _, cell, _ in kept] for point in found.points]
    texts = sum(is_text for _, _, is_text in kept)
    return Table(heading(found), [head for head, _, _ in kept], rows, texts, tools=len(rows) > 1)


def columns_of(found: Aggregate, links: Mapping[str, str]) -> list[tuple[str, Callable[[Point], Cell], bool]]:
    """Head, cell, and whether it holds words."""
    metric = next((p.leading_metric.name for p in found.points if p.leading_metric is not None), "metric")

    def speed(index: int) -> Callable[[Point], Cell]:
        return lambda point: estimate_cells(point.speedup, format_ratio)[index]

    def change(index: int) -> Callable[[Point], Cell]:
        def cell(point: Point) -> Cell:
            own = point.leading_metric
            if own is None or own.difference is None:
                return Cell("")
            return estimate_cells(own.difference, lambda value: format_difference(value, own.is_share))[index]

        return cell

    return [
        ("point", lambda p: Cell(visible(p.name, 80), href=links.get(p.directory)), True),
        ("variant", lambda p: words(variant_name(p)), True),
        ("status", lambda p: Cell(p.status, kind=f"outcome {STATUS_KINDS[p.status]}"), True),
        ("group", lambda p: words("" if p.group is None or len(found.groups) < 2 else str(p.group)), True),
        ("verdict", verdict_cell, True),
        ("grade", lambda p: words(p.grade or "", GRADES[p.grade][0] if p.grade else ""), True),
        ("batch", lambda p: number(p.batch_size, str), False),
        ("length", lambda p: number(p.input_length, str), False),
        ("speed-up", speed(0), False),
        ("from", speed(1), False),
        ("to", speed(2), False),
        ("p50", lambda p: percentile(p.candidate, 0.5), False),
        ("p95", lambda p: percentile(p.candidate, 0.95), False),
        ("baseline p50", lambda p: percentile(p.baseline, 0.5), False),
        ("weights", lambda p: number(p.candidate.size_bytes if p.candidate else None, format_bytes), False),
        (
            "peak memory",
            lambda p: number(p.candidate.peak_memory_bytes if p.candidate else None, format_bytes),
            False,
        ),
        (
            visible(metric, 30),
            lambda p: number(p.leading_metric.candidate if p.leading_metric else None, lambda v: f"{v:.4f}"),
            False,
        ),
        ("change", change(0), False),
        ("from ", change(1), False),
        ("to ", change(2), False),
        ("same", lambda p: number(p.agreement.value if p.agreement else None, format_share), False),
    ]


def verdict_cell(point: Point) -> Cell:
    """The decision of a point; empty where none was asked for."""
    if point.decision in (None, "NOT ASKED"):
        return Cell("")
    kind, sign = DECISIONS[str(point.decision)]
    return Cell(f"{sign} {point.decision}", kind=f"outcome {kind}")


def percentile(side: Side | None, q: float) -> Cell:
    """One percentile of a side."""
    found = [] if side is None or side.latency is None else side.latency.percentiles
    return number(next((item.seconds for item in found if item.q == q), None), format_seconds)


def machine_tables(report: SweepReport) -> list[Table]:
    """The first run's machine, and what tells groups apart."""
    tables = []
    groups: list[Group] = report.aggregate.groups
    if len(groups) > 1:
        rows = [
            [words(key), *(words(group.facts.get(key) or "absent") for group in groups)]
            for key in report.aggregate.differing
        ]
        head = ["", *(f"group {group.number}" for group in groups)]
        tables.append(Table("What sets the groups apart", head, rows, texts=len(head)))
    if report.environment:
        tables.append(run_tables.environment_table(report.environment))
        if versions := run_tables.versions_table(report.environment):
            tables.append(versions)
    return tables


def tiles(found: Aggregate) -> list[Tile]:
    """Counts, and the fastest point."""
    measured = [point for point in found.points if point.status == "ok"]
    made = [Tile("points measured", number(len(measured), str), f"of {len(found.points):,}")]
    best = fastest(found)
    if best is not None and best.speedup is not None:
        made.append(
            Tile("fastest", number(best.speedup.value, format_ratio), between(best.speedup, format_ratio))
        )
        slowest = min((p.speedup for p in measured if p.speedup is not None), key=lambda one: one.value)
        made.append(Tile("slowest", number(slowest.value, format_ratio), between(slowest, format_ratio)))
    return made


def sweep_html(report: SweepReport, parts: list[Section]) -> str:
    """The page with these sections."""
    found = report.aggregate
    models = {point.model for point in found.points if point.model}
    model = next(iter(models)).rstrip("/").rpartition("/")[2] if len(models) == 1 else ""
    return render(
        heading(found),
        parts,
        about=visible(model, 120),
        name=visible(report.name, 200),
        when=visible(found.created_at, 40),
        badges=badges(found),
        sentence=sentence_of(report),
        gates=None,
        tiles=tiles(found),
        notes=[visible(line) for line in warnings(found) if "results.csv" not in line],
    )
