"""Fill-mask: which token a masked place held; top-k accuracy and pseudo-perplexity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from optbench.components import Dataset, Examples, ModelSpec, Task, register
from optbench.errors import DataError
from optbench.quality.likelihood import doubled, log_likelihoods, perplexity
from optbench.quality.row_metric import RowMetric
from optbench.rows.columns import no_text, readable, text_column
from optbench.rows.tokenization import batch_of, by_length, load_tokenizer, padding_of, random_feed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from optbench.components import Feed
    from optbench.quality.rows import Statistics

TOP = 5
FULL_LOGITS_LIMIT = 5000
"""Vocabularies up to this size are kept whole, so that drift can be told; larger ones would fill disks."""


METRICS = {
    metric.name: metric
    for metric in (
        RowMetric("top1", True, "share of masked places whose most likely token is the right one"),
        RowMetric("top5", True, "share of masked places with the right token among the first 5"),
        RowMetric(
            "pseudo_perplexity",
            False,
            "exp of the mean negative log likelihood of masked tokens; Salazar et al. 2020",
            perplexity,
            doubled,
            is_share=False,
        ),
        RowMetric("all_right", True, "share of rows with every masked place right", is_binary=True),
    )
}


@register("task", "fill-mask")
@dataclass
class FillMask(Task):
    """Tokens of each text are masked one at a time, and the model says what they were.

    masks_per_row: places of a row that are masked, drawn by seed; null masks each in its turn.
    seed: of the places.
    """

    masks_per_row: int | None = 4
    seed: int = 0

    model_class: ClassVar[str] = "AutoModelForMaskedLM"
    export_task: ClassVar[str] = "fill-mask"

    def problems(self) -> list[str]:
        """Ranges."""
        if self.masks_per_row is not None and self.masks_per_row < 1:
            return [f"masks_per_row must be >= 1 or null, got {self.masks_per_row}"]
        return []

    def supports(self, spec: ModelSpec) -> str | None:
        """A text model."""
        if spec.vocab_size is None:
            return f"task=fill-mask needs a text model, and {spec.model_type} has no vocabulary"
        return None

    def examples(self, spec: ModelSpec, dataset: Dataset, rows: Any) -> MaskedExamples:
        """The rows, with the places to be masked."""
        columns, notes = text_column(dataset, rows)
        return MaskedExamples(self, spec, rows, columns, notes)

    def random_feed(self, spec: ModelSpec, shape: tuple[int, int], seed: int) -> Feed:
        """Seeded random token ids of exactly `shape`, nothing masked."""
        return random_feed(load_tokenizer(spec.directory, spec.trust_remote_code), shape, seed)

    def padding(self, spec: ModelSpec) -> dict[str, int]:
        """The tokenizer's own padding."""
        return padding_of(load_tokenizer(spec.directory, spec.trust_remote_code))

    def refuses_pipeline(self) -> str:
        """It masks tokens of texts that are encoded already."""
        return (
            "task=fill-mask masks tokens, not texts, so no raw row can be timed to its answer; use "
            "measure.scope=model"
        )

    def kept(self, feed: Feed, outputs: dict[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
        """Of the masked place: the first tokens, the right one's likelihood, all logits if they are few."""
        import numpy as np

        logits = np.asarray(outputs["logits"][int(feed["_place"])], dtype=np.float64)
        likelihood = log_likelihoods(logits[None], np.asarray(feed["_token"])[None])[0]
        kept = {
            "first": np.argsort(-logits, kind="stable")[:TOP],
            "log_likelihood": np.asarray(likelihood),
        }
        if len(logits) <= FULL_LOGITS_LIMIT:
            kept["logits"] = logits.astype(np.float32)
        return kept


class MaskedExamples(Examples):
    """Rows of text; a reference is the tuple of the masked tokens, an answer what was said instead."""

    kind = "structured"

    def __init__(
        self, task: FillMask, spec: ModelSpec, rows: Any, columns: dict[str, str], notes: list[str]
    ) -> None:
        import numpy as np

        super().__init__()
        self.columns = columns
        self.notes = notes
        self.metrics = dict(METRICS)
        self._spec = spec
        self._tokenizer = load_tokenizer(spec.directory, spec.trust_remote_code)
        if self._tokenizer.mask_token_id is None:
            raise DataError(
                f"{spec.directory} has a tokenizer without a mask token, and task=fill-mask needs one"
            )
        rows, self.failed = readable(rows, {"data_keys.primary": columns["primary"]}, no_text)
        self._texts = list(rows[columns["primary"]][:])
        self._ids = self._encode(self._texts, spec.max_length)
        special = set(self._tokenizer.all_special_ids)
        rng = np.random.default_rng(task.seed)
        self._places = []
        for ids in self._ids:
            places = [place for place, token in enumerate(ids) if token not in special]
            if task.masks_per_row is not None and len(places) > task.masks_per_row:
                places = sorted(rng.choice(places, size=task.masks_per_row, replace=False).tolist())
            self._places.append(places)
        if not any(self._places):
            raise DataError("no text has a token that could be masked")

    def encoded(self) -> list[Feed]:
        """One input for each masked place: int64 [length] by input name."""
        feeds: list[Feed] = []
        for ids, places in zip(self._ids, self._places, strict=True):
            for place in places:
                masked = [*ids[:place], self._tokenizer.mask_token_id, *ids[place + 1 :]]
                feeds.append({**self._feed(masked), **hidden(place, ids[place])})
        return feeds

    def cut(self, shape: tuple[int, int], seed: int) -> Feed:
        """`shape[0]` seeded rows, cut and padded to `shape[1]` tokens."""
        import numpy as np

        batch, length = shape
        chosen = np.random.default_rng(seed).integers(len(self._texts), size=batch)
        encoded = self._encode([self._texts[row] for row in chosen], length)
        return batch_of([self._feed(ids) for ids in encoded], self._tokenizer, length)

    def references(self) -> list[Any] | None:
        """The tokens that were masked, of each row."""
        rows = zip(self._ids, self._places, strict=True)
        return [self._tokens(ids[place] for place in places) for ids, places in rows]

    def predictions(self, outputs: Sequence[Mapping[str, Any]]) -> list[Any]:
        """The most likely token of each masked place, of each row."""
        return [self._tokens(output["first"][0] for output in row) for row in self._by_row(outputs)]

    def default_metrics(self) -> list[str]:
        """Top-k accuracy and pseudo-perplexity."""
        return ["top1", "top5", "pseudo_perplexity"]

    def statistics(self, outputs: Sequence[Mapping[str, Any]]) -> Statistics:
        """Places right and their likelihood, of each row."""
        import numpy as np

        found: dict[str, list[tuple[float, float]]] = {name: [] for name in METRICS}
        for ids, places, row in zip(self._ids, self._places, self._by_row(outputs), strict=True):
            tokens = [ids[place] for place in places]
            ranks = [output["first"].tolist() for output in row]
            first = sum(token == rank[0] for token, rank in zip(tokens, ranks, strict=True))
            among = sum(token in rank for token, rank in zip(tokens, ranks, strict=True))
            loss = -sum(float(output["log_likelihood"]) for output in row)
            count = len(places)
            found["top1"].append((first, count))
            found["top5"].append((among, count))
            found["pseudo_perplexity"].append((loss, count))
            found["all_right"].append((first == count, 1))
        return {name: np.array(values, dtype=np.float64) for name, values in found.items()}

    def logits(self, outputs: Sequence[Mapping[str, Any]]) -> list[NDArray[np.float64]]:
        """Logits of the masked places: float64 [places, vocabulary]; none for large vocabularies."""
        import numpy as np

        if "logits" not in outputs[0]:
            return []
        size = len(outputs[0]["logits"])
        return [
            np.array([output["logits"] for output in row], dtype=np.float64).reshape(-1, size)
            for row in self._by_row(outputs)
        ]

    def groups(self) -> dict[str, list[str]]:
        """By length."""
        return {"length": by_length([len(text) for text in self._texts])}

    def texts(self) -> list[str]:
        """The whole text, nothing masked."""
        return self._texts

    def _encode(self, texts: Sequence[str], max_length: int | None) -> list[list[int]]:
        limit = {"truncation": True, "max_length": max_length} if max_length else {}
        encoded: list[list[int]] = self._tokenizer(list(texts), **limit)["input_ids"]
        return encoded

    def _feed(self, ids: Sequence[int]) -> dict[str, NDArray[np.generic]]:
        import numpy as np

        whole = np.asarray(ids, dtype=np.int64)
        parts = {
            "input_ids": whole,
            "attention_mask": np.ones_like(whole),
            "token_type_ids": np.zeros_like(whole),
        }
        return {name: parts[name] for name in self._tokenizer.model_input_names}

    def _tokens(self, ids: Any) -> tuple[str, ...]:
        return tuple(self._tokenizer.convert_ids_to_tokens([int(token) for token in ids]))

    def _by_row(self, outputs: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
        left = iter(outputs)
        return [[next(left) for _ in places] for places in self._places]


def hidden(place: int, token: int) -> dict[str, NDArray[np.generic]]:
    """What `FillMask.kept` needs to know of a row and the model must not."""
    import numpy as np

    return {"_place": np.asarray(place), "_token": np.asarray(token)}
