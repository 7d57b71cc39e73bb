"""The process that owns the labelled rows: loads, checks and tokenizes them, and scores the answers.

It imports no torch (USE_TORCH=0), so it is up in about a second and a half.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optbench.components import Dataset, Examples, Kind, ModelSpec, Task
from optbench.errors import ConfigError, DataError
from optbench.quality.compare import compare_predictions
from optbench.quality.metrics import resolve_metric
from optbench.ragged import load_table, save_table
from optbench.records import DatasetRecord, QualityResult, replace

ENVIRONMENT = {"USE_TORCH": "0", "USE_TF": "0", "USE_FLAX": "0"}
FEED_COUNT = 8
"""Different inputs that timed calls walk through, so that no single one is timed for ever."""


@dataclass(frozen=True)
class Opened:
    """What the rows turned out to be."""

    record: DatasetRecord
    kind: Kind
    notes: list[str]


class ExampleHost:
    """Lives in its own process; `open` first, the rest in any order."""

    def __init__(self, task: Task, dataset: Dataset, spec: ModelSpec, seed: int) -> None:
        self._task = task
        self._dataset = dataset
        self._spec = spec
        self._seed = seed
        self._examples: Examples | None = None

    def open(self, max_samples: int | None, metrics: Sequence[str]) -> Opened:
        """Load the evaluation rows in a seeded order. Raises DataError, ConfigError."""
        dataset = self._dataset
        rows = dataset.load(dataset.eval_split)
        available = len(rows)
        if max_samples is not None and max_samples > available:
            raise ConfigError(
                f"quality.max_eval_samples must not exceed the {available} rows of {dataset.path} "
                f"split {dataset.eval_split}, got {max_samples}; lower it or leave it out"
            )
        rows = rows.shuffle(seed=self._seed).select(range(max_samples or available))
        examples = self._task.examples(self._spec, dataset, rows)
        check_metrics(metrics, examples)
        self._examples = examples
        record = DatasetRecord(
            path=dataset.path,
            name=getattr(dataset, "name", None),
            split=dataset.eval_split,
            rows=len(rows),
            rows_available=available,
            fingerprint=fingerprint(examples),
            columns=examples.columns,
            labels=list(self._spec.labels) if examples.kind == "classification" else None,
        )
        return Opened(record, examples.kind, examples.notes)

    def write_rows(self, path: Path) -> None:
        """Save the encoded rows, unpadded, for the workers."""
        save_table(path, self._opened().encoded())

    def write_feeds(self, path: Path, shape: tuple[int, int], from_rows: bool) -> None:
        """Save the inputs of the timed calls: (batch, length) arrays, random or cut from the rows."""
        seeds = [self._seed + number for number in range(FEED_COUNT)]
        if from_rows:
            feeds = [self._opened().cut(shape, seed) for seed in seeds]
        else:
            feeds = [self._task.random_feed(self._spec, shape, seed) for seed in seeds]
        save_table(path, feeds)

    def padding(self) -> dict[str, int]:
        """What fills the end of shorter rows in a batch, by input name."""
        return self._task.padding(self._spec)

    def score(self, outputs: dict[str, Path], metrics: Sequence[str], target: Path) -> QualityResult:
        """Compare the variants' outputs on all rows; writes the predictions, one row each."""
        examples = self._opened()
        answers = {name: examples.predictions(load_table(path)) for name, path in outputs.items()}
        references = examples.references()
        write_predictions(target, examples.texts(), references, answers)
        result = compare_predictions(
            references,
            answers["baseline"],
            answers["candidate"],
            [resolve_metric(name) for name in metrics],
            examples.kind,
            seed=self._seed,
        )
        return replace(result, notes=[*result.notes, *examples.notes])

    def _opened(self) -> Examples:
        if self._examples is None:
            raise DataError("rows are needed, but no dataset was opened")
        return self._examples


def check_metrics(names: Sequence[str], examples: Examples) -> None:
    """Raise ConfigError if a metric is unknown or does not fit what the rows hold."""
    if examples.references() is None:
        return
    for name in names:
        metric = resolve_metric(name)
        if metric.kind not in (examples.kind, None):
            raise ConfigError(
                f"quality.metrics={name} is a {metric.kind} metric, and the task is "
                f"{examples.kind}; choose another or set task.is_regression"
            )


def fingerprint(examples: Examples) -> str:
    """SHA-256 of the rows' texts and references, in order."""
    digest = hashlib.sha256()
    references = examples.references()
    for number, text in enumerate(examples.texts()):
        answer = None if references is None else references[number]
        digest.update(json.dumps([text, answer]).encode())
    return digest.hexdigest()


def write_predictions(
    target: Path, texts: list[str], references: list[Any] | None, answers: dict[str, list[Any]]
) -> None:
    """One parquet row per example: text, reference (null without labels), and each answer."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, Any] = {"row": list(range(len(texts))), "text": texts}
    columns["reference"] = references or [None] * len(texts)
    columns.update(answers)
    pq.write_table(pa.table(columns), target)
