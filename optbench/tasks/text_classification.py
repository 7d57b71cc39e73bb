"""Text classification: single sentences, sentence pairs, and regression on either."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from optbench.components import Dataset, Examples, Kind, ModelSpec, Task, register
from optbench.rows.columns import (
    class_indices,
    labels_in,
    no_text,
    numbers_in,
    readable,
    resolve_columns,
    why_unlabelled,
)
from optbench.rows.plain import kinds_of
from optbench.rows.tokenization import (
    arrays_of,
    batch_of,
    by_length,
    column_kinds,
    encode,
    encode_batch,
    load_tokenizer,
    padding_of,
    random_feed,
    texts_of_columns,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from optbench.components import Feed


@register("task", "text-classification")
@dataclass
class TextClassification(Task):
    """One label, or one number, for each text or pair of texts.

    is_regression: the model gives one number, and the references are numbers.
    label_map: dataset label to model label, where their names differ: +task.label_map={1: POSITIVE}.
    """

    is_regression: bool = False
    label_map: dict[Any, Any] | None = None

    labels_show_in = "columns"
    model_class: ClassVar[str] = "AutoModelForSequenceClassification"
    export_task: ClassVar[str] = "text-classification"

    def problems(self) -> list[str]:
        """A label map makes no sense for numbers."""
        if self.is_regression and self.label_map:
            return ["label_map must be empty when is_regression=true, got labels; drop one of the two"]
        return []

    def supports(self, spec: ModelSpec) -> str | None:
        """Regression needs a model with one output, classification one with at least two."""
        if spec.vocab_size is None:
            return f"task=text-classification needs a text model, and {spec.model_type} has no vocabulary"
        outputs = len(spec.labels)
        if self.is_regression and outputs != 1:
            return f"task.is_regression=true needs a model with one output, and this one has {outputs}"
        if not self.is_regression and outputs < 2:
            return "the model has a single output; set task.is_regression=true"
        return None

    def given_labels(self) -> dict[str, str]:
        """The label map with names as text: YAML reads 1 as a number."""
        return {str(name): str(label) for name, label in (self.label_map or {}).items()}

    def examples(self, spec: ModelSpec, dataset: Dataset, rows: Any) -> TextExamples:
        """The rows, with columns resolved and labels aligned to the model's outputs."""
        columns, notes = resolve_columns(dataset, column_kinds(rows))
        roles = [role for role in ("primary", "secondary") if role in columns]
        rows, failed = readable(rows, {f"data_keys.{role}": columns[role] for role in roles}, no_text)
        references: list[Any] | None = None
        if "reference" in columns:
            column = columns["reference"]
            if self.is_regression:
                references = numbers_in(rows, column)
            else:
                values, feature = labels_in(rows, column), rows.features[column]
                references, note = class_indices(values, feature, spec, self.given_labels())
                notes += note
        examples = TextExamples(self, spec, rows, columns, references, notes)
        examples.failed = failed
        return examples

    def unlabelled(
        self, spec: ModelSpec, dataset: Dataset, columns: Mapping[str, Sequence[Any]]
    ) -> str | None:
        """Columns resolved and labels aligned as in `examples`; numbers of a regression are left to it."""
        roles, notes = resolve_columns(dataset, kinds_of(columns))
        if "reference" not in roles:
            return why_unlabelled(notes)
        if not self.is_regression:
            class_indices(columns[roles["reference"]], None, spec, self.given_labels())
        return None

    def random_feed(self, spec: ModelSpec, shape: tuple[int, int], seed: int) -> Feed:
        """Seeded random token ids of exactly `shape`, nothing masked."""
        return random_feed(load_tokenizer(spec.directory, spec.trust_remote_code), shape, seed)

    def padding(self, spec: ModelSpec) -> dict[str, int]:
        """The tokenizer's own padding; attention stops before it."""
        return padding_of(load_tokenizer(spec.directory, spec.trust_remote_code))

    def refuses_pipeline(self) -> None:
        """Nothing stands against it."""

    def pipeline(self, spec: ModelSpec) -> TextPipeline:
        """Tokenizes texts and takes the largest logit."""
        return TextPipeline(spec, self.is_regression)


class TextPipeline:
    """Texts in, class indices or numbers out: `Pipeline` of text classification."""

    def __init__(self, spec: ModelSpec, is_regression: bool) -> None:
        self._tokenizer = load_tokenizer(spec.directory, spec.trust_remote_code)
        self._max_length = spec.max_length
        self._is_regression = is_regression

    def encode(self, rows: Sequence[tuple[str, ...]]) -> tuple[Feed, None]:
        """Token ids of the rows: int64 [batch, length]."""
        first, *second = (list(part) for part in zip(*rows, strict=True))
        pairs = {"text_pair": second[0]} if second else {}
        return arrays_of(encode_batch(self._tokenizer, first, self._max_length, **pairs)), None

    def decode(self, outputs: Mapping[str, NDArray[np.generic]], encoded: None) -> list[Any]:
        """Index of the largest logit, or the number itself."""
        return answers_of(outputs["logits"], self._is_regression)


def answers_of(logits: Iterable[Any], is_regression: bool) -> list[Any]:
    """Index of the largest logit of each row, or the number itself."""
    if is_regression:
        return [float(row.reshape(-1)[0]) for row in logits]
    return [int(row.argmax()) for row in logits]


class TextExamples(Examples):
    """Rows of text with their references: class indices int, or numbers float."""

    def __init__(
        self,
        task: TextClassification,
        spec: ModelSpec,
        rows: Any,
        columns: dict[str, str],
        references: list[Any] | None,
        notes: list[str],
    ) -> None:
        super().__init__()
        self.kind: Kind = "regression" if task.is_regression else "classification"
        self.columns = columns
        self.notes = notes
        self._spec = spec
        self._references = references
        self._tokenizer = load_tokenizer(spec.directory, spec.trust_remote_code)
        self._texts = texts_of_columns(rows, columns)

    def encoded(self) -> list[Feed]:
        """Token ids of each row, cut to the model's maximum: int64 [length] by input name."""
        return self._encode(self._texts, self._spec.max_length)

    def cut(self, shape: tuple[int, int], seed: int) -> Feed:
        """`shape[0]` seeded rows, cut and padded to `shape[1]` tokens: int64 [batch, length]."""
        import numpy as np

        batch, length = shape
        chosen = np.random.default_rng(seed).integers(len(self._texts), size=batch)
        encoded = self._encode([self._texts[index] for index in chosen], length)
        return batch_of(encoded, self._tokenizer, length)

    def raw(self) -> list[Any]:
        """(text,) or (text, second text) of each row."""
        return self._texts

    def references(self) -> list[Any] | None:
        """The right answers, or null."""
        return self._references

    def predictions(self, outputs: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Index of the largest logit, or the number itself."""
        return answers_of((row["logits"] for row in outputs), self.kind == "regression")

    def default_metrics(self) -> list[str]:
        """Accuracy and F1, or correlations."""
        return ["pearson", "spearmanr"] if self.kind == "regression" else ["accuracy", "f1_macro"]

    def logits(self, outputs: Sequence[Mapping[str, Any]]) -> list[NDArray[np.float64]]:
        """One position a row: float64 [1, classes]; none for regression."""
        if self.kind == "regression":
            return []
        return [row["logits"].reshape(1, -1).astype("float64") for row in outputs]

    def groups(self) -> dict[str, list[str]]:
        """By the right class, and by length."""
        found = {"length": by_length([sum(map(len, text)) for text in self._texts])}
        if self.kind == "classification" and self._references is not None:
            found["class"] = [self._spec.labels[index] for index in self._references]
        return found

    def texts(self) -> list[str]:
        """The sentence, or both joined by a bar."""
        return [" | ".join(text) for text in self._texts]

    def _encode(self, texts: Sequence[Sequence[str]], max_length: int | None) -> list[Feed]:
        return encode(self._tokenizer, [list(part) for part in zip(*texts, strict=True)], max_length)
