"""The raw values behind a result, as charts need them; a file that cannot be read is told, never fatal."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from optbench.records import BLOCKS_FILE, PREDICTIONS_FILE, SAMPLES_FILE

SHARES = (0.0, *(step / 200 for step in range(1, 200)), 0.999, 1.0)
"""Where a distribution is drawn; half a percent is less than a line is wide."""
MOST_PAIRS = 1200
MOST_FLIPS = 20


@dataclass(frozen=True)
class Moment:
    """Something seen during the timing. seconds: since its first block."""

    replicate: int
    seconds: float
    value: float


@dataclass(frozen=True)
class Flip:
    """A row that only one of both answers as the reference has it."""

    row: int
    text: str
    reference: str
    baseline: str
    candidate: str


@dataclass
class Raw:
    """What the files of a run hold.

    curves: of each variant, seconds of its counted calls at SHARES. counts: how many calls that are.
    starts: seconds at which each replicate began. pairs: baseline over candidate of each pair of blocks.
    probes: time of the fixed loop before each pair over its median. flips: at most MOST_FLIPS.
    """

    curves: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    starts: dict[int, float] = field(default_factory=dict)
    pairs: list[Moment] = field(default_factory=list)
    probes: list[Moment] = field(default_factory=list)
    flips: list[Flip] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def read_raw(directory: Path) -> Raw:
    """Everything charts need from a run directory; files that are not there are not missed."""
    found = Raw()
    readers: dict[str, Callable[[Path, Raw], None]] = {
        SAMPLES_FILE: read_samples,
        BLOCKS_FILE: read_blocks,
        PREDICTIONS_FILE: read_flips,
    }
    for name, read in readers.items():
        if not (directory / name).is_file():
            continue
        try:
            read(directory / name, found)
        except Exception as error:  # pyarrow raises many kinds for a damaged file; the page must come
            found.problems.append(f"{name} cannot be read: {error}")
    return found


def read_samples(file: Path, found: Raw) -> None:
    """The distribution of the counted calls of each variant."""
    import numpy as np
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as opened:  # read_table and to_numpy would import pandas, 45 MB
        table = opened.read(columns=["variant", "settling", "nanoseconds"])
    variants = np.asarray(table["variant"].to_pylist(), dtype=object)
    counted = ~np.asarray(table["settling"].to_pylist(), dtype=bool)
    seconds = np.asarray(table["nanoseconds"].to_pylist(), dtype=np.int64) / 1e9
    for name in dict.fromkeys(variants.tolist()):
        own = seconds[counted & (variants == name)]
        if own.size:
            values = np.quantile(own, SHARES)  # as the percentiles of the result are made
            found.curves[str(name)] = list(zip(SHARES, values.tolist(), strict=True))
            found.counts[str(name)] = int(own.size)


def read_blocks(file: Path, found: Raw) -> None:
    """When replicates began, the ratio of each pair of blocks, and the probe before it."""
    import pyarrow.parquet as pq

    pairs: dict[tuple[int, int], dict[str, dict[str, Any]]] = {}
    with pq.ParquetFile(file) as opened:
        rows = opened.read().to_pylist()
    for row in rows:
        pairs.setdefault((row["replicate"], row["pair"]), {})[row["variant"]] = row
    begun = min((one["started_nanoseconds"] for pair in pairs.values() for one in pair.values()), default=0)
    probes: list[Moment] = []
    for (replicate, _), pair in pairs.items():
        first = min(pair.values(), key=lambda row: row["started_nanoseconds"])
        seconds = (first["started_nanoseconds"] - begun) / 1e9
        found.starts.setdefault(replicate, seconds)
        means = [mean_nanoseconds(pair.get(name)) for name in ("baseline", "candidate")]
        if means[0] and means[1]:
            found.pairs.append(Moment(replicate, seconds, means[0] / means[1]))
        if first["probe_nanoseconds"]:
            probes.append(Moment(replicate, seconds, first["probe_nanoseconds"]))
    if probes:
        middle = sorted(probe.value for probe in probes)[len(probes) // 2]
        probes = [Moment(probe.replicate, probe.seconds, probe.value / middle) for probe in probes]
    found.pairs, found.probes = thinned(found.pairs), thinned(probes)


def mean_nanoseconds(row: dict[str, Any] | None) -> float | None:
    """Mean wall time of the counted calls of a block; null where it has none."""
    if row is None or row["calls"] <= row["settling_calls"]:
        return None
    return float(row["wall_nanoseconds"]) / float(row["calls"] - row["settling_calls"])


def thinned(moments: list[Moment]) -> list[Moment]:
    """At most MOST_PAIRS of them, evenly spread."""
    return moments[:: max(1, math.ceil(len(moments) / MOST_PAIRS))]


def read_flips(file: Path, found: Raw) -> None:
    """The first rows that one variant answers as the reference has it and the other does not."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as opened:
        kinds = {column.name: column.type for column in opened.schema_arrow}
        answers = [kinds.get(name) for name in ("reference", "baseline", "candidate")]
        plain = (pa.types.is_integer, pa.types.is_string, pa.types.is_boolean)
        if not all(kind is not None and any(test(kind) for test in plain) for kind in answers):
            return
        for batch in opened.iter_batches(columns=["row", "text", "reference", "baseline", "candidate"]):
            for row in batch.to_pylist():
                one, two = row["baseline"], row["candidate"]
                if one != two and row["reference"] in (one, two):
                    found.flips.append(
                        Flip(row["row"], str(row["text"]), str(row["reference"]), str(one), str(two))
                    )
                    if len(found.flips) == MOST_FLIPS:
                        return
