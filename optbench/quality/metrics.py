"""Metrics by name: those built in, and any module of the `evaluate` library.

A metric that the data leave undefined has no value but a reason; it is never NaN.

An `evaluate` module is `evaluate:NAME[@KEY][@higher|@lower]`, or its path without the prefix: NAME
is a directory, a .py file or a hub name, KEY chooses one of several results, and `@lower` says that
smaller is better (larger is assumed), as in `evaluate:rouge@rougeL` or `./my_metrics/wer@lower`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from optbench.errors import ConfigError, DataError
from optbench.hub import looks_like_path, require_hub
from optbench.quality.paired import FloatArray, WeightedStatistic, distinct_rows

Kind = Literal["classification", "regression"]
Column = NDArray[Any]
Rows = Sequence[Any] | Column
PREFIX = "evaluate:"


@dataclass(frozen=True)
class Score:
    """The value of a metric, or null and the reason."""

    value: float | None
    reason: str | None = None


@dataclass(frozen=True)
class Metric:
    """One metric: its name, its direction, `source` (the definition), and how it is computed.

    kind: what references and predictions must be; null where the metric takes either.
    weighted: (weights [resamples, rows], references [rows], predictions [rows]) to [resamples],
        each row as often as its weight says; NaN where undefined.
    per_row: (references, predictions) to [rows], where the metric is the mean over rows; bool
        where a row is either right or wrong.
    resamples: how often a bootstrap may ask. is_share: whether differences are told in points.
    """

    name: str
    higher_is_better: bool
    source: str
    kind: Kind | None
    weighted: WeightedStatistic
    undefined: str = "it is 0/0"
    per_row: Callable[..., Column] | None = None
    resamples: int = 10_000
    is_share: bool = True

    def compute(self, references: Rows, predictions: Rows) -> Score:
        """The metric on all rows. Raises DataError for unfit rows, ConfigError as `weighted`."""
        columns = [rows_of(references, self.kind), rows_of(predictions, self.kind)]
        if len(columns[0]) != len(columns[1]):
            found = f"{len(columns[1])} predictions for {len(columns[0])} references"
            raise DataError(f"{self.name} needs a prediction for each reference, got {found}")
        if bad := sum(int(np.sum(~np.isfinite(c))) for c in columns if c.dtype.kind == "f"):
            return Score(None, f"{self.name} is undefined: {bad} values are not finite")
        weights = np.ones(len(columns[0]))
        if self.kind == "classification":
            columns, weights = distinct_rows(*columns)
        value = float(self.weighted(weights[None, :], *columns)[0])
        if math.isfinite(value):
            return Score(value)
        return Score(None, f"{self.name} is undefined: {self.undefined}")


def rows_of(values: Rows, kind: Kind | None) -> Column:
    """References or predictions as an array [rows]: labels int64 or str, numbers float64.

    Raises DataError without rows, or for values that are neither labels nor (regression) numbers.
    """
    array = np.asarray(values)
    if array.ndim != 1 or not len(array):
        raise DataError(f"a metric needs at least one value in a flat list, got shape {array.shape}")
    if kind is None:
        return array
    if kind == "regression" and array.dtype.kind in "biuf":
        return array.astype(np.float64)
    if kind == "classification" and array.dtype.kind in "biuU":
        return array if array.dtype.kind == "U" else array.astype(np.int64)
    needed = "numbers" if kind == "regression" else "labels (whole numbers or strings)"
    raise DataError(f"{kind} metrics need {needed}, got {array.dtype} such as {array[0]!r}")


class ClassCounts(NamedTuple):
    """Rows of each class [resamples, classes], and the labels [classes] in ascending order."""

    right: FloatArray
    predicted: FloatArray
    actual: FloatArray
    labels: Column


def class_counts(weights: FloatArray, references: Column, predictions: Column) -> ClassCounts:
    """Rows per class of each resample; the classes are all labels on either side."""
    labels = np.unique(np.concatenate([references, predictions]))
    actual = (references[:, None] == labels).astype(np.float64)
    predicted = (predictions[:, None] == labels).astype(np.float64)
    return ClassCounts(weights @ (actual * predicted), weights @ predicted, weights @ actual, labels)


def weighted_ranks(weights: FloatArray, values: Column) -> FloatArray:
    """Midranks [resamples, rows] of `values` [rows], each occurring as often as its weight says."""
    order = np.argsort(values, kind="stable")
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    tied = np.add.reduceat(weights[:, order], np.cumsum(sizes) - sizes, axis=1)
    return np.asarray((np.cumsum(tied, axis=1) - tied / 2 + 0.5)[:, group])


def _ratio(numerator: FloatArray, denominator: FloatArray, otherwise: float = 0.0) -> FloatArray:
    result = np.full(denominator.shape, otherwise)
    np.divide(numerator, denominator, out=result, where=denominator > 0)
    return result


def _class_mean(values: FloatArray, counts: ClassCounts) -> FloatArray:
    present = (counts.actual + counts.predicted > 0).astype(np.float64)
    return _ratio(np.sum(values * present, axis=1), np.sum(present, axis=1), math.nan)


def _f1(counts: ClassCounts) -> FloatArray:
    return _ratio(2 * counts.right, counts.predicted + counts.actual)


def _f1_binary(counts: ClassCounts) -> FloatArray:
    if found := [str(label) for label in counts.labels if label not in (0, 1)]:
        raise ConfigError(
            "quality.metrics: f1 needs the labels 0 and 1, of which 1 is the positive one, found "
            f"{', '.join(found[:5])}; use f1_macro or f1_weighted"
        )
    right, predicted, actual = (side[:, counts.labels == 1].sum(axis=1) for side in counts[:3])
    return _ratio(2 * right, predicted + actual, math.nan)


def _f1_weighted(counts: ClassCounts) -> FloatArray:
    return _ratio(np.sum(_f1(counts) * counts.actual, axis=1), np.sum(counts.actual, axis=1), math.nan)


def _matthews(counts: ClassCounts) -> FloatArray:
    rows = np.sum(counts.actual, axis=1)
    chance = np.sum(counts.predicted * counts.actual, axis=1)
    spreads = [rows**2 - np.sum(side**2, axis=1) for side in (counts.predicted, counts.actual)]
    return _ratio(np.sum(counts.right, axis=1) * rows - chance, np.sqrt(spreads[0] * spreads[1]))


def _correlation(weights: FloatArray, x: FloatArray, y: FloatArray) -> FloatArray:
    share = weights / np.sum(weights, axis=1, keepdims=True)
    centered = [side - np.sum(share * side, axis=1, keepdims=True) for side in (x, y)]
    spreads = [np.sqrt(np.sum(share * side**2, axis=1)) for side in centered]
    for spread, side in zip(spreads, (x, y), strict=True):
        spread[spread <= 1e-13 * np.max(np.abs(side))] = 0.0  # rounding of equal values
    covariance = np.sum(share * centered[0] * centered[1], axis=1)
    return np.clip(_ratio(covariance, spreads[0] * spreads[1], math.nan), -1.0, 1.0)


def _pearson(weights: FloatArray, *columns: Column) -> FloatArray:
    return _correlation(weights, *(column[None, :] for column in columns))


def _spearman(weights: FloatArray, *columns: Column) -> FloatArray:
    return _correlation(weights, *(weighted_ranks(weights, column) for column in columns))


def _by_class(
    name: str, source: str, formula: Callable[[ClassCounts], FloatArray], undefined: str = Metric.undefined
) -> Metric:
    def weighted(weights: FloatArray, *columns: Column) -> FloatArray:
        return formula(class_counts(weights, *columns))

    return Metric(name, True, source, "classification", weighted, undefined)


def _by_row(name: str, source: str, kind: Kind, per_row: Callable[..., Column]) -> Metric:
    def weighted(weights: FloatArray, *columns: Column) -> FloatArray:
        return np.asarray(weights @ per_row(*columns) / np.sum(weights, axis=1))

    right = kind == "classification"
    return Metric(name, right, source, kind, weighted, per_row=per_row, is_share=right)


_NO_ONE = "no row has label 1 and none is predicted to have it"
_EQUAL = "the references or the predictions are all equal"
_BUILT_IN = (
    _by_row("accuracy", "share of rows with prediction = reference", "classification", np.equal),
    _by_class("f1", "F1 = 2 TP / (2 TP + FP + FN) of label 1", _f1_binary, _NO_ONE),
    _by_class("f1_macro", "mean of F1 over classes", lambda counts: _class_mean(_f1(counts), counts)),
    _by_class("f1_weighted", "mean over rows of the F1 of their class", _f1_weighted),
    _by_class(
        "precision_macro",
        "mean over classes of TP / (TP + FP), 0 where a class is never predicted",
        lambda c: _class_mean(_ratio(c.right, c.predicted), c),
    ),
    _by_class(
        "recall_macro",
        "mean over classes of TP / (TP + FN), 0 where a class never occurs",
        lambda c: _class_mean(_ratio(c.right, c.actual), c),
    ),
    _by_class("matthews_correlation", "R_K of Gorodkin (2004), 0 where it is 0/0", _matthews),
    Metric("pearson", True, "Pearson's r", "regression", _pearson, _EQUAL, is_share=False),
    Metric("spearmanr", True, "Pearson's r of the midranks", "regression", _spearman, _EQUAL, is_share=False),
    _by_row("mse", "mean squared error", "regression", lambda x, y: np.square(x - y)),
    _by_row("mae", "mean absolute error", "regression", lambda x, y: np.abs(x - y)),
)
METRICS = {metric.name: metric for metric in _BUILT_IN}
"""The built-in metrics; the class metrics equal scikit-learn's with zero_division=0."""


def resolve_metric(name: str) -> Metric:
    """The built-in metric or `evaluate` module of that name (syntax: top of this module).

    Raises ConfigError for an unknown name, DataError for a module that is missing or does not load.
    """
    if name in METRICS:
        return METRICS[name]
    if name.startswith(PREFIX) or looks_like_path(name.partition("@")[0]):
        return _evaluate_metric(name)
    close = " or ".join(get_close_matches(name, METRICS))
    hint = f" (did you mean {close}?)" if close else ""
    raise ConfigError(
        f"quality.metrics must name known metrics, got {name!r}{hint}; known: {', '.join(METRICS)}; "
        f"a module of the evaluate library is {PREFIX}{name} or a path"
    )


def _evaluate_metric(name: str) -> Metric:
    target, *options = name.removeprefix(PREFIX).split("@")
    keys = [option for option in options if option not in ("higher", "lower")]
    if len(keys) > 1 or not target:
        wanted = f"{PREFIX}NAME[@KEY][@higher|@lower]"
        raise ConfigError(f"quality.metrics must read {wanted}, got {name!r}")
    location = _module_location(target, name)
    import evaluate  # after the checks: it takes seconds

    try:
        module = evaluate.load(location, keep_in_memory=True)
    except Exception as error:  # it runs the module's code
        raise DataError(
            f"quality.metrics={name}: evaluate cannot load {location}: {error}; in a module of "
            "your own, write one import per line"
        ) from error

    def weighted(weights: FloatArray, *columns: Column) -> FloatArray:
        resampled = ([column.repeat(row.astype(int)) for column in columns] for row in weights)
        return np.array([_module_value(module, name, keys, *rows) for rows in resampled])

    title, higher = ".".join([Path(target).stem, *keys]), "lower" not in options
    return Metric(title, higher, location, None, weighted, "it is not finite", resamples=1000, is_share=False)


def require_module(name: str) -> None:
    """Raise DataError if a metric's module is given by its path and is not there."""
    target = name.removeprefix(PREFIX).partition("@")[0]
    if name not in METRICS and target and looks_like_path(target):
        _module_location(target, name)


def _module_location(target: str, name: str) -> str:
    if not looks_like_path(target):
        if cached := _cached_module(target):
            return str(cached)
        require_hub(f"quality.metrics={name}")
        return target
    path = Path(target).expanduser().resolve()
    file = path / f"{path.name}.py" if path.is_dir() else path
    if file.suffix == ".py" and file.is_file():
        return str(file)
    raise DataError(
        f"quality.metrics={name} must be a .py file, or a directory that holds a .py file of its "
        f"own name; there is no {file.with_suffix('.py')}"
    )


def _cached_module(target: str) -> Path | None:
    from huggingface_hub.constants import HF_HOME

    root = os.environ.get("HF_MODULES_CACHE", f"{HF_HOME}/modules")
    folder = target.replace("/", "--") if "/" in target else f"evaluate-metric--{target}"
    files = Path(root, "evaluate_modules", "metrics", folder).glob(f"*/{Path(target).name}.py")
    return max(files, key=lambda file: file.stat().st_mtime, default=None)


def _module_value(module: Any, name: str, keys: list[str], *columns: Column) -> float:
    references, predictions = (column.tolist() for column in columns)
    try:
        found = module.compute(references=references, predictions=predictions) or {}
    except Exception as error:  # the module's own code
        raise DataError(f"quality.metrics={name} could not be computed: {error}") from error
    numbers = {k: float(v) for k, v in found.items() if isinstance(v, int | float | np.number)}
    wanted = keys or [module.name] * (module.name in numbers) or list(numbers)
    if len(wanted) == 1 and wanted[0] in numbers:
        return numbers[wanted[0]]
    raise ConfigError(
        f"quality.metrics={name} needs one number, the module gives {', '.join(found) or 'none'}; "
        f"choose one with {name.partition('@')[0]}@KEY"
    )
