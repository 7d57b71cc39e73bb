"""Extractive question answering: the piece of a context that answers a question (SQuAD v1 and v2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from optbench.components import Dataset, Examples, ModelSpec, Task, register
from optbench.errors import ConfigError, DataError
from optbench.quality.squad import SQUAD_METRICS, squad_statistics
from optbench.rows.columns import no_text, readable, require, row_in_file, without_labels
from optbench.rows.spans import Reader
from optbench.rows.tokenization import (
    batch_of,
    by_length,
    load_fast_tokenizer,
    padded,
    padding_of,
    random_feed,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from optbench.components import Feed
    from optbench.quality.rows import Statistics

COLUMNS = {"question": "question", "context": "context", "reference": "answers"}
LONGEST_WINDOW = 384
SPAN_LOGITS = ("start_logits", "end_logits")


@register("task", "question-answering")
@dataclass
class QuestionAnswering(Task):
    """Questions, contexts and answers in SQuAD's columns; long contexts are read in overlapping windows.

    Other column names: dataset.data_keys.primary (question) and secondary (context), dataset.ref_keys.
    max_length: tokens of a window, question included; null takes 384 or the model's maximum.
    doc_stride: tokens by which windows overlap. n_best: starts and ends that are combined.
    max_answer_length: in tokens. no_answer: a question may have none (SQuAD v2).
    null_threshold: by how much an answer must then beat the score of none.
    """

    max_length: int | None = None
    doc_stride: int = 128
    n_best: int = 20
    max_answer_length: int = 30
    no_answer: bool = False
    null_threshold: float = 0.0

    model_class: ClassVar[str] = "AutoModelForQuestionAnswering"
    export_task: ClassVar[str] = "question-answering"

    def problems(self) -> list[str]:
        """Ranges."""
        found = [
            f"{key} must be >= 1, got {getattr(self, key)}"
            for key in ("doc_stride", "n_best", "max_answer_length")
            if getattr(self, key) < 1
        ]
        if self.max_length is not None and self.max_length < 8:
            found.append(f"max_length must be >= 8, got {self.max_length}")
        return found

    def supports(self, spec: ModelSpec) -> str | None:
        """A text model."""
        if spec.vocab_size is None:
            return f"task=question-answering needs a text model, and {spec.model_type} has no vocabulary"
        return None

    def examples(self, spec: ModelSpec, dataset: Dataset, rows: Any) -> QuestionExamples:
        """The rows, cut into windows."""
        kinds = dict.fromkeys(rows.features, "column")
        keys = dataset.data_keys
        columns = {
            "question": require(keys.primary or COLUMNS["question"], "data_keys.primary", kinds),
            "context": require(keys.secondary or COLUMNS["context"], "data_keys.secondary", kinds),
        }
        reference = dataset.ref_keys[0] if dataset.ref_keys else COLUMNS["reference"]
        notes = []
        if dataset.ref_keys or reference in kinds:
            columns["reference"] = require(reference, "ref_keys", kinds)
        else:
            notes.append(without_labels(kinds, columns.values()))
        return QuestionExamples(self, spec, rows, columns, notes)

    def random_feed(self, spec: ModelSpec, shape: tuple[int, int], seed: int) -> Feed:
        """Seeded random token ids of exactly `shape`, nothing masked."""
        return random_feed(load_fast_tokenizer(spec.directory, spec.trust_remote_code), shape, seed)

    def padding(self, spec: ModelSpec) -> dict[str, int]:
        """The tokenizer's own padding."""
        return padding_of(load_fast_tokenizer(spec.directory, spec.trust_remote_code))

    def kept(self, feed: Feed, outputs: dict[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
        """Start and end logits of the window's own tokens, padding left out."""
        count = len(feed["input_ids"])
        return {name: outputs[name][:count] for name in SPAN_LOGITS}

    def reader(self, spec: ModelSpec, tokenizer: Any) -> Reader:
        """What cuts windows and finds answers. Raises ConfigError for windows that the model cannot take."""
        limit = self.max_length or min(LONGEST_WINDOW, spec.max_length or LONGEST_WINDOW)
        if spec.max_length is not None and limit > spec.max_length:
            raise ConfigError(f"task.max_length must not exceed {spec.max_length}, the model's, got {limit}")
        threshold = self.null_threshold if self.no_answer else None
        return Reader(tokenizer, limit, self.doc_stride, self.n_best, self.max_answer_length, threshold)

    def refuses_pipeline(self) -> None:
        """Nothing stands against it."""

    def pipeline(self, spec: ModelSpec) -> QuestionPipeline:
        """Tokenizes a question and its context, and finds the best span of all windows."""
        tokenizer = load_fast_tokenizer(spec.directory, spec.trust_remote_code)
        return QuestionPipeline(self.reader(spec, tokenizer))


class QuestionPipeline:
    """Questions with contexts in, answers out: `Pipeline` of question answering."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def encode(self, rows: Sequence[tuple[str, str]]) -> tuple[Feed, Any]:
        """All windows of the rows, padded to the longest: int64 [windows, length]."""
        questions, contexts = zip(*rows, strict=True)
        windows = self._reader.windows(questions, contexts)
        feeds = [self._reader.feed(window.encoding) for window in windows]
        return padded(feeds, self._reader.tokenizer), (windows, contexts)

    def decode(self, outputs: Mapping[str, NDArray[np.generic]], encoded: Any) -> list[Any]:
        """The answer to each question; empty where none is given."""
        windows, contexts = encoded
        own = [
            {name: outputs[name][number][: len(window.spans)] for name in SPAN_LOGITS}
            for number, window in enumerate(windows)
        ]
        return self._reader.answers(windows, own, contexts)


class QuestionExamples(Examples):
    """Questions with their contexts; a reference is the tuple of accepted answers, empty where none is."""

    kind = "structured"

    def __init__(
        self, task: QuestionAnswering, spec: ModelSpec, rows: Any, columns: dict[str, str], notes: list[str]
    ) -> None:
        super().__init__()
        self.columns = columns
        self.notes = notes
        self.metrics = dict(SQUAD_METRICS)
        self._task = task
        self._tokenizer = load_fast_tokenizer(spec.directory, spec.trust_remote_code)
        needed = {"data_keys.primary": columns["question"], "data_keys.secondary": columns["context"]}
        rows, self.failed = readable(rows, needed, no_text)
        self._questions = [text.lstrip() for text in rows[columns["question"]][:]]
        self._contexts = list(rows[columns["context"]][:])
        self._references = None
        if "reference" in columns:
            values = rows[columns["reference"]][:]
            self._references = [
                answers_of(value, row_in_file(rows, number)) for number, value in enumerate(values)
            ]
            self._require_answers(rows)
        self._reader = task.reader(spec, self._tokenizer)
        self._windows = self._reader.windows(self._questions, self._contexts)
        if len(self._windows) > len(self._questions):
            self.notes.append(f"{len(self._questions)} contexts were read in {len(self._windows)} windows")

    def encoded(self) -> list[Feed]:
        """Token ids of each window: int64 [length] by input name."""
        return [self._reader.feed(window.encoding) for window in self._windows]

    def cut(self, shape: tuple[int, int], seed: int) -> Feed:
        """`shape[0]` seeded rows, their first window cut and padded to `shape[1]` tokens."""
        import numpy as np

        batch, length = shape
        chosen = np.random.default_rng(seed).integers(len(self._questions), size=batch)
        encoding = self._tokenizer(
            [self._questions[row] for row in chosen],
            [self._contexts[row] for row in chosen],
            truncation=True,
            max_length=length,
        )
        feeds = [self._reader.feed(one) for one in encoding.encodings]
        return batch_of(feeds, self._tokenizer, length)

    def raw(self) -> list[Any]:
        """Question and context of each row."""
        return list(zip(self._questions, self._contexts, strict=True))

    def references(self) -> list[Any] | None:
        """Accepted answers of each question, or null."""
        return self._references

    def predictions(self, outputs: Sequence[Mapping[str, Any]]) -> list[Any]:
        """The answer to each question; empty where none is given."""
        return list(self._reader.answers(self._windows, outputs, self._contexts))

    def default_metrics(self) -> list[str]:
        """Exact match and F1."""
        return list(SQUAD_METRICS)

    def statistics(self, outputs: Sequence[Mapping[str, Any]]) -> Statistics:
        """Exact match and F1 of each question."""
        if self._references is None:
            return {}
        return squad_statistics(self._references, self.predictions(outputs))

    def logits(self, outputs: Sequence[Mapping[str, Any]]) -> list[NDArray[np.float64]]:
        """Start and end logits over the tokens of each question's first window: float64 [2, tokens]."""
        import numpy as np

        first: dict[int, NDArray[np.float64]] = {}
        for window, output in zip(self._windows, outputs, strict=True):
            if window.row not in first:
                both = np.stack([output["start_logits"], output["end_logits"]])
                first[window.row] = both.astype(np.float64)
        return [first[row] for row in range(len(self._questions))]

    def groups(self) -> dict[str, list[str]]:
        """By the length of the context, and whether there is an answer."""
        found = {"length": by_length([len(context) for context in self._contexts])}
        if self._task.no_answer and self._references is not None:
            found["class"] = ["has an answer" if known else "has none" for known in self._references]
        return found

    def texts(self) -> list[str]:
        """The question, then its context."""
        pairs = zip(self._questions, self._contexts, strict=True)
        return [f"{question} | {context}" for question, context in pairs]

    def _require_answers(self, rows: Any) -> None:
        unanswered = [row for row, known in enumerate(self._references or []) if not known]
        if unanswered and not self._task.no_answer:
            raise DataError(
                f"{len(unanswered)} questions have no answer, such as that of row "
                f"{row_in_file(rows, unanswered[0])}; set task.no_answer=true (SQuAD v2)"
            )


def answers_of(value: Any, row: int) -> tuple[str, ...]:
    """Accepted answers in SQuAD's form ({'text': [...]}), a list of text, or one text. Raises DataError."""
    found = value.get("text") if isinstance(value, Mapping) else value
    if isinstance(found, str):
        found = [found] if found else []
    if found is None:
        found = []
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise DataError(
            f"row {row} has no answers in a known form: {{'text': [...]}}, a list of text or a text is "
            f"required, found {value!r}"
        )
    return tuple(dict.fromkeys(found))
