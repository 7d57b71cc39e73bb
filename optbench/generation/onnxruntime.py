"""Decoding with an ONNX graph that takes its KV cache as inputs and returns it as outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from optbench.components import Session
from optbench.errors import DataError
from optbench.generation.greedy import GreedySession

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from optbench.components import Feed

PAST, PRESENT = "past_key_values.", "present."
"""Prefixes of the cache in optimum's exports (`text-generation-with-past`)."""
FLOATS = {"tensor(float)": "float32", "tensor(float16)": "float16"}


def generating_onnx(session: Session, onnx_session: Any, new_tokens: int) -> GreedySession:
    """`session` over `onnx_session`, with calls that generate `new_tokens` tokens. Raises DataError."""
    return GreedySession(session, OnnxDecoder(onnx_session), new_tokens)


class OnnxDecoder:
    """Runs with numpy arrays; nothing of the cache is copied between two steps.

    `InferenceSession.run` returns views of the runtime's own memory and takes contiguous arrays as they
    are, so the outputs of a step are the inputs of the next. `run_with_ort_values` and IO bindings take as
    long, and longer where the model is small (figures in docs/methodology.md).
    """

    def __init__(self, session: Any) -> None:
        inputs = {item.name: item for item in session.get_inputs()}
        self._past = [name for name in inputs if name.startswith(PAST)]
        known = {"input_ids", "attention_mask", "position_ids", *self._past}
        if not self._past:
            raise DataError(
                f"the ONNX model takes no KV cache: inputs {PAST}* are required, found "
                f"{', '.join(inputs)}; export it with the task text-generation-with-past"
            )
        if unknown := sorted(set(inputs) - known):
            raise DataError(
                f"the ONNX model needs the input {', '.join(unknown)}, which generating does not give; it "
                f"gives input_ids, attention_mask, position_ids and {PAST}*"
            )
        self._outputs = ["logits", *(PRESENT + name.removeprefix(PAST) for name in self._past)]
        if lacking := sorted(set(self._outputs) - {item.name for item in session.get_outputs()}):
            raise DataError(f"the ONNX model has no output {', '.join(lacking)}, which generating needs")
        self._shapes = [inputs[name].shape for name in self._past]
        self._types = [FLOATS.get(inputs[name].type, "float32") for name in self._past]
        self._takes_mask = "attention_mask" in inputs
        self._takes_positions = "position_ids" in inputs
        self._run = session.run

    def bind(self, feed: Feed) -> dict[str, Any]:
        """The first run's inputs, with an empty cache."""
        import numpy as np

        ids = np.ascontiguousarray(feed["input_ids"])
        batch, length = ids.shape
        bound = {"input_ids": ids}
        if self._takes_mask:
            bound["attention_mask"] = np.ascontiguousarray(feed["attention_mask"])
        if self._takes_positions:
            bound["position_ids"] = np.tile(np.arange(length, dtype=np.int64), (batch, 1))
        for name, shape, kind in zip(self._past, self._shapes, self._types, strict=True):
            bound[name] = np.zeros(empty_shape(shape, batch), dtype=kind)
        return bound

    def prefill(self, bound: dict[str, Any]) -> tuple[Any, Any]:
        """See Decoder.prefill; the state is (cache, tokens seen)."""
        return self._next(bound, bound["input_ids"].shape[1])

    def step(self, tokens: Any, state: tuple[list[Any], int]) -> tuple[Any, Any]:
        """See Decoder.step."""
        import numpy as np

        cache, seen = state
        feed = dict(zip(self._past, cache, strict=True))
        feed["input_ids"] = tokens
        if self._takes_mask:
            feed["attention_mask"] = np.ones((len(tokens), seen + 1), dtype=np.int64)
        if self._takes_positions:
            feed["position_ids"] = np.full((len(tokens), 1), seen, dtype=np.int64)
        return self._next(feed, seen + 1)

    def score(self, bound: dict[str, Any]) -> NDArray[np.generic]:
        """See Decoder.score."""
        logits: NDArray[np.generic] = self._run(["logits"], bound)[0]
        return logits

    def tokens(self, made: Sequence[Any]) -> NDArray[np.generic]:
        """See Decoder.tokens."""
        import numpy as np

        return np.concatenate(list(made), axis=1)

    def _next(self, feed: dict[str, Any], seen: int) -> tuple[Any, Any]:
        logits, *cache = self._run(self._outputs, feed)
        return logits[:, -1].argmax(axis=-1)[:, None], (cache, seen)


def empty_shape(shape: Sequence[int | str], batch: int) -> tuple[int, ...]:
    """An input's shape without any cached token; its first axis is the batch, names on others are lengths."""
    first, *others = shape
    return (first if isinstance(first, int) else batch, *(n if isinstance(n, int) else 0 for n in others))
