"""Entities in sequences of tags: what each sentence contributes to precision, recall and F1.

The entities are seqeval's (Nakayama 2018), which follow the CoNLL-2000 script `conlleval`; a named scheme
reads the tags strictly.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING

from optbench.errors import DataError
from optbench.quality.row_metric import RowMetric, ratio

if TYPE_CHECKING:
    from optbench.quality.paired import FloatArray
    from optbench.quality.rows import Statistics


class TagScheme(Enum):
    """How tags mark entities: as conlleval reads them, strictly by a scheme, or not at all."""

    auto = "auto"
    lenient = "lenient"
    IOB1 = "IOB1"
    IOB2 = "IOB2"
    IOBES = "IOBES"
    plain = "plain"


Entity = tuple[str, int, int]
"""Type, first word, last word."""

COUNTS = ("right", "predicted", "actual")


def scheme_of(tags: Sequence[str]) -> TagScheme:
    """Lenient where every tag is O or starts like an entity's, else plain."""
    marked = all(tag == "O" or (tag[:1] in "BIESLU" and tag[1:2] in ("-", "")) for tag in tags)
    has_entity = any(tag[1:2] == "-" for tag in tags)
    return TagScheme.lenient if marked and has_entity else TagScheme.plain


def entities(tags: Sequence[str], scheme: TagScheme) -> set[Entity]:
    """Entities of one sentence. Raises DataError for a tag that a named scheme does not know."""
    if scheme is TagScheme.lenient:
        from seqeval.metrics.sequence_labeling import get_entities

        return {(str(kind), int(first), int(last)) for kind, first, last in get_entities(list(tags))}
    from seqeval import scheme as schemes

    try:
        read = schemes.Entities([list(tags)], scheme=getattr(schemes, scheme.value))
    except ValueError as error:
        raise DataError(f"task.scheme={scheme.value} does not fit the tags: {error}") from error
    return {(str(found.tag), int(found.start), int(found.end) - 1) for row in read.entities for found in row}


def f1(sums: FloatArray) -> FloatArray:
    """2 right / (predicted + actual) from (right, predicted, actual) [n, 3]; 0 without any right one."""
    return ratio(2 * sums[:, 0], sums[:, 1] + sums[:, 2])


def precision(sums: FloatArray) -> FloatArray:
    """right / predicted; 0 where nothing is predicted, as seqeval has it."""
    import numpy as np

    return np.nan_to_num(ratio(sums[:, 0], sums[:, 1]))


def recall(sums: FloatArray) -> FloatArray:
    """right / actual."""
    return ratio(sums[:, 0], sums[:, 2])


ENTITY_METRICS = {
    metric.name: metric
    for metric in (
        RowMetric("seqeval_f1", True, "seqeval, micro F1 over entities", f1),
        RowMetric("seqeval_precision", True, "seqeval, micro precision over entities", precision),
        RowMetric("seqeval_recall", True, "seqeval, micro recall over entities", recall),
    )
}
WORD_METRICS = {
    metric.name: metric
    for metric in (
        RowMetric("token_accuracy", True, "share of words with the right tag"),
        RowMetric("sentence_accuracy", True, "share of sentences with all tags right", is_binary=True),
    )
}


def tag_metrics(scheme: TagScheme, types: Sequence[str]) -> dict[str, RowMetric]:
    """The metrics of a tagging task, per entity type as 'seqeval_f1@TYPE'."""
    if scheme is TagScheme.plain:
        return dict(WORD_METRICS)
    by_type = {
        f"seqeval_f1@{kind}": RowMetric(f"seqeval_f1@{kind}", True, f"seqeval, F1 of {kind}", f1)
        for kind in types
    }
    return {**ENTITY_METRICS, **WORD_METRICS, **by_type}


def entity_types(references: Sequence[Sequence[str]], scheme: TagScheme) -> list[str]:
    """Types of the entities that occur, in alphabetical order."""
    return sorted({kind for tags in references for kind, _, _ in entities(tags, scheme)})


def tag_statistics(
    references: Sequence[Sequence[str]],
    predictions: Sequence[Sequence[str]],
    scheme: TagScheme,
    types: Sequence[str],
) -> Statistics:
    """What each sentence contributes, by metric name: (right, predicted, actual) or (right, words)."""
    import numpy as np

    words = [
        (sum(one == two for one, two in zip(*pair, strict=True)), len(pair[0]))
        for pair in zip(references, predictions, strict=True)
    ]
    found = {
        "token_accuracy": np.array(words, dtype=np.float64),
        "sentence_accuracy": np.array([(right == count, 1) for right, count in words], dtype=np.float64),
    }
    if scheme is TagScheme.plain:
        return found
    actual = [entities(tags, scheme) for tags in references]
    predicted = [entities(tags, scheme) for tags in predictions]
    counts = entity_counts(actual, predicted)
    for name in ENTITY_METRICS:
        found[name] = counts
    for kind in types:
        own = (of_type(actual, kind), of_type(predicted, kind))
        found[f"seqeval_f1@{kind}"] = entity_counts(*own)
    return found


def of_type(rows: Sequence[set[Entity]], kind: str) -> list[set[Entity]]:
    """The entities of one type in each sentence."""
    return [{entity for entity in row if entity[0] == kind} for row in rows]


def entity_counts(actual: Sequence[set[Entity]], predicted: Sequence[set[Entity]]) -> FloatArray:
    """(right, predicted, actual) of each sentence [rows, 3]."""
    import numpy as np

    rows = [(len(one & two), len(two), len(one)) for one, two in zip(actual, predicted, strict=True)]
    return np.array(rows, dtype=np.float64).reshape(-1, 3)
