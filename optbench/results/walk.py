"""Run directories below a directory, and the part of their results that a table needs.

Made for many thousands of runs: a result is decoded into less than the whole record, and a directory is
listed once. Nothing here raises for what one run directory holds.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from optbench.errors import ResultError
from optbench.locations import HYDRA_DIRECTORY, LOCK_FILE, LOG_FILE, OVERRIDES_FILE
from optbench.records import DECODE_ERRORS, RESULT_FILE, SCHEMA_VERSION, Failure, MetricResult, Status
from optbench.records.aggregate import AGGREGATE_VERSION, PLAN_FILE, SweepPlan
from optbench.records.speed import ColdStart, Comparison, Grade, Latency, Throughput
from optbench.records.values import Estimate

NOT_PLAIN = "'\"&*!|>%@`{[?#"
"""Starts of a YAML scalar that is more than its own text."""


@dataclass(frozen=True)
class RunDirectory:
    """A directory that holds a run, or was meant to."""

    path: str
    has_result: bool
    has_hydra: bool
    has_log: bool
    has_lock: bool = False


@dataclass(frozen=True)
class SweepDirectory:
    """A directory in which a sweep wrote down what it means to run."""

    path: str
    has_lock: bool = False


class SlimArtifact(msgspec.Struct):
    """Where the files lie, and their size."""

    path: str
    sha256: str
    size_bytes: int


class SlimKernels(msgspec.Struct):
    """How much is computed in integers."""

    nodes: int
    integer_nodes: int
    time_share: float | None = None


class SlimVariant(msgspec.Struct):
    """A variant without its preparation."""

    backend: str
    quantization: str
    graph: str
    threads: int
    artifact: SlimArtifact | None = None
    cold_start: ColdStart | None = None
    latency: Latency | None = None
    throughput: Throughput | None = None
    kernels: SlimKernels | None = None
    label: str = ""


class SlimTiming(msgspec.Struct):
    """The shape that was timed."""

    scenario: str
    batch_size: int
    input_length: int | None
    replicates: int


class SlimQuality(msgspec.Struct):
    """The answers without groups and rows."""

    rows: int
    metrics: list[MetricResult]
    agreement: Estimate | None = None
    broken: int | None = None
    fixed: int | None = None


class SlimCapacity(msgspec.Struct):
    """A server's capacity."""

    requests_per_second: Estimate | None = None


class SlimServer(msgspec.Struct):
    """The capacities and their ratio."""

    variants: dict[str, SlimCapacity]
    capacity_ratio: Estimate | None = None


class SlimTrust(msgspec.Struct):
    """The grade and its reasons."""

    grade: Grade
    reasons: list[str]


class SlimVerdict(msgspec.Struct):
    """The decision and its sentence."""

    decision: str
    sentence: str


class SlimEnvironment(msgspec.Struct):
    """What must be equal for timings to be compared."""

    machine: Any = None
    hostname: Any = None
    cpu_model: Any = None
    cores_available: Any = None
    python: Any = None
    versions: dict[str, str | None] = msgspec.field(default_factory=dict)
    plug_ins: dict[str, str] = msgspec.field(default_factory=dict)
    thread_variables: dict[str, str] = msgspec.field(default_factory=dict)


class SlimResult(msgspec.Struct):
    """The part of a RunResult that a table shows; reads every schema version up to ours."""

    status: Status
    started_at: str
    config_hash: str
    schema_version: int = SCHEMA_VERSION
    optbench_version: str = ""
    finished_at: str | None = None
    config: dict[str, Any] = msgspec.field(default_factory=dict)
    environment: SlimEnvironment = msgspec.field(default_factory=SlimEnvironment)
    failure: Failure | None = None
    variants: dict[str, SlimVariant] = msgspec.field(default_factory=dict)
    timing: SlimTiming | None = None
    comparisons: dict[str, Comparison] = msgspec.field(default_factory=dict)
    server: SlimServer | None = None
    quality: SlimQuality | None = None
    trust: SlimTrust | None = None
    verdict: SlimVerdict | None = None


class VersionOnly(msgspec.Struct):
    """What every version of a result has."""

    schema_version: int


DECODER = msgspec.json.Decoder(SlimResult)


def find(directories: Iterable[Path]) -> Iterator[RunDirectory | SweepDirectory]:
    """Every run directory and every planned sweep below `directories`, each once.

    Links to directories are not followed, so that none can lead in a circle; hidden directories and the
    inside of a run directory are not looked at. Raises ResultError for a directory that is not there.
    """
    seen: set[str] = set()
    for directory in directories:
        start = directory.parent if directory.name == RESULT_FILE else directory
        if not start.is_dir():
            raise ResultError(
                f"{directory} must be a directory that holds results, but "
                f"{'is a file' if directory.exists() else 'there is none'}; give a run or sweep directory"
            )
        waiting = [os.path.realpath(start)]
        while waiting:
            place = waiting.pop()
            if place in seen:
                continue
            seen.add(place)
            yield from look_into(place, waiting)


def look_into(place: str, waiting: list[str]) -> Iterator[RunDirectory | SweepDirectory]:
    """What a directory is; its subdirectories are added to `waiting`, the last one first."""
    names: dict[str, bool] = {}
    try:
        with os.scandir(place) as entries:
            for entry in entries:
                names[entry.name] = entry.is_dir(follow_symlinks=False)
    except OSError:
        return
    if RESULT_FILE in names or names.get(HYDRA_DIRECTORY):
        hydra = names.get(HYDRA_DIRECTORY, False)
        yield RunDirectory(place, RESULT_FILE in names, hydra, LOG_FILE in names, LOCK_FILE in names)
        return
    if PLAN_FILE in names:
        yield SweepDirectory(place, LOCK_FILE in names)
    below = sorted(name for name, is_directory in names.items() if is_directory and name[0] != ".")
    waiting += [f"{place.rstrip('/')}/{name}" for name in reversed(below)]


def read_slim(directory: str) -> SlimResult:
    """The result of a run directory. Raises ResultError with the reason why it cannot be read."""
    file = f"{directory}/{RESULT_FILE}"
    try:
        if not os.path.isfile(file):  # noqa: PTH113 - a Path for each of thousands is slow
            raise ResultError("result.json is not a file")
        with open(file, "rb") as stream:  # noqa: PTH123
            data = stream.read()
    except OSError as error:
        raise ResultError(f"result.json cannot be read: {error.strerror}") from error
    try:
        result = DECODER.decode(data)
    except DECODE_ERRORS as error:
        raise ResultError(why_unreadable(data, error)) from error
    if result.schema_version > SCHEMA_VERSION:
        raise ResultError(newer(result.schema_version))
    return result


def why_unreadable(data: bytes, error: Exception) -> str:
    """One sentence on a result that does not decode."""
    if not data.strip(b"\0 \n"):
        return "result.json is empty; the disk may have been full"
    try:
        version = msgspec.json.decode(data, type=VersionOnly).schema_version
    except DECODE_ERRORS:
        version = SCHEMA_VERSION
    if version > SCHEMA_VERSION:
        return newer(version)
    return f"result.json is damaged or no result of optbench: {error}"


def newer(version: int) -> str:
    """One sentence on a result from the future."""
    return (
        f"result.json has schema version {version}, this optbench reads up to {SCHEMA_VERSION}; "
        "upgrade optbench to read it"
    )


def read_overrides(directory: str) -> list[str]:
    """The overrides that made a run, as Hydra kept them; empty where it kept none."""
    try:
        with open(f"{directory}/{HYDRA_DIRECTORY}/{OVERRIDES_FILE}", encoding="utf-8") as stream:  # noqa: PTH123
            text = stream.read()
    except (OSError, UnicodeDecodeError):
        return []
    plain = plain_items(text)
    return parse_overrides(text) if plain is None else plain


def plain_items(text: str) -> list[str] | None:
    """The items of a YAML list of plain strings; null where it holds anything else."""
    items = []
    for line in text.splitlines():
        item = line[2:]
        if line[:2] != "- " or not item or item[0] in NOT_PLAIN or ": " in item or " #" in item:
            return None
        items.append(item)
    return items


def parse_overrides(text: str) -> list[str]:
    """The strings in a YAML list; empty for anything else."""
    import yaml

    try:
        found = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, ValueError, RecursionError):
        return []
    return [item for item in found if isinstance(item, str)] if isinstance(found, list) else []


def split_override(override: str) -> tuple[str, str]:
    """Key and value of an override: '+a.b=1' is ('a.b', '1')."""
    key, _, value = override.partition("=")
    return key.lstrip("+~"), value


def read_plan(directory: str) -> SweepPlan | None:
    """What a sweep meant to run; null where that cannot be read."""
    try:
        plan = msgspec.json.decode((Path(directory) / PLAN_FILE).read_bytes(), type=SweepPlan)
    except (OSError, *DECODE_ERRORS):
        return None
    return plan if plan.schema_version <= AGGREGATE_VERSION else None
