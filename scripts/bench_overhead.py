"""What the harness adds to a forward call, against `session.run` in a bare loop, interleaved.

Goal: less than 20 microseconds per forward. Prints the mean difference with a 95% interval over rounds.
The same session and the same inputs are used by both, in one process, in random order.
"""

import argparse
import math
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy import special

from optbench.artifacts.store import ArtifactStore
from optbench.backends.onnxruntime import OnnxRuntime
from optbench.checkpoint import read_spec
from optbench.components import LoadOptions, WaitPolicy
from optbench.locations import cache_directory, package_file
from optbench.processes.worker import Assignment, VariantHost
from optbench.rows.ragged import save_table

GOAL_MICROSECONDS = 20


def prepared_host(threads: int, place: Path) -> VariantHost:
    """The demo model in ONNX Runtime, loaded by the harness, with eight inputs of 1 x 32 tokens."""
    spec = read_spec(package_file("demo/tiny-sentiment"))
    store = ArtifactStore(cache_directory(), place / "log")
    artifact = store.exported(store.checkpoint(spec), "text-classification", None)
    rng = np.random.default_rng(0)
    feeds = [
        {
            "input_ids": rng.integers(5, 4000, (1, 32)),
            "attention_mask": np.ones((1, 32), np.int64),
            "token_type_ids": np.zeros((1, 32), np.int64),
        }
        for _ in range(8)
    ]
    save_table(place / "feeds.npz", feeds)
    options = LoadOptions(threads, WaitPolicy.runtime, "default", "AutoModelForSequenceClassification")
    host = VariantHost(Assignment(OnnxRuntime(), artifact, options, place / "feeds.npz", {}))
    host.load()
    return host


def bare_seconds(host: VariantHost, calls: int) -> float:
    """Seconds per call of `session.run` in a loop that does nothing else."""
    session = host._loaded()._session  # type: ignore[attr-defined]
    bound = [host._bound[number % len(host._bound)] for number in range(calls)]
    run = session.run
    begun = time.perf_counter_ns()
    for feed in bound:
        run(None, feed)
    return (time.perf_counter_ns() - begun) / calls / 1e9


def recorded_seconds(host: VariantHost, calls: int) -> float:
    """Seconds per call as the harness records them."""
    return sum(host.time_block(0, 0, calls).nanoseconds) / calls / 1e9


def main() -> int:
    """Print the figures; exit 1 if the goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--calls", type=int, default=50)
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    rng = random.Random(0)
    differences: list[float] = []
    bare: list[float] = []
    with tempfile.TemporaryDirectory() as place:
        host = prepared_host(chosen.threads, Path(place))
        bare_seconds(host, 500)
        for _ in range(chosen.rounds):
            order = [bare_seconds, recorded_seconds]
            rng.shuffle(order)
            found = {measure: measure(host, chosen.calls) for measure in order}
            differences.append(1e6 * (found[recorded_seconds] - found[bare_seconds]))
            bare.append(1e6 * found[bare_seconds])
    mean, spread = statistics.fmean(differences), statistics.stdev(differences)
    half = float(special.stdtrit(chosen.rounds - 1, 0.975)) * spread / math.sqrt(chosen.rounds)
    print(f"bare session.run          {statistics.median(bare):8.1f} us per call (median of rounds)")
    interval = f"95% interval {mean - half:+.2f} to {mean + half:+.2f}"
    print(f"harness minus bare        {mean:+8.2f} us per call, {interval}")
    passed = mean + half < GOAL_MICROSECONDS
    print(f"goal: below {GOAL_MICROSECONDS} us      {'PASS' if passed else 'FAIL'}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
