"""A runtime that computes nothing and takes as long as it is told: to try out the instrument itself."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from optbench.checkpoint import read_spec
from optbench.components import (
    Artifact,
    Backend,
    Graph,
    LoadOptions,
    ModelSpec,
    Session,
    WaitPolicy,
    register,
)
from optbench.generation.greedy import GreedySession

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from optbench.measure.fake import FakeCalls

SHAPES = ("constant", "lognormal", "ar1", "drifting", "bimodal")


@register("backend", "fake")
@dataclass
class Fake(Backend):
    """Calls that last as long as a seeded distribution says; answers that depend on the input alone.

    call_seconds: mean time of a call. shape: of their distribution: constant, lognormal, ar1 (each like the
    one before), drifting (slower and slower) or bimodal. cv: their coefficient of variation.
    offset_sd: sd of the log of a factor that every process draws once and keeps.
    sleep: sleep instead of keeping the core busy.
    first_token_share: of the time of a call that generates tokens, until the first one is there.
    seed: with the process number it decides the draws; two fakes with different seeds differ.
    """

    call_seconds: float = 0.002
    shape: str = "lognormal"
    cv: float = 0.03
    offset_sd: float = 0.0
    sleep: bool = False
    first_token_share: float = 0.25
    seed: int = 0

    artifact_formats: ClassVar[tuple[str, ...]] = ("transformers",)
    imports: ClassVar[tuple[str, ...]] = ("numpy",)
    can_generate: ClassVar[bool] = True

    def problems(self) -> list[str]:
        """Ranges."""
        found = []
        if not 0 < self.call_seconds <= 60:
            found.append(f"call_seconds must lie between 0 and 60, got {self.call_seconds:g}")
        if self.shape not in SHAPES:
            found.append(f"shape must be one of {', '.join(SHAPES)}, got {self.shape!r}")
        if not 0 < self.first_token_share <= 1:
            found.append(f"first_token_share must be a share above 0, got {self.first_token_share:g}")
        for key in ("cv", "offset_sd"):
            if not 0 <= getattr(self, key) <= 2:
                found.append(f"{key} must lie between 0 and 2, got {getattr(self, key):g}")
        return found

    def supports(self, spec: ModelSpec, graph: Graph) -> str | None:
        """There is no graph."""
        return None if graph.level == "default" else "backend=fake has no graph; use graph=default"

    def environment(self, threads: int, wait_policy: WaitPolicy) -> dict[str, str]:
        """Nothing to set."""
        return {}

    def load(self, artifact: Artifact, options: LoadOptions) -> Session:
        """A session over nothing."""
        import os

        import numpy as np

        from optbench.measure.fake import FakeCalls, FakeRuntime

        runtime = FakeRuntime(self.call_seconds, self.shape, self.cv, self.offset_sd)  # type: ignore[arg-type]
        calls = FakeCalls(runtime, np.random.default_rng([self.seed, os.getpid()]))
        session = FakeSession(calls, self, options.threads)
        if options.new_tokens is None:
            return session
        vocabulary = read_spec(artifact.directory, trust_remote_code=True).vocab_size or 1
        decoder = FakeDecoder(session, vocabulary, options.new_tokens)
        return GreedySession(session, decoder, options.new_tokens)


class FakeSession:
    """Waits, busily or asleep, and answers with logits made from the token ids."""

    def __init__(self, calls: FakeCalls, fake: Fake, threads: int) -> None:
        self._calls = calls
        self._fake = fake
        self._sleep = fake.sleep
        self.first_token_share = fake.first_token_share
        self._threads = threads

    def bind(self, feed: Mapping[str, NDArray[np.generic]]) -> Mapping[str, NDArray[np.generic]]:
        """The feed as it is."""
        return feed

    def forward(self, bound: Mapping[str, NDArray[np.generic]]) -> Any:
        """Let the next call's time pass."""
        self.wait(self.draw())
        return bound["input_ids"] if "input_ids" in bound else next(iter(bound.values()))

    def draw(self) -> float:
        """Seconds of the next call."""
        return float(self._calls.draw(1)[0])

    def wait(self, seconds: float) -> None:
        """Let so much time pass."""
        end = time.perf_counter() + seconds
        if self._sleep:
            time.sleep(max(0.0, end - time.perf_counter()))
        while time.perf_counter() < end:
            pass

    def outputs(self, raw: Any) -> dict[str, NDArray[np.generic]]:
        """Two logits per row, float32 [batch, 2]: an even or an odd sum of token ids, or of pixels."""
        import numpy as np

        odd = (raw.reshape(len(raw), -1).sum(axis=1) // 1 % 2).astype(np.float32)
        return {"logits": np.stack([1 - odd, odd], axis=1)}

    def synchronize(self) -> None:
        """Nothing runs elsewhere."""

    def settings(self) -> dict[str, Any]:
        """The threads it was given and does not use, and how long it was told to take."""
        return {"threads": self._threads, "call_seconds": self._fake.call_seconds, "shape": self._fake.shape}

    def weights_bytes(self) -> None:
        """The checkpoint's files stand in."""
        return


class FakeDecoder:
    """Says that each token is followed by the next one of the vocabulary, in the time of one fake call."""

    def __init__(self, session: FakeSession, vocabulary: int, new_tokens: int) -> None:
        self._session = session
        self._vocabulary = vocabulary
        self._steps = max(1, new_tokens - 1)
        self._share = session.first_token_share

    def bind(self, feed: Mapping[str, NDArray[np.generic]]) -> Any:
        """The token ids."""
        return feed["input_ids"]

    def prefill(self, bound: Any) -> tuple[Any, Any]:
        """The first share of a call; the state is the seconds of each step to come."""
        seconds = self._session.draw()
        self._session.wait(self._share * seconds)
        return self._after(bound[:, -1:]), (1 - self._share) * seconds / self._steps

    def step(self, tokens: Any, state: float) -> tuple[Any, Any]:
        """One step's share."""
        self._session.wait(state)
        return self._after(tokens), state

    def score(self, bound: Any) -> NDArray[np.generic]:
        """One logit of 1 at the token that follows, in no time."""
        import numpy as np

        logits: NDArray[np.generic] = np.eye(self._vocabulary, dtype=np.float32)[self._after(bound)]
        return logits

    def tokens(self, made: Sequence[Any]) -> NDArray[np.generic]:
        """Side by side."""
        import numpy as np

        return np.concatenate(list(made), axis=1)

    def _after(self, ids: Any) -> Any:
        return (ids + 1) % self._vocabulary
