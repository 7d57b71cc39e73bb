"""Text generation: perplexity, next tokens, and whether greedy continuations stay the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from optbench.checkpoint import read_json
from optbench.components import Dataset, Examples, ModelSpec, Task, register
from optbench.generation.greedy import NOTHING, PROMPT
from optbench.quality.likelihood import doubled, log_likelihoods, perplexity
from optbench.quality.row_metric import RowMetric
from optbench.rows.columns import no_text, readable, text_column
from optbench.rows.tokenization import by_length, load_tokenizer, padding_value, random_feed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from optbench.components import Feed
    from optbench.quality.rows import Statistics

WINDOW = 1024
"""Most tokens of a window unless told otherwise: the logits of a place take 4 bytes per token known."""
FULL_LOGITS_LIMIT = 5000
"""Vocabularies up to this size are kept whole at a few places, so that drift can be told."""
DRIFT_PLACES = 4
"""Places of a row whose logits are kept, evenly spread over its first window."""
CAUSAL = ("CausalLM", "LMHead")

METRICS = {
    metric.name: metric
    for metric in (
        RowMetric(
            "perplexity",
            False,
            "exp of the mean negative log likelihood of the tokens, teacher forced; Jelinek et al. 1977",
            perplexity,
            doubled,
            is_share=False,
        ),
        RowMetric("top1", True, "share of tokens that the model finds most likely, teacher forced"),
        RowMetric(
            "same_continuation",
            True,
            "share of rows whose greedy continuation is the baseline's",
            is_binary=True,
            is_agreement=True,
        ),
        RowMetric(
            "leading_tokens",
            True,
            "mean share of a greedy continuation's tokens before the first that is not the baseline's",
            is_agreement=True,
        ),
    )
}


@register("task", "text-generation")
@dataclass
class TextGeneration(Task):
    """Texts are scored token by token, and their beginnings continued greedily, with a KV cache.

    new_tokens: of each continuation, in timed calls too; nothing stops earlier. prompt_tokens: of a row
    that are continued; a shorter row is continued as a whole.
    window: tokens that a place is scored in; null takes the model's longest input, at most 1,024.
    stride: tokens by which the next window of a longer text begins later; null takes half the window.
    """

    new_tokens: int = 32
    prompt_tokens: int = 32
    window: int | None = None
    stride: int | None = None

    model_class: ClassVar[str] = "AutoModelForCausalLM"
    export_task: ClassVar[str] = "text-generation-with-past"
    evaluation_batch_size: ClassVar[int | None] = 1

    @property
    def generated_tokens(self) -> int:
        """See Task.generated_tokens."""
        return self.new_tokens

    def problems(self) -> list[str]:
        """Ranges."""
        found = [
            f"{key} must be >= 1, got {value}"
            for key, value in (("new_tokens", self.new_tokens), ("prompt_tokens", self.prompt_tokens))
            if value < 1
        ]
        if self.window is not None and self.window < 2:
            found.append(f"window must be >= 2 or null, got {self.window}: a token is predicted from others")
        if self.stride is not None and self.stride < 1:
            found.append(f"stride must be >= 1 or null, got {self.stride}")
        return found

    def supports(self, spec: ModelSpec) -> str | None:
        """A causal language model whose longest input holds what is asked of it."""
        if spec.vocab_size is None:
            return f"task=text-generation needs a text model, and {spec.model_type} has no vocabulary"
        declared = read_json(spec.directory / "config.json").get("architectures") or []
        if declared and not any(part in str(name) for name in declared for part in CAUSAL):
            return (
                f"task=text-generation needs a causal language model, and {spec.directory} holds "
                f"{', '.join(map(str, declared))}"
            )
        window = self.window_of(spec)
        if self.stride is not None and self.stride >= window:
            return f"task.stride must be below the window of {window} tokens, got {self.stride}"
        if spec.max_length is None:
            return None
        for key, value in (
            ("task.window", window),
            ("task.prompt_tokens + task.new_tokens", self.prompt_tokens + self.new_tokens),
        ):
            if value > spec.max_length:
                return f"{key} must be <= {spec.max_length}, the longest input of this model, got {value}"
        return None

    def window_of(self, spec: ModelSpec) -> int:
        """Tokens of a window."""
        return self.window or min(spec.max_length or WINDOW, WINDOW)

    def windows(self, spec: ModelSpec, length: int) -> Iterator[tuple[int, int, int]]:
        """Windows of a text of `length` tokens: begin, end, and the first place in it that is scored.

        Every token but the text's first is scored once: in the first window that holds it, so from at
        least window - stride tokens before it, or from all there are.
        """
        window = self.window_of(spec)
        stride = self.stride or window // 2
        begin, end = 0, min(window, length)
        yield begin, end, 1
        while end < length:
            begin, scored = begin + stride, end
            end = min(begin + window, length)
            yield begin, end, scored - begin

    def examples(self, spec: ModelSpec, dataset: Dataset, rows: Any) -> GenerationExamples:
        """The rows, as windows to score and prompts to continue."""
        return GenerationExamples(self, spec, rows, *text_column(dataset, rows))

    def random_feed(self, spec: ModelSpec, shape: tuple[int, int], seed: int) -> Feed:
        """Seeded random prompts of exactly `shape`."""
        feed = random_feed(load_tokenizer(spec.directory, spec.trust_remote_code), shape, seed)
        return whole(feed["input_ids"])

    def padding(self, spec: ModelSpec) -> dict[str, int]:
        """The tokenizer's own padding; no token for prompts."""
        pad = padding_value(load_tokenizer(spec.directory, spec.trust_remote_code), "input_ids")
        return {"input_ids": pad, "attention_mask": 0, PROMPT: NOTHING}

    def refuses_pipeline(self) -> str:
        """Prompts of a batch must be equally long."""
        return (
            "task=text-generation continues prompts of one length, which texts do not have, so no raw row "
            "can be timed to its answer; use measure.scope=model (its call is a whole generation)"
        )

    def kept(self, feed: Feed, outputs: dict[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
        """Of a window: likelihood and hits of its scored tokens, a few logits, and the continuation."""
        import numpy as np

        first = int(feed["_first"])
        tokens = feed["input_ids"][first:]
        logits = outputs["logits"][first - 1 : first - 1 + len(tokens)]
        continuation = outputs["continuation"]
        kept = {
            "log_likelihood": np.asarray(log_likelihoods(logits, tokens).sum()),
            "right": np.asarray((logits.argmax(axis=-1) == tokens).sum()),
            "scored": np.asarray(len(tokens)),
            "continuation": continuation[continuation != NOTHING],
        }
        if logits.shape[-1] <= FULL_LOGITS_LIMIT:
            places = min(DRIFT_PLACES, len(tokens)) if len(feed[PROMPT]) else 0
            spread = np.linspace(0, max(0, len(tokens) - 1), places).astype(np.int64)
            kept["logits"] = logits[spread].astype(np.float32)
        return kept


class GenerationExamples(Examples):
    """Rows of text; a reference is how the text goes on after the prompt, an answer what the model says."""

    kind = "structured"

    def __init__(
        self, task: TextGeneration, spec: ModelSpec, rows: Any, columns: dict[str, str], notes: list[str]
    ) -> None:
        super().__init__()
        self.columns = columns
        self.notes = notes
        self.metrics = dict(METRICS)
        self._task = task
        self._spec = spec
        self._tokenizer = load_tokenizer(spec.directory, spec.trust_remote_code)
        rows, self.failed = readable(rows, {"data_keys.primary": columns["primary"]}, self._unusable)
        self._texts = list(rows[columns["primary"]][:])
        self._ids: list[list[int]] = self._tokenizer(self._texts)["input_ids"]
        self._windows = [list(task.windows(spec, len(ids))) for ids in self._ids]
        longer = sum(len(windows) > 1 for windows in self._windows)
        if longer:
            notes.append(f"{longer} of {len(self._texts)} texts are scored in more than one window")
        alone = sum(len(ids) == 1 for ids in self._ids)
        if alone:
            notes.append(f"{alone} of {len(self._texts)} texts are a single token: continued, but not scored")

    def encoded(self) -> list[Feed]:
        """One input for each window: int64 [length] by input name; the first one carries the prompt."""
        import numpy as np

        feeds: list[Feed] = []
        for ids, windows in zip(self._ids, self._windows, strict=True):
            for begin, end, first in windows:
                prompt = ids[: self._task.prompt_tokens] if begin == 0 else []
                feeds.append(
                    {
                        **whole(np.asarray(ids[begin:end], dtype=np.int64)),
                        PROMPT: np.asarray(prompt, dtype=np.int64),
                        "_first": np.asarray(first),
                    }
                )
        return feeds

    def cut(self, shape: tuple[int, int], seed: int) -> Feed:
        """Prompts of exactly `shape`, of seeded texts one after the other: a prompt is never padded."""
        import numpy as np

        batch, length = shape
        rng = np.random.default_rng(seed)
        prompts = []
        for _ in range(batch):
            ids: list[int] = []
            while len(ids) < length:
                ids += self._ids[int(rng.integers(len(self._ids)))]
            prompts.append(ids[:length])
        return whole(np.asarray(prompts, dtype=np.int64))

    def references(self) -> list[Any] | None:
        """The tokens that follow the prompt in the text."""
        begin, end = self._task.prompt_tokens, self._task.prompt_tokens + self._task.new_tokens
        return [self._tokens(ids[begin:end]) for ids in self._ids]

    def predictions(self, outputs: Sequence[Mapping[str, Any]]) -> list[Any]:
        """The tokens of the greedy continuation."""
        return [self._tokens(row[0]["continuation"]) for row in self._by_row(outputs)]

    def default_metrics(self) -> list[str]:
        """All of them."""
        return list(METRICS)

    def statistics(self, outputs: Sequence[Mapping[str, Any]]) -> Statistics:
        """Likelihood and hits of each row's tokens."""
        import numpy as np

        rows = [
            (
                -sum(float(window["log_likelihood"]) for window in row),
                sum(int(window["right"]) for window in row),
                sum(int(window["scored"]) for window in row),
            )
            for row in self._by_row(outputs)
        ]
        loss, right, scored = np.array(rows, dtype=np.float64).T
        return {"perplexity": np.stack([loss, scored], axis=1), "top1": np.stack([right, scored], axis=1)}

    def against(
        self, outputs: Sequence[Mapping[str, Any]], baseline: Sequence[Mapping[str, Any]]
    ) -> Statistics:
        """How far each continuation goes along with the baseline's."""
        import numpy as np

        shares = []
        for own, other in zip(self._by_row(outputs), self._by_row(baseline), strict=True):
            equal = own[0]["continuation"] == other[0]["continuation"]
            shares.append(float(np.logical_and.accumulate(equal).mean()))
        share, ones = np.array(shares), np.ones(len(shares))
        return {
            "same_continuation": np.stack([(share == 1).astype(np.float64), ones], axis=1),
            "leading_tokens": np.stack([share, ones], axis=1),
        }

    def logits(self, outputs: Sequence[Mapping[str, Any]]) -> list[NDArray[np.float64]]:
        """Logits of a few places of each row: float64 [places, vocabulary]; none for large vocabularies."""
        import numpy as np

        if "logits" not in outputs[0]:
            return []
        return [np.asarray(row[0]["logits"], dtype=np.float64) for row in self._by_row(outputs)]

    def groups(self) -> dict[str, list[str]]:
        """By length."""
        return {"length": by_length([len(text) for text in self._texts])}

    def texts(self) -> list[str]:
        """The whole text."""
        return self._texts

    def _unusable(self, value: Any) -> str | None:
        reason = no_text(value)
        if reason is None and not self._tokenizer(value)["input_ids"]:
            return f"text of one token or more is required, found {value!r}"
        return reason

    def _tokens(self, ids: Any) -> tuple[str, ...]:
        return tuple(self._tokenizer.convert_ids_to_tokens([int(token) for token in ids]))

    def _by_row(self, outputs: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
        left = iter(outputs)
        return [[next(left) for _ in windows] for windows in self._windows]


def whole(ids: NDArray[np.generic]) -> dict[str, NDArray[np.generic]]:
    """Token ids and a mask that hides none of them."""
    import numpy as np

    return {"input_ids": ids, "attention_mask": np.ones_like(ids)}
