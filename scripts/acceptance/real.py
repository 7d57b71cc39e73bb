"""Acceptance on this machine: a real model against itself, and beside busy neighbours.

Whole runs of `optbench`, minutes of measuring; nothing else should run. `--runs 200` stands for 20 runs
against itself.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from acceptance.figures import Figure, Options, procedure
from optbench.records import Interval, RunResult, read_result

AGAINST_ITSELF = ("+experiment=noise_floor",)
INT8_ALONE = ("+experiment=int8_alone", "quality=none", "measure.budget_seconds=45")
MOST_DIFFERENCE = 0.10
BURN = "while True: pass"


def run(overrides: Sequence[str]) -> RunResult:
    """One run of the command line. Raises RuntimeError with its last words if it fails."""
    with tempfile.TemporaryDirectory() as place:
        command = [sys.executable, "-m", "optbench", *overrides, f"hydra.run.dir={place}/out"]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        if ended.returncode:
            raise RuntimeError(f"{' '.join(command)} ended with {ended.returncode}: {ended.stderr[-2000:]}")
        return read_result(Path(place, "out"))


def speedup(result: RunResult) -> Interval:
    """The interval of the speed-up. Raises RuntimeError without one."""
    if result.comparison is None or result.comparison.speedup.interval is None:
        raise RuntimeError("the run has no interval")
    return result.comparison.speedup.interval


@procedure
def real_against_itself(options: Options) -> Iterator[Figure]:
    """ONNX Runtime against itself on this machine: at most 3 of 20 intervals exclude 1."""
    cell = "this machine"
    if options.includes(cell):
        runs = max(2, options.runs // 10)
        excluded, grades = 0, dict[str, int]()
        for _ in range(runs):
            result = run(AGAINST_ITSELF)
            interval = speedup(result)
            excluded += not interval.low <= 1 <= interval.high
            grade = result.trust.grade if result.trust is not None else "none"
            grades[grade] = grades.get(grade, 0) + 1
        most = 0.15
        note = (
            f"{excluded} of {runs}; grades {', '.join(f'{name} {n}' for name, n in sorted(grades.items()))}"
        )
        yield Figure(cell, "exclude 1", excluded / runs, "<= 15%", excluded / runs <= most, note)


@procedure
def real_neighbours(options: Options) -> Iterator[Figure]:
    """MiniLM int8 against float32, alone, beside one busy process, and beside two."""
    alone = run(INT8_ALONE)
    value, cpu = found(alone)
    grade = alone.trust.grade if alone.trust is not None else "none"
    reason = alone.trust.reasons[0] if alone.trust is not None and alone.trust.reasons else ""
    note = f"wall {value:.2f}x, CPU {cpu:.2f}x, {grade} {reason}".rstrip()
    yield Figure("alone", "poor", float(grade == "poor"), "0%", grade != "poor", note)
    for count in (1, 2):
        cell = f"beside {count} busy process{'es' if count > 1 else ''}"
        if options.includes(cell):
            with ExitStack() as stack:
                for _ in range(count):
                    burning = subprocess.Popen([sys.executable, "-c", BURN])
                    stack.callback(burning.wait)
                    stack.callback(burning.kill)
                beside = run(INT8_ALONE)
            yield from neighbour_figures(cell, alone, beside)


def found(result: RunResult) -> tuple[float, float]:
    """The speed-ups in wall and in CPU time."""
    if result.comparison is None:
        raise RuntimeError("the run has no comparison")
    return result.comparison.speedup.value, result.comparison.cpu_speedup.value


def neighbour_figures(cell: str, alone: RunResult, beside: RunResult) -> Iterator[Figure]:
    """How far the answers moved, and whether the grade says why."""
    (wall, cpu), (wall_beside, cpu_beside) = found(alone), found(beside)
    moved = abs(wall_beside / wall - 1)
    bound = f"<= {MOST_DIFFERENCE:.0%}"
    yield Figure(cell, "wall moved", moved, bound, moved <= MOST_DIFFERENCE, f"{wall_beside:.2f}x")
    moved = abs(cpu_beside / cpu - 1)
    yield Figure(cell, "CPU moved", moved, bound, moved <= MOST_DIFFERENCE, f"{cpu_beside:.2f}x")
    trust = beside.trust
    named = trust is not None and any("process" in reason for reason in trust.reasons)
    poor = trust is not None and trust.grade == "poor" and named
    reason = trust.reasons[0] if trust is not None and trust.reasons else "no reason"
    yield Figure(cell, "poor, named", float(poor), "100%", poor, reason)
