"""All runs of a machine's user in one small SQLite file, and how each configuration has changed."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import statistics
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from optbench.errors import ConfigError, ResultError
from optbench.locations import cache_directory
from optbench.records import RESULT_FILE
from optbench.records.aggregate import Point
from optbench.records.history import Trend
from optbench.results.aggregate import aggregate
from optbench.results.points import machine_of

HISTORY_FILE = "history.sqlite"
HISTORY_VERSION = 2
COLUMNS = {
    "content": "TEXT NOT NULL",
    "variant": "TEXT NOT NULL",
    "directory": "TEXT NOT NULL",
    "started_at": "TEXT NOT NULL",
    "status": "TEXT NOT NULL",
    "config_hash": "TEXT NOT NULL",
    "machine": "TEXT",
    "model": "TEXT",
    "baseline": "TEXT",
    "candidate": "TEXT",
    "batch_size": "INTEGER",
    "input_length": "INTEGER",
    "speedup": "REAL",
    "speedup_low": "REAL",
    "speedup_high": "REAL",
    "p50_seconds": "REAL",
    "p95_seconds": "REAL",
    "size_bytes": "INTEGER",
    "peak_memory_bytes": "INTEGER",
    "metric": "TEXT",
    "metric_value": "REAL",
    "metric_difference": "REAL",
    "grade": "TEXT",
}
CREATE = (
    f"CREATE TABLE IF NOT EXISTS runs ({', '.join(f'{name} {kind}' for name, kind in COLUMNS.items())}, "
    "PRIMARY KEY (content, variant)) WITHOUT ROWID"
)
INSERT = f"INSERT OR IGNORE INTO runs VALUES ({', '.join('?' * len(COLUMNS))})"
LARGEST_WHOLE = 2**63 - 1


def history_file() -> Path:
    """Where the history is kept."""
    return cache_directory() / HISTORY_FILE


@contextlib.contextmanager
def opened(file: Path) -> Iterator[sqlite3.Connection]:
    """The history, made if it is not there; committed at the end. Raises ResultError if it cannot be used."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(sqlite3.connect(file, timeout=30)) as connection, connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > HISTORY_VERSION:
                raise ResultError(
                    f"{file} has version {version}, this optbench reads up to {HISTORY_VERSION}; upgrade it"
                )
            connection.execute(CREATE)
            if version == 1:
                rename_runs(connection)
            connection.execute(f"PRAGMA user_version = {HISTORY_VERSION}")
            yield connection
    except (sqlite3.Error, OSError) as error:
        raise ResultError(
            f"{file} cannot be used as the history: {error}; move it away, a new one is made and "
            "`optbench history add DIR` fills it again"
        ) from error


def add(directories: Sequence[Path], file: Path, named: Callable[[str], str] = str) -> tuple[int, int]:
    """Add every run below `directories`; returns how many are new and how many were there.

    A run is known by when it began, its config and its machine, wherever it lies and whatever was noted
    in it later, as when a sweep took it over. named: what a directory is called in
    the history. Raises ResultError.
    """
    rows = [row for point in aggregate(directories).points if (row := row_of(point, named)) is not None]
    with opened(file) as connection:
        before = connection.total_changes
        connection.executemany(INSERT, rows)
        new = connection.total_changes - before
    return new, len(rows) - new


def row_of(point: Point, named: Callable[[str], str] = str) -> tuple[Any, ...] | None:
    """A point as a row; None where there is no whole result."""
    if point.config_hash is None or point.started_at is None or point.status == "running":
        return None
    try:
        machine = machine_of((Path(point.directory) / RESULT_FILE).read_bytes())
    except OSError:
        return None
    side, speedup, metric = point.candidate, point.speedup, point.leading_metric
    interval = speedup.interval if speedup is not None else None
    percentiles = side.latency.percentiles if side is not None and side.latency is not None else []
    seconds = {item.q: item.seconds for item in percentiles}
    difference = metric.difference if metric is not None else None
    values = {
        "content": identity(point.started_at, point.config_hash, machine),
        "variant": point.variant,
        "directory": named(point.directory),
        "started_at": point.started_at,
        "status": point.status,
        "config_hash": point.config_hash,
        "machine": machine,
        "model": point.model,
        "baseline": point.baseline.label if point.baseline is not None else None,
        "candidate": side.label if side is not None else None,
        "batch_size": point.batch_size,
        "input_length": point.input_length,
        "speedup": speedup.value if speedup is not None else None,
        "speedup_low": interval.low if interval is not None else None,
        "speedup_high": interval.high if interval is not None else None,
        "p50_seconds": seconds.get(0.5),
        "p95_seconds": seconds.get(0.95),
        "size_bytes": side.size_bytes if side is not None else None,
        "peak_memory_bytes": side.peak_memory_bytes if side is not None else None,
        "metric": metric.name if metric is not None else None,
        "metric_value": metric.candidate if metric is not None else None,
        "metric_difference": difference.value if difference is not None else None,
        "grade": point.grade,
    }
    return tuple(storable(values[name]) for name in COLUMNS)


def identity(started_at: str, config_hash: str, machine: str | None) -> str:
    """What tells a run from all others."""
    return hashlib.sha256(f"{started_at} {config_hash} {machine}".encode()).hexdigest()


def rename_runs(connection: sqlite3.Connection) -> None:
    """Give the runs of a history of version 1, known by the hash of a file, their identity; once each."""
    connection.create_function("identity", 3, identity, deterministic=True)
    connection.execute("UPDATE OR REPLACE runs SET content = identity(started_at, config_hash, machine)")


def storable(value: Any) -> Any:
    """A value as SQLite takes it: whole numbers beyond 64 bits are null."""
    return None if isinstance(value, int) and abs(value) > LARGEST_WHOLE else value


def directories(file: Path) -> list[str]:
    """Where the finished runs of a history lay when they were added, the latest last. Raises ResultError."""
    query = "SELECT directory FROM runs WHERE status = 'ok' GROUP BY directory ORDER BY max(started_at)"
    with opened(file) as connection:
        return [row[0] for row in connection.execute(query)]


def trends(file: Path, since: str | None = None, model: str | None = None) -> list[Trend]:
    """One trend for each config, variant and machine with a finished run, the latest changed first.

    since: ISO date or time (UTC unless it says otherwise). model: a part of its path. Raises ConfigError.
    """
    query, values = "SELECT * FROM runs WHERE status = 'ok'", []
    if since is not None:
        query += " AND started_at >= ?"
        values.append(moment(since))
    if model is not None:
        query += " AND instr(lower(coalesce(model, '')), lower(?)) > 0"
        values.append(model)
    with opened(file) as connection:
        connection.row_factory = sqlite3.Row
        rows = connection.execute(query + " ORDER BY started_at, content", values).fetchall()
    groups: dict[tuple[Any, ...], list[sqlite3.Row]] = {}
    for row in rows:
        groups.setdefault((row["config_hash"], row["variant"], row["machine"]), []).append(row)
    found = [trend_of(own) for own in groups.values()]
    return sorted(found, key=lambda trend: trend.last_at, reverse=True)


def moment(text: str) -> str:
    """A date or time as results write it. Raises ConfigError."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"--since must be a date such as 2026-11-24, got {text!r}") from None
    if found.tzinfo is None:
        found = found.replace(tzinfo=timezone.utc)
    return found.astimezone(timezone.utc).isoformat(timespec="seconds")


def trend_of(rows: Sequence[sqlite3.Row]) -> Trend:
    """The last run of one configuration against the median of those before it."""
    last = rows[-1]
    return Trend(
        model=last["model"],
        baseline=last["baseline"],
        candidate=last["candidate"],
        variant=last["variant"],
        batch_size=last["batch_size"],
        input_length=last["input_length"],
        machine=last["machine"],
        config_hash=last["config_hash"],
        runs=len(rows),
        first_at=rows[0]["started_at"],
        last_at=last["started_at"],
        directory=last["directory"],
        speedup=last["speedup"],
        speedup_change=quotient(last["speedup"], earlier(rows, "speedup")),
        p95_seconds=last["p95_seconds"],
        p95_change=quotient(last["p95_seconds"], earlier(rows, "p95_seconds")),
        size_bytes=last["size_bytes"],
        metric=last["metric"],
        metric_value=last["metric_value"],
        metric_change=minus(last["metric_value"], earlier(rows, "metric_value")),
        grade=last["grade"],
    )


def earlier(rows: Sequence[sqlite3.Row], name: str) -> float | None:
    """The median of a column before the last run; null without an earlier value."""
    values = [row[name] for row in rows[:-1] if row[name] is not None]
    return statistics.median(values) if values else None


def quotient(last: float | None, before: float | None) -> float | None:
    """last / before - 1; null where either is missing."""
    return None if last is None or not before else last / before - 1


def minus(last: float | None, before: float | None) -> float | None:
    """last - before; null where either is missing."""
    return None if last is None or before is None else last - before
