"""Acceptance of `optbench compare`: sweeps of which nothing changed, and a slowdown planted in all points.

On virtual clocks `--runs 200` stands for 20 pairs of sweeps; the real ones take two sweeps each.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from acceptance.figures import Figure, Options, procedure, share_figure
from acceptance.timing import USUAL, Cell, play
from optbench.measure.procedure import Procedure
from optbench.measure.statistics import log_ratios, ratio_estimate, welch
from optbench.records.comparison import ComparedPoint, Finding
from optbench.results.compare import adjusted, compare, speed

POINTS = 24
SLOWDOWN = 1.10
LEAST_UNCHANGED = 0.95
TEN = Procedure(replicates=10, max_replicates=10)
SAME = Cell("nothing changed", USUAL, USUAL, procedure=TEN)
SLOWER = Cell(
    "all 10% slower", USUAL, replace(USUAL, call_seconds=SLOWDOWN * USUAL.call_seconds), procedure=TEN
)

MEASURE = (
    "batch_size=1,2,4,8",
    "quality=none",
    "measure.cold_start=false",
    "measure.replicate_seconds=0.5",
    "measure.replicates=10",
    "measure.max_replicates=10",
)
REAL = (*MEASURE, "baseline=onnxruntime", "quant=none,dynamic", "input_length=16,32,64")
MADE_UP = (
    *MEASURE,
    *("backend=fake", "baseline=fake", "quant=none", "input_length=8,16,24,32,40,48"),
    *("baseline.backend.seed=1", "backend.offset_sd=0.01", "baseline.backend.offset_sd=0.01"),
)


@procedure
def compared_sweeps(options: Options) -> Iterator[Figure]:
    """Pairs of sweeps of 24 points on the virtual clock: unchanged ones and slower ones."""
    sweeps = max(1, options.runs // 10)
    for cell in (SAME, SLOWER):
        if options.includes(cell.name):
            findings = [finding for run in range(sweeps) for finding in simulated(cell, options, run)]
            yield from finding_figures(cell, findings)


@procedure
def real_compared_sweeps(options: Options) -> Iterator[Figure]:
    """On this machine: the demo model's sweep twice, and made-up runtimes before and after a slowdown."""
    with tempfile.TemporaryDirectory() as place:
        if options.includes(SAME.name):
            pair = [sweep(Path(place, name), REAL) for name in ("before", "now")]
            yield from finding_figures(SAME, findings_of(*pair))
        if options.includes(SLOWER.name):
            before = sweep(Path(place, "fast"), [*MADE_UP, "backend.call_seconds=0.002"])
            slower = f"backend.call_seconds={0.002 * SLOWDOWN:g}"
            now = sweep(Path(place, "slow"), [*MADE_UP, slower])
            yield from finding_figures(SLOWER, findings_of(before, now))


def simulated(cell: Cell, options: Options, run: int) -> list[Finding]:
    """What is found at the points of one pair of sweeps, the first of which has equal runtimes."""
    points = []
    for point in range(POINTS):
        sides = []
        for side, played in (("before", SAME), ("now", cell)):
            state = options.random_state(f"{cell.name} {side} {point}", run)
            sides.append(log_ratios(play(played, state).samples, "baseline", "candidate"))
        estimates = [ratio_estimate(side) for side in sides]
        points.append(
            ComparedPoint(
                name=str(point),
                status="compared",
                measures={"speedup": speed(estimates[0], estimates[1], sides[0], sides[1])},
                p_value=welch(sides[0], sides[1]).p_value,
            )
        )
    return [point.finding for point in adjusted(points)]


def sweep(place: Path, overrides: Sequence[str]) -> Path:
    """The directory of a finished sweep. Raises RuntimeError with its last words if it fails."""
    command = [sys.executable, "-m", "optbench", "-q", "-m", *overrides, f"hydra.sweep.dir={place}"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {ended.returncode}: {ended.stderr[-2000:]}")
    return place


def findings_of(before: Path, now: Path) -> list[Finding]:
    """What `optbench compare` finds at each point. Raises RuntimeError if one was not compared."""
    points = compare(before, now).points
    if untold := [point.reason or point.finding_reason for point in points if point.finding == "not tested"]:
        raise RuntimeError(f"{len(untold)} points were not tested: {untold[0]}")
    return [point.finding for point in points]


def finding_figures(cell: Cell, findings: Sequence[Finding]) -> Iterator[Figure]:
    """The share of points that are found to be as they are."""
    expected: Finding = "no difference shown" if cell is SAME else "slower"
    share = statistics.fmean(finding == expected for finding in findings)
    counts = ", ".join(f"{name} {findings.count(name)}" for name in sorted(set(findings)))
    least = LEAST_UNCHANGED if cell is SAME else 1.0
    yield share_figure(cell.name, expected[:14], share, len(findings), at_least=least, note=counts)
