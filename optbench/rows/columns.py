"""Which column is what: as configured, or guessed where only one reading is possible."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from optbench.components import Dataset, ModelSpec
from optbench.errors import DataError

REFERENCE_NAMES = ("label", "labels", "target", "score", "stars", "rating")
WORD_NAMES = ("tokens", "words")
TAG_NAMES = ("tags", "ner_tags", "pos_tags", "chunk_tags", "labels")
UNLABELLED = ": agreement is reported, metrics are not"
"""How a note ends that says why there are no labels."""
MOST_NAMES, LONGEST_NAME = 20, 60
"""What a message shows of labels."""
WRITABLE = re.compile(
    r"(?!(?:null|true|false)$)-?\w(?:[\w ./%+*@|()\[\]{}:=,-]*[^ ])?", re.ASCII | re.IGNORECASE
)
"""Labels that can be written within the braces of a command line."""
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
            f"{describe(types)}; set it with 'dataset.ref_keys=[NAME]'"
        )
    else:
        notes.append(without_labels(types, columns.values()))
    return columns, notes


def without_labels(types: Mapping[str, str], taken: Iterable[str] = ()) -> str:
    """What it means that no column of labels was found, and how to name one if there is any.

    taken: columns that hold the input, so that they hold no labels.
    """
    left = [name for name in types if name not in taken and name.lower() not in IGNORED_NAMES]
    if not left:
        return f"the dataset has no labels{UNLABELLED}"
    name = left[0] if len(left) == 1 else "NAME"
    setting = shlex.quote(f"dataset.ref_keys=[{name}]")
    return (
        f"no label column recognised among {describe(types)}; if one holds labels, set {setting}{UNLABELLED}"
    )


def why_unlabelled(notes: Iterable[str]) -> str:
    """What `without_labels` has found, from among the notes on rows, less what it means."""
    found = (note.removesuffix(UNLABELLED) for note in notes if note.endswith(UNLABELLED))
    return next(found, "the dataset has no labels")


def text_column(dataset: Dataset, rows: Any) -> tuple[dict[str, str], list[str]]:
    """The one column of text ('primary'), and a note if it was guessed. Raises DataError."""
    kinds = {
        name: "string" if "string" in str(getattr(feature, "dtype", "")) else "other"
        for name, feature in rows.features.items()
    }
    given = dataset.data_keys.primary
    if given is not None:
        return {"primary": require(given, "data_keys.primary", kinds)}, []
    found = text_columns(kinds)
    if len(found) != 1:
        raise DataError(
            f"dataset.data_keys.primary must name the text column; the columns are {', '.join(kinds)}"
        )
    return {"primary": found[0]}, [f"dataset.data_keys.primary was guessed: {found[0]}"]


def list_columns(dataset: Dataset, rows: Any) -> tuple[dict[str, str], list[str]]:
    """Columns of words ('primary') and of their tags ('reference'), and notes on what was guessed.

    Raises DataError.
    """
    kinds = {name: "list" if is_list(feature) else "other" for name, feature in rows.features.items()}
    lists = [name for name, kind in kinds.items() if kind == "list"]
    notes, columns = [], {}
    for role, given, key, names in (
        ("primary", dataset.data_keys.primary, "data_keys.primary", WORD_NAMES),
        ("reference", dataset.ref_keys[0] if dataset.ref_keys else None, "ref_keys", TAG_NAMES),
    ):
        if given is not None:
            columns[role] = require(given, key, kinds)
            continue
        known = [name for name in lists if name.lower() in names]
        if len(known) == 1:
            columns[role] = known[0]
            notes.append(f"dataset.{key} was guessed: {known[0]}")
        elif role == "reference" and not known:
            notes.append(without_labels({name: kinds[name] for name in lists}, columns.values()))
        else:
            raise DataError(
                f"dataset.{key} must name the column with the lists of "
                f"{'words' if role == 'primary' else 'tags'}; the columns are {describe(kinds)}"
            )
    return columns, notes


def is_list(feature: Any) -> bool:
    """Whether a column of a `datasets.Dataset` holds lists."""
    return isinstance(feature, list) or type(feature).__name__ in ("List", "Sequence", "LargeList")


def readable(
    rows: Any, columns: Mapping[str, str], problem: Callable[[Any], str | None]
) -> tuple[Any, dict[int, str]]:
    """The rows whose values in `columns` (by config key) have no problem, and why the others are left out.

    Raises DataError where no row is left.
    """
    failed: dict[int, str] = {}
    for key, column in columns.items():
        for number, value in enumerate(rows[column][:]):
            reason = problem(value)
            if reason is not None:
                place = row_in_file(rows, number)
                failed.setdefault(number, f"dataset.{key}={column}, row {place}: {reason}")
    if failed and len(failed) == len(rows):
        raise DataError(f"no row can be used; {failed[0]}")
    if not failed:
        return rows, failed
    return rows.select([number for number in range(len(rows)) if number not in failed]), failed


def row_in_file(rows: Any, number: int) -> int:
    """Where a row stood when it was read, from 0: rows are evaluated in a seeded order."""
    order = getattr(rows, "_indices", None)
    return number if order is None else int(order.column(0)[number].as_py())


def labels_in(rows: Any, column: str) -> list[Any]:
    """The values of a column of labels. Raises DataError that counts the rows without one."""
    feature, values = rows.features[column], list(rows[column][:])
    if is_list(feature):
        raise DataError(
            f"dataset.ref_keys={column} must hold one label for each row, found lists; name another"
        )
    none = (None, -1) if getattr(feature, "names", None) else (None,)
    lacking = [number for number, value in enumerate(values) if value in none or value != value]  # noqa: PLR0124
    if lacking:
        raise DataError(
            f"dataset.ref_keys={column}: {len(lacking)} of {len(values)} rows have no label (null or -1), "
            f"such as row {row_in_file(rows, lacking[0])}; drop them, or, where a test split keeps its "
            "answers, choose another with dataset.eval_split="
        )
    return values


def numbers_in(rows: Any, column: str) -> list[float]:
    """The values of a column of regression references. Raises DataError at one that is no finite number."""
    values = rows[column][:]
    for number, value in enumerate(values):
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise DataError(
                f"dataset.ref_keys={column} must hold numbers for a regression, found {value!r} in row "
                f"{row_in_file(rows, number)}; drop the row, or name another column"
            )
    return [float(value) for value in values]


def no_text(value: Any) -> str | None:
    """Why a value is no text; null if it is one."""
    return None if isinstance(value, str) else f"text is required, found {value!r}"


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
        f"labels do not match: the dataset has {few(names)}; the model has "
        f"{few(model_labels)}; {which_is_which(names, model_labels, given)}"
    )


def which_is_which(names: Sequence[str], model_labels: Sequence[str], given: Mapping[str, str]) -> str:
    """How to say which label of the dataset is which of the model's: a setting that a shell takes as it is.

    Pairs that are known stay. The others merely stand in order, and it says so: nobody can tell from names.
    """
    if len(names) > MOST_NAMES or not all(map(WRITABLE.fullmatch, (*names, *model_labels))):
        return "say which is which with '+task.label_map={OF_DATASET: OF_MODEL}', a pair for each label"
    by_name = {label.lower(): label for label in model_labels}
    known = {name: by_name.get(given.get(name, name).lower()) for name in names}
    free = iter([label for label in model_labels if label not in known.values()])
    pairs = [f"{plain(name)}: {plain(label or next(free, 'OF_MODEL'))}" for name, label in known.items()]
    setting = shlex.quote(f"+task.label_map={{{', '.join(pairs)}}}")
    return f"say which is which; in the order of the names that is {setting}, so look at each pair"


def plain(label: str) -> str:
    """A label as Hydra reads it within braces: what means something there gets a backslash."""
    return re.sub(r"([()\[\]{}:=,])", r"\\\1", label)


def few(names: Sequence[Any]) -> str:
    """The first names of a list that may be as long as the dataset, and how many more there are."""
    more = f" and {len(names) - MOST_NAMES:,} more" if len(names) > MOST_NAMES else ""
    return ", ".join(str(name)[:LONGEST_NAME] for name in names[:MOST_NAMES]) + more


def is_generic(labels: Sequence[str]) -> bool:
    """Whether a checkpoint never named its labels."""
    return all(label == f"LABEL_{position}" for position, label in enumerate(labels))


def class_indices(
    values: Sequence[Any], feature: Any, spec: ModelSpec, label_map: Mapping[str, str]
) -> tuple[list[int], list[str]]:
    """Model output index of each reference, and notes on what was assumed. Raises DataError."""
    names = getattr(feature, "names", None)
    if names:
        values = [names[value] for value in values]
    elif all(isinstance(value, int) for value in values) and not label_map:
        return plain_indices([int(value) for value in values], spec)
    else:
        values = [str(value) for value in values]
        names = sorted(set(values))
    index = align_labels(names, spec.labels, label_map)
    notes = []
    if is_generic(spec.labels):
        notes.append(f"the model does not name its labels; taken in the order {', '.join(names)}")
    return [index[value] for value in values], notes


def plain_indices(values: list[int], spec: ModelSpec) -> tuple[list[int], list[str]]:
    """Whole numbers as indices into the model's outputs. Raises DataError outside their range."""
    outside = sorted({value for value in values if not 0 <= value < len(spec.labels)})
    if outside:
        raise DataError(
            f"labels do not match: the dataset has {few(sorted(set(values)))}; the "
            f"model has {len(spec.labels)} outputs, {few(spec.labels)}; "
            f"{which_is_which([str(value) for value in sorted(set(values))], spec.labels, {})}"
        )
    order = ", ".join(f"{position} = {label}" for position, label in enumerate(spec.labels))
    return values, [f"the dataset does not name its labels; taken as {order}"]
