"""How long and how much memory it takes to aggregate very many runs.

Makes run directories from a real result (`--result`) with changed numbers, reads them in a fresh process,
and prints seconds and peak memory. Goal: 10,000 runs in less than 5 s and 1 GB.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from optbench.results.aggregate import aggregate
from optbench.results.tables import write_all

GOAL_SECONDS = 5.0
GOAL_BYTES = 1e9


def varied(value: Any, rng: random.Random) -> Any:
    """A JSON value with every float changed by up to five percent."""
    if isinstance(value, dict):
        return {key: varied(item, rng) for key, item in value.items()}
    if isinstance(value, list):
        return [varied(item, rng) for item in value]
    return value * rng.uniform(0.95, 1.05) if isinstance(value, float) else value


def make(directory: Path, result: dict[str, Any], count: int) -> None:
    """`count` run directories as a sweep over batch size and input length leaves them."""
    rng = random.Random(0)
    for number in range(count):
        batch, length = 1 + number // 100, 1 + number % 100
        own = varied(result, rng)
        own["timing"] |= {"batch_size": batch, "input_length": length}
        own["config"] |= {"batch_size": batch, "input_length": length}
        own["config_hash"] = f"{number:064x}"
        place = directory / str(number)
        (place / ".hydra").mkdir(parents=True)
        overrides = f"- quant=dynamic\n- batch_size={batch}\n- input_length={length}\n"
        (place / ".hydra" / "overrides.yaml").write_text(overrides)
        (place / "result.json").write_text(json.dumps(own, indent=2))
        (place / "optbench.log").touch()


def measured(directory: Path, write: bool) -> dict[str, float]:
    """Seconds of reading and of writing, and peak memory, of this process."""
    begun = time.perf_counter()
    found = aggregate([directory])
    read = time.perf_counter()
    if write:
        write_all(found, directory)
    return {
        "points": len(found.points),
        "read_seconds": read - begun,
        "write_seconds": time.perf_counter() - read,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def measured_apart(directory: Path, write: bool) -> dict[str, float]:
    """The same in a fresh process, so that the peak memory is its own."""
    command = [sys.executable, __file__, "--measure", str(directory), *(["--write"] if write else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> int:
    """Print the figures; exit 1 if the goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--result", type=Path, help="a result.json to start from")
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--measure", type=Path, help="only read what lies there, and print JSON")
    parser.add_argument("--write", action="store_true", help="with --measure: write the tables too")
    chosen = parser.parse_args()
    if chosen.measure is not None:
        print(json.dumps(measured(chosen.measure, chosen.write)))
        return 0
    if chosen.result is None:
        parser.error("--result must name a result.json to start from")
    with tempfile.TemporaryDirectory() as place:
        make(Path(place), json.loads(chosen.result.read_text()), chosen.runs)
        read, written = (measured_apart(Path(place), write) for write in (False, True))
    print(f"points              {read['points']:10,.0f}")
    print(f"read                {read['read_seconds']:10.2f} s, peak {read['peak_bytes'] / 1e6:,.0f} MB")
    written_peak = f"peak {written['peak_bytes'] / 1e6:,.0f} MB"
    print(f"and four files      {written['write_seconds']:10.2f} s, {written_peak}")
    seconds = written["read_seconds"] + written["write_seconds"]
    passed = read["read_seconds"] < GOAL_SECONDS and written["peak_bytes"] < GOAL_BYTES
    print(f"all                 {seconds:10.2f} s")
    print(f"goal: read in {GOAL_SECONDS:g} s, {GOAL_BYTES / 1e9:g} GB: {'PASS' if passed else 'FAIL'}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
