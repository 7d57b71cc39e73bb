"""What a backend loads, how it is asked to, and the loaded model: facts and protocols, no behaviour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from optbench.components.backend import Quantization

    Feed = Mapping[str, NDArray[np.generic]]


class WaitPolicy(Enum):
    """How a runtime's threads wait for work: as it ships, asleep at once, or spinning."""

    runtime = "runtime"
    passive = "passive"
    active = "active"


class Priority(Enum):
    """Of worker processes: raised above all other work where the system permits, or as they come."""

    raised = "raised"
    normal = "normal"


@dataclass(frozen=True)
class ModelSpec:
    """What a checkpoint's own files say about it; known before anything is loaded.

    max_length: the longest input in tokens; null where the model sets no limit.
    trust_remote_code: whether Python code beside the weights may be run.
    """

    directory: Path
    model_type: str
    labels: tuple[str, ...]
    vocab_size: int | None
    max_length: int | None
    trust_remote_code: bool = False


@dataclass(frozen=True)
class Artifact:
    """Files that a backend can load, and how they were made.

    format: 'transformers' (a checkpoint directory), 'onnx' (a directory that holds model.onnx) or
        'openvino' (one that holds model.xml and model.bin).
    step_seconds: seconds by preparation step, such as {'export': 3.1, 'quantize': 0.9}.
    model: directory of the checkpoint that all began with; empty where it is not known.
    history: what each step read and did, first step first. notes: what the reader of a result should know.
    """

    directory: Path
    format: str
    sha256: str
    size_bytes: int
    details: dict[str, Any] = field(default_factory=dict)
    step_seconds: dict[str, float] = field(default_factory=dict)
    from_cache: bool = False
    model: str = ""
    history: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class LoadOptions:
    """How a session is loaded; the same settings for every runtime.

    priority: whether to ask the scheduler to prefer the worker to all other work.
    quantization: for runtimes that quantize a module in memory (`Quantization.transform`).
    closed_loop: whether another variant is timed as soon as a call returns, so that threads must not
    go on waiting actively; else they wait as they ship.
    new_tokens: of each call, which is then a whole generation (`optbench.generation`); null where a call
    is one forward pass.
    trust_remote_code: whether Python code beside the weights may be run.
    """

    threads: int
    wait_policy: WaitPolicy
    graph_level: str
    model_class: str
    closed_loop: bool = True
    priority: Priority = Priority.raised
    quantization: Quantization | None = None
    new_tokens: int | None = None
    trust_remote_code: bool = False


class Session(Protocol):
    """A loaded model, ready to be called. Lives inside one worker process.

    The first feed that is bound has the shape that will be timed.
    """

    def bind(self, feed: Feed) -> Any:
        """`feed` in the runtime's own form, made once, outside the timed calls."""

    def forward(self, bound: Any) -> Any:
        """One forward pass over bound inputs; returns the runtime's own outputs."""

    def outputs(self, raw: Any) -> dict[str, NDArray[np.generic]]:
        """What `forward` returned, copied into arrays by output name."""

    def synchronize(self) -> None:
        """Wait until the device has finished; does nothing where `forward` already waits."""

    def settings(self) -> dict[str, Any]:
        """What the runtime says it runs with; `threads` is read back, never assumed."""

    def weights_bytes(self) -> int | None:
        """Bytes of the weights as loaded; null where the artifact's files are the weights."""


@runtime_checkable
class Generating(Protocol):
    """A session whose calls have two phases: until the first token, and from there to the last."""

    def take_first_tokens(self) -> list[int]:
        """Nanoseconds from the start of a call to its first token, of each call since last asked."""


class Pipeline(Protocol):
    """What a task does around the model, from raw rows to answers. Lives in a worker process."""

    def encode(self, rows: Sequence[Any]) -> tuple[Feed, Any]:
        """Model inputs of raw rows [batch, ...], padded to the longest, and what `decode` must know."""

    def decode(self, outputs: Mapping[str, NDArray[np.generic]], encoded: Any) -> list[Any]:
        """The answer to each row, as `Examples.predictions` gives it."""
