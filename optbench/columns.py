"""Which column is what: as configured, or guessed where only one reading is possible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from optbench.components import Dataset
from optbench.errors import DataError

REFERENCE_NAMES = ("label", "labels", "target", "score", "stars", "rating")
IGNORED_NAMES = ("id", "idx", "index", "source", "guid", "uid")


def text_columns(types: Mapping[str, str]) -> list[str]:
    """Names of the columns that hold strings and are not known to be something else."""
    return [
        name
        for name, kind in types.items()
        if kind == "string" and name.lower() not in (*IGNORED_NAMES, *REFERENCE_NAMES)
    ]


def resolve_columns(
    dataset: Dataset, types: Mapping[str, str], labels_needed: bool = False
) -> tuple[dict[str, str], list[str]]:
    """Columns by role ('primary', 'secondary', 'reference'), and notes on what was guessed.

    types: column name to kind: 'string', 'number', 'class' or 'other'. Raises DataError.
    """
    notes: list[str] = []
    columns: dict[str, str] = {}
    keys = dataset.data_keys
    if keys.primary is None:
        candidates = text_columns(types)
        if len(candidates) != 1 or keys.secondary is not None:
            raise DataError(
                "dataset.data_keys.primary must name the text column: it can be guessed only when "
                f"there is exactly one, and the columns are {describe(types)}; set it with "
                "dataset.data_keys.primary=NAME (and dataset.data_keys.secondary=NAME for pairs)"
            )
        columns["primary"] = candidates[0]
        notes.append(f"dataset.data_keys.primary was guessed: {candidates[0]}")
    else:
        columns["primary"] = require(keys.primary, "data_keys.primary", types)
    if keys.secondary is not None:
        columns["secondary"] = require(keys.secondary, "data_keys.secondary", types)
    if dataset.ref_keys:
        columns["reference"] = require(dataset.ref_keys[0], "ref_keys", types)
        return columns, notes
    candidates = [name for name in types if name.lower() in REFERENCE_NAMES]
    if len(candidates) == 1:
        columns["reference"] = candidates[0]
        notes.append(f"dataset.ref_keys was guessed: {candidates[0]}")
    elif candidates or labels_needed:
        raise DataError(
            "dataset.ref_keys must name the column with the right answers; the columns are "
            f"{describe(types)}; set it with dataset.ref_keys=[NAME]"
        )
    else:
        notes.append("the dataset has no labels: agreement is reported, metrics are not")
    return columns, notes


def require(name: str, key: str, types: Mapping[str, str]) -> str:
    """`name` if it is a column. Raises DataError that lists the columns."""
    if name not in types:
        raise DataError(f"dataset.{key}={name} is no column of the dataset; it has {describe(types)}")
    return name


def describe(types: Mapping[str, str]) -> str:
    """Column names with their kinds, for error messages."""
    return ", ".join(f"{name} ({kind})" for name, kind in types.items())


def align_labels(
    names: Sequence[str], model_labels: Sequence[str], given: Mapping[str, str]
) -> dict[str, int]:
    """Index of the model's output for each label name of the dataset.

    `given` maps dataset names to model names and goes first; then equal names, ignoring case. A model
    whose labels are the generic LABEL_0, LABEL_1 ... takes the dataset's order. Raises DataError.
    """
    index = {label.lower(): position for position, label in enumerate(model_labels)}
    wanted = {name: given.get(name, name).lower() for name in names}
    if all(target in index for target in wanted.values()):
        return {name: index[target] for name, target in wanted.items()}
    if is_generic(model_labels) and not given and len(names) <= len(model_labels):
        return {name: position for position, name in enumerate(names)}
    raise DataError(
        f"labels do not match: the dataset has {', '.join(map(str, names))}; the model has "
        f"{', '.join(model_labels)}; say which is which with "
        f"+task.label_map={{{names[0]}: {model_labels[0]}}} and so on"
    )


def is_generic(labels: Sequence[str]) -> bool:
    """Whether a checkpoint never named its labels."""
    return all(label == f"LABEL_{position}" for position, label in enumerate(labels))
