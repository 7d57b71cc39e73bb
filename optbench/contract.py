"""What every backend must hold, as a check for its tests; see docs/extending.md.

assert backend_violations(Mine(), artifact, options, feed) == []
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from optbench.components import Artifact, Backend, LoadOptions, Session, WaitPolicy

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from optbench.components import Feed

    Outputs = dict[str, NDArray[np.generic]]

FORMATS = ("transformers", "onnx", "openvino")
TOLERANCE = 1e-3
"""Relative to the largest output: sums in another order differ by far less in float32."""


def backend_violations(
    backend: Backend,
    artifact: Artifact,
    options: LoadOptions,
    feed: Feed,
    expected: Mapping[str, NDArray[np.generic]] | None = None,
) -> list[str]:
    """What a backend does not hold, one sentence each; empty if it is sound.

    feed: inputs of at least two rows that differ. expected: outputs for them from elsewhere, by name.
    """
    found = declaration_violations(backend, options)
    return found + session_violations(backend.load(artifact, options), options, feed, expected)


def declaration_violations(backend: Backend, options: LoadOptions) -> list[str]:
    """What is wrong before anything is loaded."""
    found = []
    if not hasattr(backend, "registered_name"):
        found.append('the class must be registered with @register("backend", NAME)')
    if not backend.artifact_formats or not set(backend.artifact_formats) <= set(FORMATS):
        found.append(
            f"artifact_formats must name some of {', '.join(FORMATS)}, got {backend.artifact_formats}"
        )
    if backend.problems():
        found.append(f"problems() must be empty for a config that is meant to work, got {backend.problems()}")
    if pickle.loads(pickle.dumps(backend)) != backend:
        found.append("it must come back equal from pickle, as it is handed to other processes")
    variables = backend.environment(options.threads, WaitPolicy.runtime)
    if not all(isinstance(text, str) for pair in variables.items() for text in pair):
        found.append(f"environment() must map texts to texts, got {variables}")
    return found


def session_violations(
    session: Session,
    options: LoadOptions,
    feed: Feed,
    expected: Mapping[str, NDArray[np.generic]] | None = None,
) -> list[str]:
    """What is wrong with a loaded session."""
    import numpy as np

    first = answer(session, feed)
    rows = len(next(iter(feed.values())))
    if not first or not all(isinstance(value, np.ndarray) for value in first.values()):
        return ["outputs() must give numpy arrays by their names"]
    if any(value.ndim == 0 or len(value) != rows for value in first.values()):
        return [f"the first axis of each output must be the rows of the batch, here {rows}"]
    kept = {name: value.copy() for name, value in first.items()}
    back = {name: np.ascontiguousarray(value[::-1]) for name, value in feed.items()}
    checks: list[tuple[str, Callable[[], Any], Mapping[str, Any]]] = [
        ("the same inputs must give the same outputs", lambda: answer(session, feed), kept),
        (
            "the answer to a row must depend on that row",
            lambda: {name: value[::-1] for name, value in answer(session, back).items()},
            kept,
        ),
        ("outputs() must copy what the next call will overwrite", lambda: first, kept),
        (
            "a batch of another size must work and answer the same",
            lambda: answer(session, {name: value[:1] for name, value in feed.items()}),
            {name: value[:1] for name, value in kept.items()},
        ),
        (
            "inputs that the model does not take must be ignored",
            lambda: answer(session, {**feed, "not_taken": np.zeros((rows, 1))}),
            kept,
        ),
        ("outputs must be those that are expected", lambda: first, expected or {}),
    ]
    found = [violation(text, make, wanted) for text, make, wanted in checks]
    return [text for text in found if text is not None] + settings_violations(session, options)


def answer(session: Session, feed: Feed) -> Outputs:
    """The outputs for a feed, by way of all that a worker calls."""
    raw = session.forward(session.bind(feed))
    session.synchronize()
    return session.outputs(raw)


def violation(text: str, make: Callable[[], Any], wanted: Mapping[str, Any]) -> str | None:
    """The text with what was found, if what is made is not as wanted."""
    import numpy as np

    try:
        made = make()
    except Exception as error:  # whatever a backend raises, it is what was found
        return f"{text}, but {type(error).__name__}: {error}"
    for name, value in wanted.items():
        if name not in made or made[name].shape != value.shape:
            return f"{text}, but {name} has another shape or is not there"
        scale = float(np.abs(value).max(initial=1.0))
        difference = float(np.abs(made[name] - value).max(initial=0.0))
        if not difference <= TOLERANCE * scale:
            return f"{text}, but {name} differs by {difference:.3g}"
    return None


def settings_violations(session: Session, options: LoadOptions) -> list[str]:
    """What is wrong with what a session says of itself."""
    found = []
    settings = session.settings()
    if settings.get("threads") != options.threads:
        found.append(
            f"settings()['threads'] must be the number of threads as read back, {options.threads} were set, "
            f"got {settings.get('threads')}"
        )
    try:
        json.dumps(settings)
    except (TypeError, ValueError) as error:
        found.append(f"settings() must be plain JSON values: {error}")
    weights = session.weights_bytes()
    if weights is not None and not (isinstance(weights, int) and weights > 0):
        found.append(f"weights_bytes() must be null or a number of bytes, got {weights!r}")
    return found
