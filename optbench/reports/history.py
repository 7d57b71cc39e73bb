"""The history on a terminal: rendering only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

from rich.console import Console

from optbench.records.history import Trend
from optbench.reports.console import say
from optbench.reports.escape import one_line
from optbench.reports.text_tables import rich_table, wide_enough
from optbench.units import MISSING_TEXT, format_bytes, format_ratio, format_seconds

HEAD = [
    "last run",
    "model",
    "candidate",
    "shape",
    "machine",
    "runs",
    "speed-up",
    "change",
    "p95",
    "change",
    "weights",
    "metric",
    "change",
    "grade",
]


def percent(value: float | None) -> str:
    """A relative change, signed."""
    return MISSING_TEXT if value is None else f"{100 * value:+.1f}%"


def row_of(trend: Trend) -> list[str]:
    """One configuration."""
    shape = "x".join(str(size) for size in (trend.batch_size, trend.input_length) if size is not None)
    value = MISSING_TEXT if trend.metric_value is None else f"{trend.metric} {trend.metric_value:.4f}"
    return [
        trend.last_at[:16].replace("T", " "),
        one_line(PurePath(trend.model or MISSING_TEXT).name, 30),
        one_line(trend.candidate or MISSING_TEXT, 40),
        shape or MISSING_TEXT,
        trend.machine or MISSING_TEXT,
        str(trend.runs),
        format_ratio(trend.speedup),
        percent(trend.speedup_change),
        format_seconds(trend.p95_seconds),
        percent(trend.p95_change),
        format_bytes(trend.size_bytes),
        one_line(value, 30),
        MISSING_TEXT if trend.metric_change is None else f"{trend.metric_change:+.4f}",
        trend.grade or MISSING_TEXT,
    ]


def show(trends: Sequence[Trend], out: Console) -> None:
    """A row for each configuration and machine; changes are against the median of earlier runs."""
    if not trends:
        say(out, "The history holds no such run; add some with: optbench history add DIR")
        return
    table = rich_table(HEAD, [row_of(trend) for trend in trends], 5)
    wide_enough(out, table)
    out.print(table)
    say(out, "change: against the median of the earlier runs; what chance does, compare tells.", "dim")
