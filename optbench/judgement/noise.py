"""The machine's noise floor: what a variant compared with itself showed, kept for later runs.

A run whose two sides are the same variant is an A/A run. Half-width plus |mean| of its log speed-up is
the floor: a later difference below it is no difference shown, whatever its own interval says.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec

from optbench.measure.statistics import log_half_width
from optbench.records import DECODE_ERRORS, RunResult, VariantResult, write_atomically

KEPT_RUNS = 50


@dataclass(frozen=True)
class NoiseFloor:
    """The floor that one A/A run found, as a relative difference: 0.02 is two percent."""

    relative_difference: float
    replicates: int
    taken_at: str


def is_same_variant(one: VariantResult, other: VariantResult) -> bool:
    """Whether two variants run the same files in the same way."""

    def identity(variant: VariantResult) -> tuple[object, ...]:
        sha256 = None if variant.artifact is None else variant.artifact.sha256
        return (variant.backend, variant.quantization, variant.graph, variant.runtime, sha256)

    return identity(one) == identity(other)


def is_self_comparison(result: RunResult) -> bool:
    """Whether a run compared a variant with itself."""
    both = [result.variants.get(name) for name in ("baseline", "candidate")]
    return both[0] is not None and both[1] is not None and is_same_variant(both[0], both[1])


def floor_of(result: RunResult) -> NoiseFloor | None:
    """The floor that a finished A/A run shows; null with fewer than two replicates."""
    comparison = result.comparison
    thetas = [] if comparison is None else comparison.replicate_log_ratios
    if len(thetas) < 2:
        return None
    widest = abs(sum(thetas) / len(thetas)) + log_half_width(thetas)
    return NoiseFloor(math.expm1(widest), len(thetas), result.started_at)


def store(directory: Path, result: RunResult, floor: NoiseFloor) -> Path:
    """Add a floor to those of its machine, runtime and threads; returns the file."""
    file = floor_file(directory, result)
    file.parent.mkdir(parents=True, exist_ok=True)
    kept = [asdict(known) for known in read(file)][-KEPT_RUNS + 1 :]
    write_atomically(file, json.dumps([*kept, asdict(floor)], indent=2).encode())
    return file


def lookup(directory: Path, result: RunResult) -> NoiseFloor | None:
    """The latest earlier floor for this machine, runtime and threads, from no more replicates.

    A floor from fewer replicates is wider, so it errs on the careful side; one from more would be too
    narrow for this run.
    """
    comparison = result.comparison
    if comparison is None or "candidate" not in result.variants:
        return None
    mine = len(comparison.replicate_log_ratios)
    known = [floor for floor in read(floor_file(directory, result)) if floor.replicates <= mine]
    return max(known, key=lambda floor: (floor.replicates, floor.taken_at), default=None)


def floor_file(directory: Path, result: RunResult) -> Path:
    """Where floors of this run's machine, runtime and threads are kept."""
    candidate = result.variants["candidate"]
    machine = result.environment.get("machine", "unknown")
    return directory / "noise" / str(machine) / f"{candidate.backend}-{candidate.threads}.json"


def read(file: Path) -> list[NoiseFloor]:
    """The floors in a file; none where it is missing or damaged."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=list[NoiseFloor])
    except (OSError, *DECODE_ERRORS):
        return []
