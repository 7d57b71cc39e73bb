"""Charts of one run: distributions of latency, the timing as it went, and bars of size and memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from optbench.records import RunResult
from optbench.reports.html.parts import Cell, Chart, Table, between, number, words
from optbench.reports.html.raw import Moment, Raw
from optbench.reports.html.scales import Scale, scale
from optbench.reports.html.svg import Drawing, horizontal_axis, vertical_axis
from optbench.units import format_bytes, format_ratio, format_seconds, format_share

WIDTH, LEFT, RIGHT = 520.0, 50.0, 500.0
SHOWN_SHARES = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)
VARIANTS = ("baseline", "candidate")


def distribution(raw: Raw) -> Chart | None:
    """The share of calls that took no longer than a time, for both variants."""
    if not raw.curves:
        return None
    top, bottom, height = 34.0, 262.0, 304.0
    title = "Latency: how many calls were done within a time"
    told = [
        f"half of the {name}'s {raw.counts[name]:,} calls took at most {format_seconds(at(curve, 0.5))}, "
        f"95% at most {format_seconds(at(curve, 0.95))}"
        for name, curve in raw.curves.items()
    ]
    description = f"Empirical distribution on a logarithmic time axis: {'; '.join(told)}."
    drawing = Drawing("latency", WIDTH, height, title, description)
    across = scale((value for curve in raw.curves.values() for _, value in curve), LEFT, RIGHT, log=True)
    up = Scale(0.0, 1.0, bottom, top)
    ticks = [(value, format_seconds(value)) for value in across.ticks(6)]
    horizontal_axis(drawing, across, top, bottom, ticks, "time of a call (logarithmic)")
    shares = [(share, format_share(share, 0)) for share in (0.0, 0.25, 0.5, 0.75, 0.95)]
    vertical_axis(drawing, up, LEFT, RIGHT, shares, "share of calls")
    for name, curve in raw.curves.items():
        steps: list[tuple[float, float]] = []
        for share, seconds in curve:
            if steps:
                steps.append((across(seconds), steps[-1][1]))
            steps.append((across(seconds), up(share)))
        drawing.path(steps, f"curve {kind_of(name)}")
        for share, seconds in curve:
            size = 4.0 if share in (0.5, 0.95) else 1.6
            tip = f"{name}: {format_share(share)} of the calls within {format_seconds(seconds)}"
            drawing.mark(across(seconds), up(share), size, kind_of(name), tip, seconds)
    rows = [
        [
            Cell(format_share(share, 0)),
            *(number(at(curve, share), format_seconds) for curve in raw.curves.values()),
        ]
        for share in SHOWN_SHARES
    ]
    table = Table("Time within which a share of the calls was done", ["share", *raw.curves], rows)
    return Chart(
        "latency", title, description, drawing.root, table, legend=[(n, kind_of(n)) for n in raw.curves]
    )


def at(curve: Sequence[tuple[float, float]], share: float) -> float:
    """Seconds at one of the drawn shares."""
    return next(seconds for own, seconds in curve if own >= share)


def kind_of(variant: str) -> str:
    """The CSS class of a variant."""
    return variant if variant in VARIANTS else "other"


def timeline(result: RunResult, raw: Raw) -> Chart | None:
    """The speed-up of every replicate in the order they were measured, with the mean and its interval."""
    comparison = result.comparison
    if comparison is None or not (comparison.replicate_log_ratios or raw.pairs):
        return None
    moments = replicates(comparison.replicate_log_ratios, raw.starts)
    by_time = bool(raw.starts) and len(raw.starts) == len(moments)
    speedup, interval = comparison.speedup, comparison.speedup.interval
    title = "The timing as it went: speed-up of every replicate"
    count = f"{len(moments)} replicate{'' if len(moments) == 1 else 's'}"
    description = (
        f"{count} in the order they were measured; mean {format_ratio(speedup.value)}, "
        f"{between(speedup, format_ratio)}. Small dots are single pairs of blocks. A slope would be drift, "
        "a cluster of outliers a disturbance."
    )
    drawing = Drawing("timeline", WIDTH, 348.0, title, description)
    pairs = raw.pairs if by_time else []
    inner = middle_part([pair.value for pair in pairs])
    ends = [] if interval is None else [interval.low, interval.high]
    up = scale([*(one.value for one in moments), speedup.value, *ends, *inner], 226.0, 34.0, log=True)
    last = max([one.seconds for one in (*moments, *pairs)], default=1.0)
    across = scale([0.0, last or 1.0], LEFT, RIGHT, margin=0.03)
    if interval is not None:
        high, low = up(interval.high), up(interval.low)
        drawing.rect(LEFT, high, RIGHT - LEFT, low - high, "band")
    vertical_axis(drawing, up, LEFT, RIGHT, [(v, format_ratio(v)) for v in up.ticks(5)], "speed-up")
    for pair in pairs:
        if up.holds(pair.value):
            tip = (
                f"replicate {pair.replicate}, one pair after {pair.seconds:.1f} s: {format_ratio(pair.value)}"
            )
            drawing.mark(across(pair.seconds), up(pair.value), 1.6, "pair", tip, pair.value)
    drawing.line(LEFT, up(speedup.value), RIGHT, up(speedup.value), "mean")
    drawing.path([(across(one.seconds), up(one.value)) for one in moments], "curve thin candidate")
    for one in moments:
        when = f" after {one.seconds:.1f} s" if by_time else ""
        tip = f"replicate {one.replicate}{when}: {format_ratio(one.value)}"
        drawing.mark(across(one.seconds), up(one.value), 4.5, "candidate", tip, one.value)
    ticks = [(value, f"{value:g}") for value in across.ticks(6) if value >= 0]
    axis = "seconds since the first block" if by_time else "number of the replicate"
    probe_strip(drawing, across, raw.probes if by_time else [])
    horizontal_axis(drawing, across, 226.0 if not (by_time and raw.probes) else 300.0, 308.0, ticks, axis)
    rows = [
        [
            Cell(str(one.replicate)),
            number(one.seconds, lambda v: f"{v:.1f} s") if by_time else Cell(""),
            number(one.value, format_ratio),
        ]
        for one in moments
    ]
    table = Table("Speed-up of each replicate", ["replicate", "began after", "speed-up"], rows)
    return Chart("timeline", title, description, drawing.root, table)


def replicates(log_ratios: Sequence[float], starts: dict[int, float]) -> list[Moment]:
    """Each replicate's speed-up and when it began; its number, where times are unknown."""
    numbers = sorted(starts) if len(starts) == len(log_ratios) else list(range(len(log_ratios)))
    return [
        Moment(index, starts.get(index, float(index)), math.exp(min(theta, 700.0)))
        for index, theta in zip(numbers, log_ratios, strict=True)
    ]


def middle_part(values: Sequence[float]) -> list[float]:
    """The ends of the middle 90%: single pairs beyond must not flatten the replicates."""
    ordered = sorted(values)
    return (
        [ordered[int(0.05 * (len(ordered) - 1))], ordered[int(0.95 * (len(ordered) - 1))]] if ordered else []
    )


def probe_strip(drawing: Drawing, across: Scale, probes: Sequence[Moment]) -> None:
    """Below the speed-ups: the fixed CPU loop before each pair, over its median."""
    if not probes:
        return
    top, bottom = 262.0, 304.0
    drawing.text(4, 250, "fixed CPU loop before each pair, over its median", "name")
    high = max(1.5, min(4.0, max(probe.value for probe in probes)))
    up = Scale(0.8, high, bottom, top)
    for value in (1.0, high):
        drawing.line(LEFT, up(value), RIGHT, up(value), "grid")
        drawing.text(LEFT - 7, up(value) + 4, format_ratio(value), "tick", "end")
    for probe in probes:
        tip = f"fixed loop after {probe.seconds:.1f} s: {format_ratio(probe.value)} of its median"
        kind = "probe slow" if probe.value > 1.1 else "probe"
        drawing.mark(across(probe.seconds), up(probe.value), 1.8, kind, tip, probe.value)


def footprint(result: RunResult) -> Chart | None:
    """Weights, memory and cold start of both, each against the larger of the two."""
    groups = footprint_groups(result)
    if not groups:
        return None
    title = "Size, memory and start"
    told = [f"{name} {form(values[0])} and {form(values[1])}" for name, values, form in groups]
    description = f"Baseline and candidate: {'; '.join(told)}. Each pair of bars has a scale of its own."
    drawing = Drawing("footprint", WIDTH, 66.0 * len(groups) + 8, title, description)
    rows = []
    for index, (name, values, form) in enumerate(groups):
        top = 66.0 * index
        share = format_share(values[1] / values[0], 0) if values[0] else ""
        drawing.text(4, top + 16, name, "name strong")
        drawing.text(RIGHT, top + 16, f"{share} of the baseline" if share else "", "tick", "end")
        for step, (variant, value) in enumerate(zip(VARIANTS, values, strict=True)):
            length = 400.0 * value / (max(values) or 1.0)
            y = top + 23 + 18 * step
            tip = f"{name}, {variant}: {form(value)}"
            more = {"data_tip": tip, "data_value": repr(float(value)), "rx": 2}
            drawing.rect(4, y, max(1.0, length), 15, f"mark bar {variant}", **more)
            drawing.text(10 + length, y + 12, form(value), "value")
        rows.append(
            [
                words(name),
                *(number(float(value), form) for value in values),
                number(values[1] / values[0], lambda v: format_share(v, 0)) if values[0] else Cell(""),
            ]
        )
    table = Table(title, ["", "baseline", "candidate", "candidate / baseline"], rows)
    return Chart(
        "footprint", title, description, drawing.root, table, legend=[(n, f"{n} bar") for n in VARIANTS]
    )


def footprint_groups(result: RunResult) -> list[tuple[str, tuple[float, float], Callable[[float], str]]]:
    """What both variants have: its name, both values, and how it is written."""
    if not all(name in result.variants for name in VARIANTS):
        return []
    one, two = (result.variants[name] for name in VARIANTS)
    groups: list[tuple[str, tuple[float, float], Callable[[float], str]]] = []
    if one.artifact is not None and two.artifact is not None:
        groups.append(("weights", (one.artifact.size_bytes, two.artifact.size_bytes), format_bytes))
    before, after = one.cold_start, two.cold_start
    if before is not None and after is not None:
        for name, values in (
            ("memory once loaded", (before.memory_after_load_bytes, after.memory_after_load_bytes)),
            ("peak memory", (before.peak_memory_bytes, after.peak_memory_bytes)),
        ):
            if values[0] is not None and values[1] is not None:
                groups.append((name, (values[0], values[1]), format_bytes))
        starts = [
            start.import_seconds + start.load_seconds + start.first_call_seconds for start in (before, after)
        ]
        groups.append(("from a fresh process to its first answer", (starts[0], starts[1]), format_seconds))
    return groups
