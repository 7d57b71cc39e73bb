"""Token classification: a tag for each word, as in named entities or parts of speech."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar

from optbench.components import Dataset, Examples, ModelSpec, Task, register
from optbench.errors import DataError
from optbench.quality.tagging import (
    ENTITY_METRICS,
    WORD_METRICS,
    TagScheme,
    entity_types,
    scheme_of,
    tag_metrics,
    tag_statistics,
)
from optbench.rows.columns import align_labels, list_columns, readable, row_in_file
from optbench.rows.tokenization import (
    arrays_of,
    batch_of,
    by_length,
    encode_batch,
    load_fast_tokenizer,
    padding_of,
    random_feed,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from optbench.components import Feed
    from optbench.quality.rows import Statistics


class Pieces(Enum):
    """Which of a word's pieces decide on its tag: the first, or all by the mean of their logits."""

    first = "first"
    all = "all"


@register("task", "token-classification")
@dataclass
class TokenClassification(Task):
    """One tag for each word of a row; rows hold a list of words and a list of tags.

    pieces: of a word that decide on its tag, first or all. scheme: auto looks at the tags; lenient reads
    them as conlleval does; IOB1, IOB2 and IOBES strictly; plain knows no entities.
    label_map: dataset tag to model label, where their names differ.
    """

    pieces: Pieces = Pieces.first
    scheme: TagScheme = TagScheme.auto
    label_map: dict[Any, Any] | None = None

    labels_show_in = "rows"
    model_class: ClassVar[str] = "AutoModelForTokenClassification"
    export_task: ClassVar[str] = "token-classification"

    def supports(self, spec: ModelSpec) -> str | None:
        """A text model with at least two labels."""
        if spec.vocab_size is None:
            return f"task=token-classification needs a text model, and {spec.model_type} has no vocabulary"
        return (
            None
            if len(spec.labels) > 1
            else "task=token-classification needs a model with two labels or more"
        )

    def examples(self, spec: ModelSpec, dataset: Dataset, rows: Any) -> TaggedExamples:
        """The rows, words aligned to pieces and tags to the model's labels."""
        columns, notes = list_columns(dataset, rows)
        return TaggedExamples(self, spec, rows, columns, notes)

    def random_feed(self, spec: ModelSpec, shape: tuple[int, int], seed: int) -> Feed:
        """Seeded random token ids of exactly `shape`, nothing masked."""
        return random_feed(load_fast_tokenizer(spec.directory, spec.trust_remote_code), shape, seed)

    def padding(self, spec: ModelSpec) -> dict[str, int]:
        """The tokenizer's own padding."""
        return padding_of(load_fast_tokenizer(spec.directory, spec.trust_remote_code))

    def kept(self, feed: Feed, outputs: dict[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
        """Logits of the row's own pieces, padding left out."""
        return {"logits": outputs["logits"][: len(feed["input_ids"])]}

    def refuses_pipeline(self) -> None:
        """Nothing stands against it."""

    def pipeline(self, spec: ModelSpec) -> TagPipeline:
        """Tokenizes words and takes the largest logit of each."""
        return TagPipeline(self, spec)


class TagPipeline:
    """Lists of words in, tags out: `Pipeline` of token classification."""

    def __init__(self, task: TokenClassification, spec: ModelSpec) -> None:
        self._tokenizer = load_fast_tokenizer(spec.directory, spec.trust_remote_code)
        self._pieces = task.pieces
        self._labels = spec.labels
        self._max_length = spec.max_length

    def encode(self, rows: Sequence[Sequence[str]]) -> tuple[Feed, Any]:
        """Token ids of the rows: int64 [batch, length], and which pieces are whose."""
        encoding = encode_batch(self._tokenizer, rows, self._max_length, is_split_into_words=True)
        return arrays_of(encoding), [first_and_last(one) for one in encoding.encodings]

    def decode(self, outputs: Mapping[str, NDArray[np.generic]], encoded: Any) -> list[Any]:
        """Tags of the words of each row that the model saw."""
        rows = zip(encoded, outputs["logits"], strict=True)
        return [
            tuple(self._labels[word.argmax()] for word in word_logits(self._pieces, places, logits))
            for places, logits in rows
        ]


def word_logits(pieces: Pieces, places: Mapping[int, tuple[int, int]], logits: Any) -> list[Any]:
    """Logits of each word that has a piece, from the first of its pieces or from all."""
    if pieces is Pieces.first:
        return [logits[first] for first, _ in places.values()]
    return [logits[first : last + 1].mean(axis=0) for first, last in places.values()]


class TaggedExamples(Examples):
    """Rows of words with their tags, in the model's label names."""

    kind = "structured"

    def __init__(
        self, task: TokenClassification, spec: ModelSpec, rows: Any, columns: dict[str, str], notes: list[str]
    ) -> None:
        super().__init__()
        self.columns = columns
        self.notes = notes
        self._task = task
        self._spec = spec
        self._tokenizer = load_fast_tokenizer(spec.directory, spec.trust_remote_code)
        rows, self.failed = readable(rows, {"data_keys.primary": columns["primary"]}, no_words)
        words = [list(row) for row in rows[columns["primary"]][:]]
        tags = self._tags(rows, words) if "reference" in columns else None
        self._encodings = self._encode(words, spec.max_length)
        self._places = [first_and_last(encoding) for encoding in self._encodings]
        self._words, self._references = words, tags
        self._judge_what_fits(words, tags)
        known = list(self._references or [])
        self._scheme = task.scheme
        if self._scheme is TagScheme.auto:
            self._scheme = scheme_of([tag for row in known or [spec.labels] for tag in row])
            self.notes.append(f"task.scheme was taken from the tags: {self._scheme.value}")
        plain = self._scheme is TagScheme.plain
        self._types = [] if plain else entity_types(known, self._scheme)
        self.metrics = tag_metrics(self._scheme, self._types)

    def encoded(self) -> list[Feed]:
        """Token ids of each row, cut to the model's maximum: int64 [length] by input name."""
        return [feed_of(encoding) for encoding in self._encodings]

    def cut(self, shape: tuple[int, int], seed: int) -> Feed:
        """`shape[0]` seeded rows, cut and padded to `shape[1]` tokens: int64 [batch, length]."""
        import numpy as np

        batch, length = shape
        chosen = np.random.default_rng(seed).integers(len(self._words), size=batch)
        encodings = self._encode([self._words[index] for index in chosen], length)
        return batch_of([feed_of(encoding) for encoding in encodings], self._tokenizer, length)

    def raw(self) -> list[Any]:
        """The words of each row."""
        return self._words

    def references(self) -> list[Any] | None:
        """The right tags of each row, or null."""
        return self._references

    def predictions(self, outputs: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Tags of the words of each row that the model saw."""
        return [
            tuple(self._spec.labels[logits.argmax()] for logits in self._word_logits(row, output))
            for row, output in enumerate(outputs)
        ]

    def default_metrics(self) -> list[str]:
        """Of entities where the tags mark any, else of words."""
        if self._scheme is TagScheme.plain:
            return list(WORD_METRICS)
        return [*ENTITY_METRICS, "token_accuracy"]

    def statistics(self, outputs: Sequence[Mapping[str, Any]]) -> Statistics:
        """Words and entities right, predicted and actual."""
        if self._references is None:
            return {}
        return tag_statistics(self._references, self.predictions(outputs), self._scheme, self._types)

    def logits(self, outputs: Sequence[Mapping[str, Any]]) -> list[NDArray[np.float64]]:
        """Logits of each word: float64 [words, labels]."""
        import numpy as np

        return [
            np.asarray(self._word_logits(row, output), dtype=np.float64).reshape(-1, len(self._spec.labels))
            for row, output in enumerate(outputs)
        ]

    def groups(self) -> dict[str, list[str]]:
        """By length."""
        return {"length": by_length([len(" ".join(words)) for words in self._words])}

    def texts(self) -> list[str]:
        """The words of each row."""
        return [" ".join(words) for words in self._words]

    def _word_logits(self, row: int, output: Mapping[str, Any]) -> list[Any]:
        """See word_logits."""
        return word_logits(self._task.pieces, self._places[row], output["logits"])

    def _encode(self, words: Sequence[Sequence[str]], max_length: int | None) -> list[Any]:
        limit = {"truncation": True, "max_length": max_length} if max_length else {}
        encoding = self._tokenizer(list(map(list, words)), is_split_into_words=True, **limit)
        return list(encoding.encodings)

    def _judge_what_fits(self, words: list[list[str]], tags: list[Any] | None) -> None:
        """Leave out words without a piece: beyond the model's maximum, or empty for the tokenizer."""
        lost = sum(len(row) - len(places) for row, places in zip(words, self._places, strict=True))
        if lost:
            self.notes.append(
                f"{lost} words have no piece in the model's input (beyond its maximum, or nothing to the "
                "tokenizer); they are not judged"
            )
        if tags is not None:
            self._references = [
                tuple(row[word] for word in places) for row, places in zip(tags, self._places, strict=True)
            ]

    def _tags(self, rows: Any, words: list[list[str]]) -> list[Any]:
        """Model labels of each word. Raises DataError where they do not fit."""
        column = self.columns["reference"]
        feature = rows.features[column]
        names = getattr(getattr(feature, "feature", feature), "names", None)
        values = rows[column][:]
        for number, (row, tags) in enumerate(zip(words, values, strict=True)):
            if tags is None or len(tags) != len(row):
                found = "none" if tags is None else len(tags)
                raise DataError(
                    f"row {row_in_file(rows, number)} has {len(row)} words and {found} tags in {column}; as "
                    "many are required"
                )
            if odd := [tag for tag in tags if not isinstance(tag, str | int)]:
                raise DataError(
                    f"row {row_in_file(rows, number)} has the tag {odd[0]!r} in {column}; a text, or a "
                    "number of a ClassLabel, is required for each word"
                )
        if names is not None:
            values = [[names[tag] for tag in row] for row in values]
        elif any(isinstance(tag, int) for row in values for tag in row):
            raise DataError(
                f"dataset.ref_keys={column} holds numbers without names; give tags as text, or a ClassLabel "
                "feature"
            )
        given = {str(name): str(label) for name, label in (self._task.label_map or {}).items()}
        known = sorted({tag for row in values for tag in row}) if names is None else list(names)
        index = align_labels(known, self._spec.labels, given)
        return [[self._spec.labels[index[tag]] for tag in row] for row in values]


def no_words(value: Any) -> str | None:
    """Why a value is no list of words; null if it is one."""
    if isinstance(value, list) and value and all(isinstance(word, str) for word in value):
        return None
    return f"a list of words is required, found {value!r}"


def first_and_last(encoding: Any) -> dict[int, tuple[int, int]]:
    """Word number to its first and last piece, in the order of the words."""
    places: dict[int, tuple[int, int]] = {}
    for piece, word in enumerate(encoding.word_ids):
        if word is not None:
            places[word] = (places.get(word, (piece, piece))[0], piece)
    return places


def feed_of(encoding: Any) -> Feed:
    """Model inputs of one encoding: int64 [length]."""
    import numpy as np

    return {
        "input_ids": np.asarray(encoding.ids, dtype=np.int64),
        "attention_mask": np.asarray(encoding.attention_mask, dtype=np.int64),
        "token_type_ids": np.asarray(encoding.type_ids, dtype=np.int64),
    }
