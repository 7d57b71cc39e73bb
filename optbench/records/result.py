"""A whole run: what it found, its verdict, and its file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec

from optbench.errors import ResultError
from optbench.records.answers import DatasetRecord, QualityResult
from optbench.records.speed import Comparison, ServerResult, TimingRecord, Trust, VariantResult
from optbench.records.tracking import TrackedRun
from optbench.records.values import Interval, Record

SCHEMA_VERSION = 1
GRID_KEYS = ("batch_sizes", "input_lengths")
"""Keys of a config that hold the grid of a sweep; a point has one value of each, without the s."""
RESULT_FILE = "result.json"
SAMPLES_FILE = "samples.parquet"
BLOCKS_FILE = "blocks.parquet"
REQUESTS_FILE = "requests.parquet"
PREDICTIONS_FILE = "predictions.parquet"
DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError)
"""What msgspec raises for data that is no record."""

Status = Literal["ok", "failed", "skipped"]
Outcome = Literal["pass", "fail", "inconclusive"]
Decision = Literal["SHIP", "DO NOT SHIP", "INCONCLUSIVE", "NOT ASKED"]


class GateResult(Record, frozen=True):
    """One gate: its bound; what was found, with its interval, in the bound's terms; what would settle it."""

    name: str
    outcome: Outcome
    bound: float
    value: float | None
    interval: Interval | None = None
    needs: str | None = None


class Verdict(Record, frozen=True):
    """The answer: the decision, the gates behind it, and one sentence for people."""

    decision: Decision
    gates: list[GateResult]
    sentence: str


class Failure(Record, frozen=True):
    """Why a run has no (complete) answer."""

    kind: str
    stage: str
    message: str
    details: str | None = None


class RunResult(Record, frozen=True, kw_only=True):
    """One run, whole or as far as it came. tracked: where it was logged besides this file."""

    schema_version: int = SCHEMA_VERSION
    optbench_version: str
    status: Status
    started_at: str
    finished_at: str | None = None
    command: list[str]
    config: dict[str, Any]
    config_hash: str
    environment: dict[str, Any]
    failure: Failure | None = None
    dataset: DatasetRecord | None = None
    variants: dict[str, VariantResult] = msgspec.field(default_factory=dict)
    timing: TimingRecord | None = None
    comparisons: dict[str, Comparison] = msgspec.field(default_factory=dict)
    server: ServerResult | None = None
    quality: QualityResult | None = None
    trust: Trust | None = None
    verdict: Verdict | None = None
    stage_seconds: dict[str, float] = msgspec.field(default_factory=dict)
    notes: list[str] = msgspec.field(default_factory=list)
    tracked: list[TrackedRun] = msgspec.field(default_factory=list)

    @property
    def comparison(self) -> Comparison | None:
        """The candidate against the baseline."""
        return self.comparisons.get("candidate")


class HasShape(Protocol):
    """A timing, whole or the part of it that a table needs."""

    @property
    def batch_size(self) -> int:
        """In rows."""

    @property
    def input_length(self) -> int | None:
        """In tokens."""


def shape_of(config: Mapping[str, Any], timing: HasShape | None) -> tuple[Any, Any]:
    """Batch size and input length of a run: as timed, else as its config says; null where unknown."""
    if timing is None:
        return config.get("batch_size"), config.get("input_length")
    return timing.batch_size, timing.input_length


def to_json(record: Record) -> bytes:
    """The record as indented UTF-8 JSON that ends in a newline."""
    return msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"


def from_json(data: bytes, source: str = "result") -> RunResult:
    """The RunResult in `data`. Raises ResultError that names `source` and the offending field."""
    try:
        result = msgspec.json.decode(data, type=RunResult)
    except DECODE_ERRORS as error:
        raise ResultError(f"{source} is not a readable optbench result: {error}") from error
    if result.schema_version > SCHEMA_VERSION:
        raise ResultError(
            f"{source} has schema version {result.schema_version}, this optbench reads up to "
            f"{SCHEMA_VERSION}; upgrade optbench to read it"
        )
    return result


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` so that `path` holds the old or the new content, whatever happens in between."""
    staging = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with staging.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        staging.replace(path)
    finally:
        staging.unlink(missing_ok=True)


def write_result(directory: Path, result: RunResult) -> Path:
    """Write `result.json` into `directory` atomically; returns its path."""
    path = directory / RESULT_FILE
    write_atomically(path, to_json(result))
    return path


def read_result(path: Path) -> RunResult:
    """Read a `result.json`, or the one in a run directory. Raises ResultError."""
    file = path / RESULT_FILE if path.is_dir() else path
    try:
        if file.exists() and not file.is_file():  # a pipe would be waited for
            raise ResultError(f"{file} cannot be read: it is not a file")
        data = file.read_bytes()
    except OSError as error:
        raise ResultError(f"{file} cannot be read: {error.strerror}") from error
    return from_json(data, str(file))
