"""Calls from raw rows to answers: a task's own processing around the model, in the worker's process."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from optbench.components import Backend, ModelSpec, Pipeline, Session, Task

WITHOUT_TORCH = {"USE_TORCH": "0", "USE_TF": "0", "USE_FLAX": "0"}
"""Lets transformers bring the tokenizer into a runtime's process without PyTorch."""


@dataclass(frozen=True)
class WholeCalls:
    """Raw rows of each batch that timed calls walk through, and the task that answers them."""

    task: Task
    spec: ModelSpec
    batches: list[list[Any]]


class EndToEndSession:
    """Turns raw rows into answers through a session, and notes how long the model took of each call."""

    def __init__(
        self, inner: Session, pipeline: Pipeline, clock: Callable[[], int] = time.perf_counter_ns
    ) -> None:
        self._inner = inner
        self._pipeline = pipeline
        self._clock = clock
        self._model_nanoseconds: list[int] = []

    def forward(self, rows: Sequence[Any]) -> list[Any]:
        """The answer to each row."""
        feed, encoded = self._pipeline.encode(rows)
        bound = self._inner.bind(feed)
        begun = self._clock()
        raw = self._inner.forward(bound)
        self._inner.synchronize()
        self._model_nanoseconds.append(self._clock() - begun)
        return self._pipeline.decode(self._inner.outputs(raw), encoded)

    def synchronize(self) -> None:
        """An answer is there when `forward` returns."""

    def take_model_nanoseconds(self) -> list[int]:
        """Of the model's forward in each call since last asked."""
        taken, self._model_nanoseconds = self._model_nanoseconds, []
        return taken


def whole_call_environment(backend: Backend, threads: int) -> dict[str, str]:
    """Variables for a worker that also tokenizes: as many threads as the runtime has, and no PyTorch."""
    parallel = {
        "TOKENIZERS_PARALLELISM": "true" if threads > 1 else "false",
        "RAYON_NUM_THREADS": str(threads),
    }
    return parallel if "torch" in backend.imports else {**WITHOUT_TORCH, **parallel}
