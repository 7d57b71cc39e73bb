"""An aggregate as files: results.json (the record), results.csv and results.parquet (a row per point)."""

from __future__ import annotations

import csv
import functools
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from optbench.errors import ResultError
from optbench.records import to_json, write_atomically
from optbench.records.aggregate import Aggregate, Point, Side
from optbench.records.values import Estimate
from optbench.results.body import run_body

TEXT, WHOLE, REAL = "string", "int64", "double"
LARGEST_WHOLE = 2**63 - 1
PLAIN_FIELDS = {
    TEXT: (
        ["name", "status", "reason", "stage", "variant", "model", "dataset", "scenario"],
        ["grade", "decision", "sentence", "config_hash", "started_at", "finished_at", "directory", "log"],
    ),
    WHOLE: (["group", "batch_size", "input_length", "replicates", "rows", "broken", "fixed"],),
    REAL: (["size_ratio", "peak_memory_ratio", "noise_floor"],),
}
SIDE_FIELDS = {
    TEXT: ["label", "backend", "quantization", "graph", "artifact", "sha256"],
    WHOLE: ["threads", "size_bytes", "peak_memory_bytes"],
    REAL: ["cold_start_seconds"],
}
LATENCY_FIELDS = ["mean_seconds", "std_seconds", "min_seconds", "max_seconds", "cpu_seconds_per_call"]
FORMULA_STARTS = tuple("=+-@\t\r\n＝＋－＠")
"""With which a cell is a formula to a spreadsheet (OWASP, CSV Injection)."""
QUANTILES = (0.5, 0.9, 0.95, 0.99, 0.999)


@dataclass(frozen=True)
class Column:
    """A column of the flat table: its name, Arrow type, and where a point keeps the value."""

    name: str
    kind: str
    value: Callable[[Point], Any]

    def values(self, points: Sequence[Point]) -> list[Any]:
        """The column; whole numbers too large for it are null."""
        found = [self.value(point) for point in points]
        if self.kind == WHOLE:
            return [None if item is None or abs(item) > LARGEST_WHOLE else item for item in found]
        return found


def columns(aggregate: Aggregate) -> list[Column]:
    """All columns; axes and metrics are those that occur in the aggregate."""
    found = plain_columns(PLAIN_FIELDS[TEXT][0], TEXT)
    found += [Column(f"axis_{key}", TEXT, functools.partial(axis, key)) for key in aggregate.axes]
    found += plain_columns(PLAIN_FIELDS[WHOLE][0], WHOLE)
    for name in ("speedup", "cpu_speedup", "capacity_ratio"):
        found += estimate_columns(name, functools.partial(field, name))
    found += plain_columns(PLAIN_FIELDS[REAL][0], REAL)
    for role in ("baseline", "candidate"):
        found += side_columns(role)
    found += estimate_columns("agreement", functools.partial(field, "agreement"))
    names = dict.fromkeys(metric.name for point in aggregate.points for metric in point.metrics)
    for name in names:
        found += metric_columns(name)
    found += plain_columns(PLAIN_FIELDS[TEXT][1], TEXT)
    return list({column.name: column for column in reversed(found)}.values())[::-1]


def field(name: str, point: Point) -> Any:
    """A field of a point."""
    return getattr(point, name)


def axis(key: str, point: Point) -> str | None:
    """The value of an axis at a point."""
    return point.axes.get(key)


def plain_columns(names: Sequence[str], kind: str) -> list[Column]:
    """Columns that are fields of the point."""
    return [Column(name, kind, functools.partial(field, name)) for name in names]


def estimate_columns(name: str, get: Callable[[Point], Estimate | None]) -> list[Column]:
    """A value and the ends of its interval."""

    def end(which: str, point: Point) -> float | None:
        estimate = get(point)
        interval = estimate.interval if estimate is not None else None
        return getattr(interval, which) if interval is not None else None

    def value(point: Point) -> float | None:
        estimate = get(point)
        return estimate.value if estimate is not None else None

    return [
        Column(name, REAL, value),
        Column(f"{name}_low", REAL, functools.partial(end, "low")),
        Column(f"{name}_high", REAL, functools.partial(end, "high")),
    ]


def side_columns(role: str) -> list[Column]:
    """Everything about one variant."""

    def of_side(get: Callable[[Side], Any], point: Point) -> Any:
        side = getattr(point, role)
        return None if side is None else get(side)

    def plain(name: str, side: Side) -> Any:
        return getattr(side, name)

    def of_latency(name: str, side: Side) -> Any:
        return None if side.latency is None else getattr(side.latency, name)

    def quantile(q: float, side: Side) -> float | None:
        known = side.latency.percentiles if side.latency is not None else []
        return next((item.seconds for item in known if item.q == q), None)

    def rate(side: Side) -> float | None:
        return None if side.throughput is None else side.throughput.forwards_per_second

    def column(name: str, kind: str, get: Callable[[Side], Any]) -> Column:
        return Column(f"{role}_{name}", kind, functools.partial(of_side, get))

    def samples(point: Point) -> Estimate | None:
        side = getattr(point, role)
        return None if side is None or side.throughput is None else side.throughput.samples_per_second

    def capacity(point: Point) -> Estimate | None:
        side = getattr(point, role)
        return None if side is None else side.requests_per_second

    found = [
        column(name, kind, functools.partial(plain, name))
        for kind, names in SIDE_FIELDS.items()
        for name in names
    ]
    found.append(column("calls", WHOLE, functools.partial(of_latency, "calls")))
    found += [column(f"latency_{name}", REAL, functools.partial(of_latency, name)) for name in LATENCY_FIELDS]
    found += [
        column(f"latency_p{100 * q:g}_seconds".replace(".", "_"), REAL, functools.partial(quantile, q))
        for q in QUANTILES
    ]
    found.append(column("forwards_per_second", REAL, rate))
    found += estimate_columns(f"{role}_samples_per_second", samples)
    return found + estimate_columns(f"{role}_requests_per_second", capacity)


def metric_columns(name: str) -> list[Column]:
    """A metric of both variants and its difference."""

    def get(which: str, point: Point) -> Any:
        return next((getattr(metric, which) for metric in point.metrics if metric.name == name), None)

    return [
        Column(f"{name}_baseline", REAL, functools.partial(get, "baseline")),
        Column(f"{name}_candidate", REAL, functools.partial(get, "candidate")),
        *estimate_columns(f"{name}_difference", functools.partial(get, "difference")),
    ]


def write_all(aggregate: Aggregate, directory: Path) -> list[Path]:
    """Write every form of the aggregate into `directory`, each file atomically; returns their paths.

    Raises ResultError if the directory cannot be written.
    """
    made = columns(aggregate)
    table = {column.name: column.values(aggregate.points) for column in made}
    text = csv_bytes(table)
    files: dict[str, Callable[[], bytes]] = {
        "results.json": lambda: to_json(aggregate),
        "results.csv": lambda: csv_bytes(harmless(table)),
        "results.parquet": lambda: parquet_bytes(text, made),
        "run_body.json": lambda: msgspec.json.format(msgspec.json.encode(run_body(aggregate))) + b"\n",
    }
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            write_atomically(directory / name, content())
    except OSError as error:
        raise ResultError(
            f"{directory} must be a directory that can be written, but {error.strerror}; "
            "choose another with --output"
        ) from error
    return [directory / name for name in files]


def harmless(table: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """The table with an apostrophe before text that a spreadsheet would take for a formula."""
    return {cell(name): [cell(value) for value in values] for name, values in table.items()}


def cell(value: Any) -> Any:
    """A value that a spreadsheet shows and does not run; numbers written as text stay as they are."""
    if not isinstance(value, str) or not value.startswith(FORMULA_STARTS):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def csv_bytes(table: dict[str, list[Any]]) -> bytes:
    """The table as UTF-8 CSV; a missing value is empty."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table)
    writer.writerows(zip(*table.values(), strict=True))
    return text.getvalue().encode("utf-8", "replace")


def parquet_bytes(text: bytes, made: Sequence[Column]) -> bytes:
    """The CSV as Parquet; an empty text is null. (`pyarrow.array` would import pandas.)"""
    import pyarrow
    from pyarrow import csv as reader
    from pyarrow import parquet

    table = reader.read_csv(
        pyarrow.BufferReader(text),
        read_options=reader.ReadOptions(use_threads=False, block_size=len(text) + 1),
        parse_options=reader.ParseOptions(newlines_in_values=True),
        convert_options=reader.ConvertOptions(
            column_types={column.name: pyarrow.type_for_alias(column.kind) for column in made},
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=True,
        ),
    )
    sink = pyarrow.BufferOutputStream()
    parquet.write_table(table, sink)
    return bytes(sink.getvalue())
