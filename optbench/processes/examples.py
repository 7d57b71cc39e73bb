"""The process that owns the labelled rows: loads, checks and tokenizes them, and scores the answers.

It imports no torch (USE_TORCH=0), so it is up in about a second and a half.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optbench.components import Dataset, Examples, Kind, ModelSpec, Task
from optbench.errors import ConfigError, DataError
from optbench.processes.outputs import Evaluation, load_outputs
from optbench.quality.evaluation import Answers, Labelled, compare_variants
from optbench.quality.metrics import METRICS, Metric, resolve_metric
from optbench.quality.row_metric import RowMetric
from optbench.records import DatasetRecord, QualityResult, replace
from optbench.rows.calibration_rows import DrawnRows, calibration_notes, draw_calibration_rows, row_keys
from optbench.rows.columns import why_unlabelled
from optbench.rows.ragged import save_table

ENVIRONMENT = {"USE_TORCH": "0", "USE_TF": "0", "USE_FLAX": "0"}
FEED_COUNT = 8
"""Different inputs that timed calls walk through, so that no single one is timed for ever."""


@dataclass(frozen=True)
class Opened:
    """What the rows turned out to be. unlabelled: why they have no labels; null where they have."""

    record: DatasetRecord
    kind: Kind
    notes: list[str]
    metrics: list[str]
    unlabelled: str | None = None


class ExampleHost:
    """Lives in its own process; `open` first, the rest in any order."""

    def __init__(self, task: Task, dataset: Dataset, spec: ModelSpec, seed: int) -> None:
        self._task = task
        self._dataset = dataset
        self._spec = spec
        self._seed = seed
        self._examples: Examples | None = None
        self._evaluated: Any = None
        self._left: Any = None
        self._available = 0

    def open(self, max_samples: int | None, metrics: Sequence[str] | None, skip: int = 0) -> Opened:
        """Load the evaluation rows in a seeded order; without `metrics` the task's own are taken.

        skip: so many rows of that order are left out first.

        Raises DataError, ConfigError.
        """
        dataset = self._dataset
        rows, read = self._draw(max_samples, skip)
        examples = self._task.examples(self._spec, dataset, rows)
        metrics = examples.default_metrics() if metrics is None else metrics
        check_metrics(metrics, examples)
        self._examples, self._evaluated = examples, rows
        examples.notes += read
        if examples.failed:
            first = next(iter(examples.failed.values()))
            count = len(examples.failed)
            examples.notes.append(f"{count} of {len(rows)} rows could not be used; the first: {first}")
        record = DatasetRecord(
            path=dataset.path,
            name=getattr(dataset, "name", None),
            split=dataset.eval_split,
            rows=len(examples.texts()),
            rows_available=self._available,
            fingerprint=fingerprint(examples, row_keys(rows, inputs_of(examples.columns))),
            columns=examples.columns,
            labels=list(self._spec.labels) if examples.kind == "classification" else None,
        )
        unlabelled = why_unlabelled(examples.notes) if examples.references() is None else None
        return Opened(record, examples.kind, examples.notes, list(metrics), unlabelled)

    def _draw(self, max_samples: int | None, skip: int) -> tuple[Any, list[str]]:
        """The evaluated rows in a seeded order, and a note if they were streamed."""
        dataset = self._dataset
        notes: list[str] = []
        if not dataset.streaming:
            rows = dataset.load(dataset.eval_split)
            available = len(rows)
        elif max_samples is None:
            raise ConfigError("quality.max_eval_samples must be set with dataset.streaming=true, got null")
        else:
            rows, available = dataset.sample(dataset.eval_split, max_samples, self._seed)
            notes.append(f"the rows were drawn from a stream of {available:,} rows, read once")
        if max_samples is not None and max_samples > available:
            raise ConfigError(
                f"quality.max_eval_samples must not exceed the {available} rows of {dataset.path} "
                f"split {dataset.eval_split}, got {max_samples}; lower it or leave it out"
            )
        end = skip + (max_samples or max(1, available - skip))
        if end > available:
            raise ConfigError(
                f"quality.skip_samples must leave rows to evaluate, got {skip} of the {available} rows of "
                f"{dataset.path} split {dataset.eval_split}; lower it or quality.max_eval_samples"
            )
        shuffled = rows.shuffle(seed=self._seed, keep_in_memory=True)  # else it writes beside the rows
        self._available, self._left = available, shuffled.select([*range(skip), *range(end, len(shuffled))])
        return shuffled.select(range(skip, end)), notes

    def write_rows(self, path: Path) -> None:
        """Save the encoded rows, unpadded, for the workers."""
        save_table(path, self._opened().encoded())

    def write_calibration(self, path: Path, count: int) -> DrawnRows:
        """Save the encoded inputs of `count` seeded rows that are not evaluated, unpadded, at full length.

        They come from dataset.calibration_split, or from what quality.max_eval_samples leaves of the
        evaluation split. Raises ConfigError, DataError.
        """
        columns = self._opened().columns
        split, rows = self._calibration_source(count)
        inputs = inputs_of(columns)
        if missing := [name for name in inputs if name not in rows.features]:
            raise DataError(
                f"dataset.calibration_split={split} must have the columns that are evaluated, and lacks "
                f"{', '.join(missing)}; it has {', '.join(rows.features)}"
            )
        evaluated = set(row_keys(self._evaluated, inputs))
        drawn = draw_calibration_rows(evaluated, row_keys(rows, inputs), count, seed=self._seed, split=split)
        examples = unlabelled(self._task, self._spec, self._dataset, rows.select(drawn.rows), columns)
        feeds = [
            {name: array for name, array in feed.items() if not name.startswith("_")}
            for feed in examples.encoded()
        ]
        save_table(path, feeds)
        notes = calibration_notes(drawn, split, count, examples.failed, len(feeds))
        usable = len(drawn.rows) - len(examples.failed)
        return DrawnRows(usable, drawn.rows_dropped, drawn.fingerprint, split, notes)

    def _calibration_source(self, count: int) -> tuple[str, Any]:
        """Name and rows of the split that calibration draws from; of a stream as many as may be needed."""
        dataset = self._dataset
        split = dataset.calibration_split
        own = split is not None and split != dataset.eval_split
        if not own and self._available == len(self._evaluated):
            raise ConfigError(
                f"dataset.calibration_split must name a split other than {dataset.eval_split}, whose "
                f"{len(self._evaluated)} rows are all evaluated, got {split or 'null'}; set "
                "dataset.calibration_split=train, or evaluate fewer with quality.max_eval_samples="
            )
        split = split or dataset.eval_split
        if dataset.streaming:  # so many that the evaluated ones among them can be spared
            return split, dataset.sample(split, count + len(self._evaluated), self._seed + 1)[0]
        return split, dataset.load(split) if own else self._left

    def write_feeds(self, path: Path, shape: tuple[int, int], from_rows: bool) -> None:
        """Save the inputs of the timed calls: (batch, length) arrays, random or cut from the rows."""
        seeds = [self._seed + number for number in range(FEED_COUNT)]
        if from_rows:
            feeds = [self._opened().cut(shape, seed) for seed in seeds]
        else:
            feeds = [self._task.random_feed(self._spec, shape, seed) for seed in seeds]
        save_table(path, feeds)

    def raw_batches(self, batch_size: int) -> list[list[Any]]:
        """Rows as they are, `batch_size` in each of the batches that whole answers are timed on."""
        import numpy as np

        rows = self._opened().raw()
        drawn = (np.random.default_rng(self._seed + number) for number in range(FEED_COUNT))
        return [[rows[row] for row in one.integers(len(rows), size=batch_size)] for one in drawn]

    def padding(self) -> dict[str, int]:
        """What fills the end of shorter rows in a batch, by input name."""
        return self._task.padding(self._spec)

    def score(
        self,
        outputs: dict[str, Evaluation],
        parts: int,
        metrics: Sequence[str],
        target: Path,
        comparisons: int = 1,
    ) -> QualityResult:
        """Compare the variants' outputs on all rows; writes the predictions, one row each."""
        examples = self._opened()
        found = {name: load_outputs(plan, parts) for name, plan in outputs.items()}
        answers = {name: answers_of(examples, own, found["baseline"]) for name, own in found.items()}
        rows = Labelled(
            examples.kind, examples.references(), examples.texts(), examples.groups(), examples.metrics
        )
        predictions = {name: answer.predictions for name, answer in answers.items()}
        write_predictions(target, rows.texts, rows.references, predictions)
        chosen = [metric_of(name, examples) for name in metrics]
        sides = (answers["baseline"], answers["candidate"])
        result = compare_variants(rows, *sides, chosen, seed=self._seed, comparisons=comparisons)
        return replace(result, notes=[*result.notes, *examples.notes], failed_rows=len(examples.failed))

    def _opened(self) -> Examples:
        if self._examples is None:
            raise DataError("rows are needed, but no dataset was opened")
        return self._examples


def inputs_of(columns: dict[str, str]) -> list[str]:
    """The columns that the model reads."""
    return [name for role, name in columns.items() if role != "reference"]


def unlabelled(task: Task, spec: ModelSpec, dataset: Dataset, rows: Any, columns: dict[str, str]) -> Examples:
    """Rows bound to a task without their right answers, which calibration needs not have."""
    inputs = inputs_of(columns)
    twin = copy.copy(dataset)
    twin.ref_keys = []
    return task.examples(spec, twin, rows.select_columns([name for name in rows.features if name in inputs]))


def answers_of(
    examples: Examples, outputs: Sequence[dict[str, Any]], baseline: Sequence[dict[str, Any]]
) -> Answers:
    """What a variant answered, also against the baseline's answers."""
    return Answers(
        examples.predictions(outputs),
        {**examples.statistics(outputs), **examples.against(outputs, baseline)},
        examples.logits(outputs),
        examples.vectors(outputs),
    )


def metric_of(name: str, examples: Examples) -> Metric | RowMetric:
    """A metric of the task's own, or one that needs labels or numbers only. Raises as `resolve_metric`."""
    return examples.metrics[name] if name in examples.metrics else resolve_metric(name)


def check_metrics(names: Sequence[str], examples: Examples) -> None:
    """Raise ConfigError if a metric is unknown or does not fit what the rows hold."""
    if examples.references() is None:
        return
    for name in names:
        if examples.kind == "structured" and name not in examples.metrics:
            raise ConfigError(
                f"quality.metrics must name metrics of this task, got {name}; it has "
                f"{', '.join(examples.metrics)}"
            )
        metric = metric_of(name, examples)
        if isinstance(metric, Metric) and metric.kind not in (examples.kind, None):
            fitting = [known for known, one in METRICS.items() if one.kind == examples.kind]
            raise ConfigError(
                f"quality.metrics={name} is a {metric.kind} metric, and the task is {examples.kind}; "
                f"choose among {', '.join([*fitting, *examples.metrics])}"
            )


def fingerprint(examples: Examples, keys: Sequence[str]) -> str:
    """SHA-256 of the rows' texts and references and of what the model reads of them (`keys`), in order."""
    digest = hashlib.sha256("\n".join(keys).encode())
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
    columns["reference"] = [None] * len(texts) if references is None else storable(references)
    columns.update({name: storable(values) for name, values in answers.items()})
    pq.write_table(pa.table(columns), target)


def storable(values: Sequence[Any]) -> list[Any]:
    """Labels and numbers as they are, tuples as lists, anything else as JSON."""
    if all(isinstance(value, str | int | float) or value is None for value in values):
        return list(values)
    if all(isinstance(value, tuple) for value in values):
        return [list(value) for value in values]
    return [json.dumps(value) for value in values]
