"""Rows evaluated per second, against a `transformers.pipeline` loop at its best batch size, interleaved.

Goal: 1.5 times the pipeline's, and never fewer. Both tokenize and answer the same rows of the demo's data (or
of `--rows`) in PyTorch on the same cores. The bare forwards over tokens made beforehand, one row at a time
with a thread for each core, are shown beside them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from scipy import special

from optbench.artifacts.store import ArtifactStore
from optbench.backends.pytorch import PyTorch
from optbench.checkpoint import read_spec
from optbench.components import DataKeys, LoadOptions, WaitPolicy
from optbench.datasets.labelled import LabelledDataset
from optbench.environment import available_cores
from optbench.locations import cache_directory, package_file
from optbench.processes.child import Child, start
from optbench.processes.crew import Crew, Templates
from optbench.processes.examples import ENVIRONMENT
from optbench.processes.group import WorkerGroup
from optbench.processes.outputs import Evaluation
from optbench.processes.worker import Assignment
from optbench.stages.answering import EVALUATION_BATCH
from optbench.tasks.text_classification import TextClassification

GOAL = 1.5
BATCH_SIZES = (1, 8, 32)


class Ours:
    """The dataset process and the workers of a run, as a run uses them."""

    def __init__(self, model: Path, rows: Path, place: Path, stack: contextlib.ExitStack) -> None:
        self.place = place
        self.task = TextClassification()
        spec = read_spec(model)
        log = place / "log"
        dataset = LabelledDataset(
            path=str(rows), data_keys=DataKeys(primary="text"), ref_keys=["label"], eval_split="test"
        )
        self.examples: Child = start(
            "dataset",
            "optbench.processes.examples:ExampleHost",
            self.task,
            dataset,
            spec,
            0,
            environment=ENVIRONMENT,
            log=log,
        )
        stack.callback(self.examples.close)
        self.examples.receive()
        self.rows = self.examples.call("open", None, None).record.rows
        self.padding = self.examples.call("padding")
        self.examples.call("write_feeds", place / "feeds.npz", (1, 32), False)
        templates = Templates(log)
        stack.callback(templates.close)
        backend = PyTorch()
        artifact = ArtifactStore(cache_directory(), log).checkpoint(spec)
        options = LoadOptions(1, WaitPolicy.runtime, "default", self.task.model_class)
        assignment = Assignment(backend, artifact, options, place / "feeds.npz", {})
        crew = Crew({"baseline": assignment}, templates, log, 600.0)
        self.group = WorkerGroup.of(available_cores(), lambda: crew.fresh("baseline"))
        stack.callback(self.group.close)

    def seconds(self) -> float:
        """Tokenize and answer all rows."""
        begun = time.perf_counter()
        self.examples.call("write_rows", self.place / "rows.npz")
        plan = Evaluation(
            self.task, self.place / "rows.npz", self.place / "out", EVALUATION_BATCH, self.padding
        )
        self.group.evaluate(plan)
        return time.perf_counter() - begun


class Theirs:
    """A transformers pipeline in this process, with a thread for each core."""

    def __init__(self, model: Path, rows: Path) -> None:
        import torch
        import transformers

        transformers.logging.set_verbosity_error()
        torch.set_num_threads(available_cores())
        lines = rows.read_text(encoding="utf-8").splitlines()
        self.texts = [json.loads(line)["text"] for line in lines]
        self.pipeline = transformers.pipeline("text-classification", model=str(model), device="cpu")
        self.model: Any = self.pipeline.model
        self.tokens = [self._encoded(text) for text in self.texts]
        self.torch = torch

    def seconds(self, batch_size: int) -> float:
        """Tokenize and answer all rows in batches of a size."""
        begun = time.perf_counter()
        for _ in self.pipeline(self.texts, batch_size=batch_size, truncation=True):
            pass
        return time.perf_counter() - begun

    def bare_seconds(self) -> float:
        """The forwards alone, one row each, over tokens made beforehand."""
        with self.torch.inference_mode():
            begun = time.perf_counter()
            for feed in self.tokens:
                self.model(**feed)
            return time.perf_counter() - begun

    def _encoded(self, text: str) -> Any:
        tokenizer = self.pipeline.tokenizer
        return tokenizer(text, return_tensors="pt", truncation=True)


def rounds(ways: dict[str, Callable[[], float]], count: int) -> Iterator[dict[str, float]]:
    """Seconds of every way in each round, in random order; the first round only warms up."""
    rng = random.Random(0)
    for number in range(count + 1):
        order = list(ways)
        rng.shuffle(order)
        found = {name: ways[name]() for name in order}
        if number:
            yield found


def main() -> int:
    """Print rows per second of each way, and the ratio with its interval; exit 1 if the goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=package_file("demo/tiny-sentiment"))
    parser.add_argument("--rows", type=Path, default=package_file("demo/data/sentiment-test.jsonl"))
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as place, contextlib.ExitStack() as stack:
        ours = Ours(chosen.model, chosen.rows, Path(place), stack)
        theirs = Theirs(chosen.model, chosen.rows)
        ways: dict[str, Callable[[], float]] = {
            "optbench": ours.seconds,
            "bare forwards": theirs.bare_seconds,
        }
        for size in BATCH_SIZES:
            ways[f"pipeline, batch {size}"] = lambda size=size: theirs.seconds(size)  # type: ignore[misc]
        measured = list(rounds(ways, chosen.rounds))
    medians = {name: statistics.median(found[name] for found in measured) for name in ways}
    for name, seconds in medians.items():
        print(f"{name:24} {ours.rows / seconds:8.0f} rows/s (median of {chosen.rounds} rounds)")
    best = min((name for name in ways if name.startswith("pipeline")), key=medians.__getitem__)
    logs = [math.log(found[best] / found["optbench"]) for found in measured]
    mean = statistics.fmean(logs)
    half = float(special.stdtrit(len(logs) - 1, 0.975)) * statistics.stdev(logs) / math.sqrt(len(logs))
    interval = f"95% interval {math.exp(mean - half):.2f} to {math.exp(mean + half):.2f}"
    print(f"optbench against {best}: {math.exp(mean):.2f} times the rows per second, {interval}")
    passed = math.exp(mean - half) >= GOAL
    print(f"goal: at least {GOAL}      {'PASS' if passed else 'FAIL'}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
