"""The greedy loop: a call is a prefill of the prompt and one decode step for each further token.

Every runtime goes through this same loop, makes the same number of tokens (no stop at an end token) and
has its first token known, on the host or on the device, when the clock is read.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from optbench.components import Session

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from optbench.components import Feed

PROMPT = "prompt"
"""Name of the input that holds what is to be continued while rows are evaluated."""
NOTHING = -1
"""No token: fills rows of prompts and continuations that are shorter than others."""


class Decoder(Protocol):
    """How a runtime reads a prompt and makes one token after the other. Nothing is padded but in `score`."""

    def bind(self, feed: Feed) -> Any:
        """input_ids and attention_mask [batch, length] in the runtime's own form."""

    def prefill(self, bound: Any) -> tuple[Any, Any]:
        """The most likely first token of each row [batch, 1], and the state to go on from."""

    def step(self, tokens: Any, state: Any) -> tuple[Any, Any]:
        """The most likely next token of each row [batch, 1] after `tokens`, and the state to go on from."""

    def score(self, bound: Any) -> NDArray[np.generic]:
        """Logits at every place: float [batch, length, vocabulary]; rows may be padded on the right."""

    def tokens(self, made: Sequence[Any]) -> NDArray[np.generic]:
        """What the steps returned, as int64 [batch, len(made)]."""


@dataclass(frozen=True)
class Evaluated:
    """A batch of rows to score, and the prompt of each row to continue; null for rows without one."""

    scored: Any
    prompts: list[Any]


@dataclass(frozen=True)
class Scored:
    """Logits [batch, length, vocabulary], and the continuations of rows that have a prompt [1, tokens]."""

    logits: NDArray[np.generic]
    continuations: list[NDArray[np.generic] | None]


class GreedySession:
    """A session whose call is a whole generation of `new_tokens` tokens.

    With the input `prompt` (int64 [batch, length], filled with -1) a call evaluates instead: it scores
    all tokens of input_ids, and continues each prompt by itself, so that rows do not change each other's
    answers.
    """

    def __init__(self, inner: Session, decoder: Decoder, new_tokens: int) -> None:
        self._inner = inner
        self._decoder = decoder
        self._steps = range(new_tokens - 1)
        self._first_tokens: list[int] = []

    def bind(self, feed: Feed) -> Any:
        """A prompt to continue, or rows to evaluate."""
        if PROMPT not in feed:
            return self._decoder.bind(feed)
        rows = {name: array for name, array in feed.items() if name != PROMPT}
        prompts = [prompt[prompt != NOTHING] for prompt in feed[PROMPT]]
        return Evaluated(
            self._decoder.bind(rows),
            [self._decoder.bind(alone(prompt)) if len(prompt) else None for prompt in prompts],
        )

    def forward(self, bound: Any) -> Any:
        """Generate; notes when the first token was there."""
        if isinstance(bound, Evaluated):
            return self._evaluate(bound)
        step = self._decoder.step
        begun = time.perf_counter_ns()
        tokens, state = self._decoder.prefill(bound)
        self._inner.synchronize()
        self._first_tokens.append(time.perf_counter_ns() - begun)
        made = [tokens]
        for _ in self._steps:
            tokens, state = step(tokens, state)
            made.append(tokens)
        return made

    def outputs(self, raw: Any) -> dict[str, NDArray[np.generic]]:
        """`continuation`, int64 [batch, tokens], and where rows were evaluated their `logits`."""
        import numpy as np

        if not isinstance(raw, Scored):
            return {"continuation": self._decoder.tokens(raw)}
        length = len(self._steps) + 1
        rows = np.full((len(raw.continuations), length), NOTHING, dtype=np.int64)
        for number, continuation in enumerate(raw.continuations):
            if continuation is not None:
                rows[number] = continuation[0]
        return {"logits": raw.logits, "continuation": rows}

    def take_first_tokens(self) -> list[int]:
        """See Generating.take_first_tokens."""
        taken, self._first_tokens = self._first_tokens, []
        return taken

    def synchronize(self) -> None:
        """As the session underneath."""
        self._inner.synchronize()

    def settings(self) -> dict[str, Any]:
        """Those of the session underneath."""
        return self._inner.settings()

    def weights_bytes(self) -> int | None:
        """Those of the session underneath."""
        return self._inner.weights_bytes()

    def _evaluate(self, bound: Evaluated) -> Scored:
        continuations = [
            None if prompt is None else self._decoder.tokens(self.forward(prompt)) for prompt in bound.prompts
        ]
        return Scored(self._decoder.score(bound.scored), continuations)


def alone(prompt: NDArray[np.generic]) -> Mapping[str, NDArray[np.generic]]:
    """One row's prompt as a batch of its own."""
    import numpy as np

    ids = prompt[None]
    return {"input_ids": ids, "attention_mask": np.ones_like(ids)}
