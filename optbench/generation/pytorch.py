"""Decoding with a transformers module and its own cache class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from optbench.components import Session
from optbench.generation.greedy import GreedySession

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from optbench.components import Feed


def generating_torch(session: Session, model: Any, new_tokens: int) -> GreedySession:
    """`session` over `model`, with calls that generate `new_tokens` tokens."""
    return GreedySession(session, TorchDecoder(model, new_tokens), new_tokens)


class TorchDecoder:
    """Forward passes with `use_cache`, as `generate(do_sample=False)` makes them.

    Like it, logits are computed for the last place of the prompt only, where the model offers that.
    """

    def __init__(self, model: Any, new_tokens: int) -> None:
        import inspect

        import torch

        self._torch = torch
        self._model = model
        self._new_tokens = new_tokens
        accepted = inspect.signature(model.forward).parameters
        self._options: dict[str, Any] = {"use_cache": True}
        if "logits_to_keep" in accepted:
            self._options["logits_to_keep"] = 1

    def bind(self, feed: Feed) -> tuple[Any, Any]:
        """Token ids [batch, length], and their mask followed by ones for the tokens to come."""
        torch, device = self._torch, self._model.device
        ids = torch.tensor(feed["input_ids"], device=device)
        mask = torch.tensor(feed["attention_mask"], device=device)
        to_come = torch.ones((len(ids), self._new_tokens), dtype=mask.dtype, device=device)
        return ids, torch.cat([mask, to_come], dim=1)

    def prefill(self, bound: tuple[Any, Any]) -> tuple[Any, Any]:
        """See Decoder.prefill; the state is (cache, mask, tokens seen)."""
        ids, mask = bound
        return self._next(ids, None, mask, ids.shape[1])

    def step(self, tokens: Any, state: tuple[Any, Any, int]) -> tuple[Any, Any]:
        """See Decoder.step."""
        cache, mask, seen = state
        return self._next(tokens, cache, mask, seen + 1)

    def score(self, bound: tuple[Any, Any]) -> NDArray[np.generic]:
        """See Decoder.score."""
        ids, mask = bound
        found = self._model(input_ids=ids, attention_mask=mask[:, : ids.shape[1]], use_cache=False)
        logits: NDArray[np.generic] = found.logits.cpu().numpy()
        return logits

    def tokens(self, made: Sequence[Any]) -> NDArray[np.generic]:
        """See Decoder.tokens."""
        joined: NDArray[np.generic] = self._torch.cat(list(made), dim=1).cpu().numpy()
        return joined

    def _next(self, ids: Any, cache: Any, mask: Any, seen: int) -> tuple[Any, Any]:
        found = self._model(
            input_ids=ids, attention_mask=mask[:, :seen], past_key_values=cache, **self._options
        )
        tokens = found.logits[:, -1].argmax(dim=-1, keepdim=True)
        return tokens, (found.past_key_values, mask, seen)
