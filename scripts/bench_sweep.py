"""How long a sweep takes against what it measures: where the rest goes, point by point and stage by stage.

    python scripts/bench_sweep.py                               six points of the demo, on an empty cache
    python scripts/bench_sweep.py --warm                        with the cache as it is
    python scripts/bench_sweep.py -- quant=none,dynamic batch_size=1,8 measure.replicates=3

Measuring is what was asked for: the timing with the starts and warm-ups of its workers, cold starts, the load
of a server, and the evaluation. Goals: a sweep takes at most 1.2 times its measuring and one preparation, and
a point adds less than 5 s to its measuring once its models are prepared. Nothing fails here: look at it on an
idle machine.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from optbench.records import RESULT_FILE, RunResult, read_result

GOAL_RATIO = 1.2
GOAL_SECONDS = 5.0
POINTS = ["batch_size=1,4,8", "input_length=16,32"]
BUDGETS = ["measure.replicates=5", "measure.max_replicates=5", "quality.max_eval_samples=300"]
MEASURING = ("timing", "serving", "cold start of", "start of", "evaluation of")
"""Beginnings of the names of stages that measure."""
PREPARATION = "preparation"


@dataclass(frozen=True)
class Cost:
    """Seconds of one point: what it measured, its preparation, and its other stages by name."""

    name: str
    measuring: float
    preparation: float
    other: dict[str, float]

    @property
    def overhead(self) -> float:
        """Seconds of stages that neither measure nor prepare."""
        return sum(self.other.values())


@dataclass(frozen=True)
class Summary:
    """A whole sweep in seconds. outside: between the points, before the first and after the last one."""

    wall: float
    costs: Sequence[Cost]

    @property
    def measuring(self) -> float:
        """Of all points."""
        return sum(cost.measuring for cost in self.costs)

    @property
    def preparation(self) -> float:
        """Of the point that had to prepare the most; the others should have found it done."""
        return max((cost.preparation for cost in self.costs), default=0.0)

    @property
    def repeated_preparation(self) -> float:
        """Of all other points."""
        return sum(cost.preparation for cost in self.costs) - self.preparation

    @property
    def outside(self) -> float:
        """Seconds in no stage of any point."""
        staged = sum(cost.measuring + cost.preparation + cost.overhead for cost in self.costs)
        return self.wall - staged

    @property
    def ratio(self) -> float:
        """Wall time against measuring and one preparation."""
        return self.wall / (self.measuring + self.preparation)

    @property
    def seconds_per_point(self) -> float:
        """What a point adds to its measuring, its share of what is between points included."""
        return (self.wall - self.measuring - self.preparation) / len(self.costs)


def cost_of(name: str, stage_seconds: Mapping[str, float]) -> Cost:
    """The seconds of a point by what they are for."""
    measuring = sum(s for stage, s in stage_seconds.items() if stage.startswith(MEASURING))
    other = {
        stage: seconds
        for stage, seconds in stage_seconds.items()
        if stage != PREPARATION and not stage.startswith(MEASURING)
    }
    return Cost(name, measuring, stage_seconds.get(PREPARATION, 0.0), other)


def lines(summary: Summary) -> list[str]:
    """The report."""
    told = [f"{'point':>24} {'measuring':>10} {'prepared':>9} {'other':>7}   by stage, in seconds"]
    for cost in summary.costs:
        parts = ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in cost.other.items())
        figures = f"{cost.measuring:10.1f} {cost.preparation:9.2f} {cost.overhead:7.2f}"
        told.append(f"{cost.name:>24} {figures}   {parts}")
    by_stage: dict[str, float] = defaultdict(float)
    for cost in summary.costs:
        for stage, seconds in cost.other.items():
            by_stage[stage] += seconds
    by_stage["preparation found done"] = summary.repeated_preparation
    by_stage["in no stage (start of the process, Hydra, tables, pages)"] = summary.outside
    told.append("overhead of the whole sweep:")
    told += [f"  {seconds:7.1f} s  {stage}" for stage, seconds in by_stage.items()]
    told += [
        f"wall time {summary.wall:.1f} s = {summary.ratio:.2f} x (measuring {summary.measuring:.1f} s "
        f"+ one preparation {summary.preparation:.1f} s)   goal: {GOAL_RATIO:g}   "
        f"{'reached' if summary.ratio <= GOAL_RATIO else 'MISSED'}",
        f"a point adds {summary.seconds_per_point:.1f} s to its measuring   goal: below {GOAL_SECONDS:g} s   "
        f"{'reached' if summary.seconds_per_point < GOAL_SECONDS else 'MISSED'}",
    ]
    return told


def results_of(sweep: Path) -> dict[str, RunResult]:
    """The results of a sweep in the order of its points, by their shape and candidate."""
    found = sorted(sweep.glob(f"*/{RESULT_FILE}"), key=lambda file: int(file.parent.name))
    named = {}
    for file in found:
        result = read_result(file)
        candidate = result.config["chosen"]["candidate"]
        shape = f"{result.config['batch_size']}x{result.config['input_length']}"
        name = f"{file.parent.name}: {candidate['backend']} {candidate['quantization']} {shape}"
        named[name] = result
    return named


def main() -> int:
    """Run a sweep in a process of its own and print what it cost; its exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--warm", action="store_true", help="use the cache as it is, not an empty one")
    parser.add_argument("overrides", nargs="*", help="of the sweep, instead of six points of the demo")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="optbench-sweep-") as place:
        sweep = Path(place) / "sweep"
        environment = dict(os.environ)
        if not chosen.warm:
            environment["OPTBENCH_CACHE_DIR"] = str(Path(place) / "cache")
        arguments = ["-q", "-m", *(chosen.overrides or [*POINTS, *BUDGETS]), f"hydra.sweep.dir={sweep}"]
        begun = time.perf_counter()
        code = subprocess.run(
            [sys.executable, "-m", "optbench", *arguments], env=environment, check=False
        ).returncode
        wall = time.perf_counter() - begun
        costs = [cost_of(name, result.stage_seconds) for name, result in results_of(sweep).items()]
    if not costs:
        return code or 3
    print("\n".join(lines(Summary(wall, costs))))
    return code


if __name__ == "__main__":
    sys.exit(main())
