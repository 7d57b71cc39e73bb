"""What optbench itself costs: the seconds of commands that measure nothing, the memory of a coordinator.

Goals on two cores: less than a second of wall clock for each command, less than 150 MB for the coordinator.
Commands are run in turn, several rounds, so that a busy moment hits all of them; medians are printed. Where
optimum-benchmark is installed, its help page stands beside ours.

    python scripts/bench_startup.py --rounds 7
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from optbench.records import RunResult, read_result, replace, write_result

GOAL_SECONDS = 1.0
GOAL_BYTES = 150e6
POINTS = 10
OURS = (sys.executable, "-m", "optbench")

PROBE = """
import sys
from optbench.processes.this_process import memory_bytes
from optbench.cli import main
code = main(sys.argv[2:])
open(sys.argv[1], "w").write(str(memory_bytes("VmHWM")))
sys.exit(code)
"""


@dataclass(frozen=True)
class Command:
    """A command line, and the exit code that it must end with."""

    name: str
    arguments: tuple[str, ...]
    code: int = 0


@dataclass(frozen=True)
class Took:
    """Wall and CPU seconds of a process and the children it waited for."""

    wall_seconds: float
    cpu_seconds: float


def commands(results: Path) -> list[Command]:
    """What is timed; `results` holds a sweep of ten runs."""
    found = [
        Command("optbench --help", (*OURS, "--help")),
        Command("optbench --cfg job", (*OURS, "--cfg", "job")),
        Command("a config error", (*OURS, "batch_size=0", "bogus=1"), 2),
        Command(f"optbench aggregate, {POINTS} runs", (*OURS, "aggregate", str(results))),
        Command("python -c 'import optbench'", (sys.executable, "-c", "import optbench")),
    ]
    peer = shutil.which("optimum-benchmark")
    return found + ([Command("optimum-benchmark --help", (peer, "--help"))] if peer else [])


def timed(command: Command, place: Path, environment: Mapping[str, str]) -> Took:
    """Run a command once. Raises RuntimeError if it ends with another code."""
    begun = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command.arguments, cwd=place, env=environment, stdout=output, stderr=output
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != command.code:
            output.seek(0)
            told = output.read().decode(errors="replace")[-2000:]
            raise RuntimeError(f"{command.name} ended with {process.returncode}:\n{told}")
    return Took(wall, usage.ru_utime + usage.ru_stime)


def rounds(found: Sequence[Command], count: int, run: Callable[[Command], Took]) -> dict[str, list[Took]]:
    """Every command in turn, `count` times after one that warms the disk's cache."""
    for command in found:
        run(command)
    taken: dict[str, list[Took]] = {command.name: [] for command in found}
    for _ in range(count):
        for command in found:
            taken[command.name].append(run(command))
    return taken


def demo_run(place: Path, environment: Mapping[str, str]) -> tuple[RunResult, int]:
    """A short run of the demo: its result, and the coordinator's peak resident set in bytes."""
    note = place / "peak"
    arguments = ["measure=quick", "quality.max_eval_samples=100", "hydra.run.dir=run"]
    command = [sys.executable, "-c", PROBE, str(note), *arguments]
    subprocess.run(command, cwd=place, env=environment, capture_output=True, check=True)
    return read_result(place / "run"), int(note.read_text())


def ten_runs(result: RunResult, place: Path) -> Path:
    """A sweep of ten runs, made of one."""
    for number in range(POINTS):
        own = place / "sweep" / str(number)
        (own / ".hydra").mkdir(parents=True)
        (own / ".hydra" / "overrides.yaml").write_text(f"- seed={number}\n")
        write_result(own, replace(result, config={**result.config, "seed": number}))
    return place / "sweep"


def report(taken: Mapping[str, Sequence[Took]], coordinator: int) -> bool:
    """Print medians; whether every goal is met."""
    met = coordinator < GOAL_BYTES
    print(f"{'':<32}{'wall':>9}{'CPU':>9}   median of {len(next(iter(taken.values())))}")
    for name, all_of_it in taken.items():
        wall = statistics.median(one.wall_seconds for one in all_of_it)
        cpu = statistics.median(one.cpu_seconds for one in all_of_it)
        late = wall >= GOAL_SECONDS and not name.startswith("optimum")
        met = met and not late
        print(f"{name:<32}{wall:>7.2f} s{cpu:>7.2f} s{'   above the goal of 1 s' if late else ''}")
    heavy = "   above the goal of 150 MB" if coordinator >= GOAL_BYTES else ""
    print(f"{'coordinator of a run, peak':<32}{coordinator / 1e6:>6.0f} MB{heavy}")
    return met


def main() -> int:
    """Time everything; the exit code is 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    count = parser.parse_args().rounds
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed optbench has its bytecode
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        result, coordinator = demo_run(place, environment)
        found = commands(ten_runs(result, place))
        taken = rounds(found, count, lambda command: timed(command, place, environment))
    return 0 if report(taken, coordinator) else 1


if __name__ == "__main__":
    sys.exit(main())
