"""Embeddings of sentences: similarity against people's scores, retrieval of pairs, or drift alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar

from optbench.components import Dataset, Examples, Kind, ModelSpec, Task, register
from optbench.errors import DataError
from optbench.quality.row_metric import RowMetric
from optbench.rows.columns import no_text, numbers_in, readable, resolve_columns
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
    from optbench.quality.rows import Statistics

RETRIEVAL = {
    metric.name: metric
    for metric in (
        RowMetric("recall@1", True, "share of queries whose own partner is the nearest", is_binary=True),
        RowMetric("recall@10", True, "share of queries with it among the 10 nearest", is_binary=True),
        RowMetric("mrr", True, "mean reciprocal rank of each query's own partner"),
    )
}


class Pooling(Enum):
    """How the vectors of a sentence's tokens become one: their mean, or the first token's."""

    mean = "mean"
    cls = "cls"


@register("task", "sentence-similarity")
@dataclass
class SentenceSimilarity(Task):
    """One embedding for each sentence, compared by cosine.

    Pairs with a score: correlation of the cosine with it. Pairs without: retrieval of the second by the
    first among all. Single sentences: how far the embeddings moved.
    pooling: mean of all tokens, or cls.
    """

    pooling: Pooling = Pooling.mean

    model_class: ClassVar[str] = "AutoModel"
    export_task: ClassVar[str] = "feature-extraction"

    def supports(self, spec: ModelSpec) -> str | None:
        """A text model."""
        if spec.vocab_size is None:
            return f"task=sentence-similarity needs a text model, and {spec.model_type} has no vocabulary"
        return None

    def examples(self, spec: ModelSpec, dataset: Dataset, rows: Any) -> EmbeddedExamples:
        """The rows as sentences or pairs."""
        columns, notes = resolve_columns(dataset, column_kinds(rows))
        if "reference" in columns and "secondary" not in columns:
            if dataset.ref_keys:
                raise DataError(
                    "dataset.ref_keys must hold the score of a pair, and dataset.data_keys.secondary is not "
                    "set; name the second sentence's column, or leave dataset.ref_keys out"
                )
            notes = [f"{columns.pop('reference')} is no score of a pair, so it is not used"]
        return EmbeddedExamples(spec, rows, columns, notes)

    def random_feed(self, spec: ModelSpec, shape: tuple[int, int], seed: int) -> Feed:
        """Seeded random token ids of exactly `shape`, nothing masked."""
        return random_feed(load_tokenizer(spec.directory, spec.trust_remote_code), shape, seed)

    def padding(self, spec: ModelSpec) -> dict[str, int]:
        """The tokenizer's own padding."""
        return padding_of(load_tokenizer(spec.directory, spec.trust_remote_code))

    def kept(self, feed: Feed, outputs: dict[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
        """The sentence's vector: float32 [dimensions]."""
        return {"vector": pooled(self.pooling, outputs["last_hidden_state"][: len(feed["input_ids"])])}

    def refuses_pipeline(self) -> None:
        """Nothing stands against it."""

    def pipeline(self, spec: ModelSpec) -> EmbeddingPipeline:
        """Tokenizes sentences and pools the vectors of their tokens."""
        return EmbeddingPipeline(self, spec)


class EmbeddingPipeline:
    """Sentences in, their vectors out, or the cosine of a pair: `Pipeline` of sentence similarity."""

    def __init__(self, task: SentenceSimilarity, spec: ModelSpec) -> None:
        self._tokenizer = load_tokenizer(spec.directory, spec.trust_remote_code)
        self._pooling = task.pooling
        self._max_length = spec.max_length

    def encode(self, rows: Sequence[tuple[str, ...]]) -> tuple[Feed, Any]:
        """Token ids of all sentences: int64 [sentences, length], their lengths, and how many are in a row."""
        texts = [text for row in rows for text in row]
        feed = arrays_of(encode_batch(self._tokenizer, texts, self._max_length))
        return feed, (feed["attention_mask"].sum(axis=1), len(rows[0]))

    def decode(self, outputs: Mapping[str, NDArray[np.generic]], encoded: Any) -> list[Any]:
        """The vector of each sentence: float32 [dimensions]; of pairs their cosine."""
        import numpy as np

        lengths, in_a_row = encoded
        hidden = outputs["last_hidden_state"]
        vectors = [pooled(self._pooling, row[:length]) for row, length in zip(hidden, lengths, strict=True)]
        if in_a_row == 1:
            return vectors
        unit = unit_vectors(np.stack(vectors))
        return [float(value) for value in (unit[0::2] * unit[1::2]).sum(axis=1)]


def pooled(pooling: Pooling, tokens: NDArray[np.generic]) -> NDArray[np.float32]:
    """One vector of a sentence's token vectors: float32 [dimensions]."""
    import numpy as np

    single = tokens.astype(np.float32)
    vector: NDArray[np.float32] = single[0] if pooling is Pooling.cls else single.mean(axis=0)
    return vector


def unit_vectors(vectors: NDArray[np.generic]) -> NDArray[np.float64]:
    """Vectors [rows, dimensions] of length 1; those of length 0 stay."""
    import numpy as np

    exact = vectors.astype(np.float64)
    lengths = np.linalg.norm(exact, axis=1, keepdims=True)
    unit: NDArray[np.float64] = exact / np.where(lengths > 0, lengths, 1.0)
    return unit


class EmbeddedExamples(Examples):
    """Sentences or pairs; an answer is the cosine of a pair, or null."""

    def __init__(self, spec: ModelSpec, rows: Any, columns: dict[str, str], notes: list[str]) -> None:
        super().__init__()
        self.columns = columns
        self.notes = notes
        self._spec = spec
        self._tokenizer = load_tokenizer(spec.directory, spec.trust_remote_code)
        roles = {f"data_keys.{role}": columns[role] for role in ("primary", "secondary") if role in columns}
        rows, self.failed = readable(rows, roles, no_text)
        self._texts = texts_of_columns(rows, columns)
        self._scores: list[float] | None = None
        if "reference" in columns:
            self._scores = numbers_in(rows, columns["reference"])
        paired = "secondary" in columns
        self.kind: Kind = "regression" if self._scores is not None else "structured"
        self._retrieves = paired and self._scores is None
        self.metrics = dict(RETRIEVAL) if self._retrieves else {}

    def encoded(self) -> list[Feed]:
        """Token ids of each sentence; the two of a pair follow one another."""
        return encode(self._tokenizer, [[text for row in self._texts for text in row]], self._spec.max_length)

    def cut(self, shape: tuple[int, int], seed: int) -> Feed:
        """`shape[0]` seeded sentences, cut and padded to `shape[1]` tokens."""
        import numpy as np

        batch, length = shape
        chosen = np.random.default_rng(seed).integers(len(self._texts), size=batch)
        encoded = encode(self._tokenizer, [[self._texts[row][0] for row in chosen]], length)
        return batch_of(encoded, self._tokenizer, length)

    def raw(self) -> list[Any]:
        """(sentence,) or (sentence, second sentence) of each row."""
        return self._texts

    def references(self) -> list[Any] | None:
        """The scores; for retrieval the number of each query's own partner."""
        if self._retrieves:
            return list(range(len(self._texts)))
        return self._scores

    def predictions(self, outputs: Sequence[Mapping[str, Any]]) -> list[Any]:
        """The cosine of each pair; for retrieval the number of the nearest partner; else null."""
        if self._scores is not None:
            one, two = self._sides(outputs)
            return [float(value) for value in (one * two).sum(axis=1)]
        if self._retrieves:
            return [int(row.argmax()) for row in self._similarities(outputs)]
        return [None] * len(self._texts)

    def default_metrics(self) -> list[str]:
        """Correlations with the scores, or how well partners are found."""
        if self._scores is not None:
            return ["spearmanr", "pearson"]
        return list(RETRIEVAL) if self._retrieves else []

    def statistics(self, outputs: Sequence[Mapping[str, Any]]) -> Statistics:
        """The rank of each query's own partner; ties count against it."""
        import numpy as np

        if not self._retrieves:
            return {}
        similarities = self._similarities(outputs)
        own = np.diagonal(similarities)[:, None]
        rank = (similarities >= own).sum(axis=1)
        ones = np.ones(len(rank))
        values = {"recall@1": rank <= 1, "recall@10": rank <= 10, "mrr": 1 / rank}
        return {name: np.stack([value.astype(np.float64), ones], axis=1) for name, value in values.items()}

    def vectors(self, outputs: Sequence[Mapping[str, Any]]) -> list[NDArray[np.float64]]:
        """The embedding of each sentence; the two of a pair follow one another."""
        return [output["vector"].astype("float64") for output in outputs]

    def groups(self) -> dict[str, list[str]]:
        """By length."""
        return {"length": by_length([sum(map(len, row)) for row in self._texts])}

    def texts(self) -> list[str]:
        """The sentence, or both joined by a bar."""
        return [" | ".join(row) for row in self._texts]

    def _sides(self, outputs: Sequence[Mapping[str, Any]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Unit vectors of the first and of the second sentences [rows, dimensions]."""
        import numpy as np

        unit = unit_vectors(np.stack([output["vector"] for output in outputs]))
        return unit[0::2], unit[1::2]

    def _similarities(self, outputs: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
        """Cosine of each first sentence with each second one [rows, rows]."""
        one, two = self._sides(outputs)
        return one @ two.T
