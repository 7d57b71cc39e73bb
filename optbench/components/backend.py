"""What runs a model and what makes it smaller or faster: runtimes, graph levels, quantizations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from omegaconf import MISSING

from optbench.components.component import Component, component_name
from optbench.components.session import Artifact, LoadOptions, ModelSpec, Session, WaitPolicy

if TYPE_CHECKING:
    from optbench.components.session import Feed
    from optbench.records import KernelReport


@dataclass(frozen=True)
class ModuleTraits:
    """How a runtime holds the PyTorch module that a quantization may change in memory.

    device: as PyTorch names it. arithmetic: floating-point type it computes in. compiled: whether
    calls run a graph that was traced from the module.
    """

    device: str
    arithmetic: str
    compiled: bool


@dataclass
class Backend(Component, ABC):
    """A runtime that loads an artifact and runs it.

    compiles: whether a session's first call compiles, so that a second one must tell for how long.
    """

    artifact_formats: ClassVar[tuple[str, ...]]
    """Formats that `load` reads; a checkpoint is turned into the first of them."""

    imports: ClassVar[tuple[str, ...]]
    """Modules that `load` needs; a worker imports them first, and the time is reported apart."""

    can_generate: ClassVar[bool] = False
    """Whether `load` heeds `LoadOptions.new_tokens`."""
    compiles: ClassVar[bool] = False

    has_integer_operators: ClassVar[bool] = False
    """Whether it runs ONNX Runtime's operators in integers, such as QGemm."""

    @property
    def export_opset(self) -> int | None:
        """ONNX operator set that an export should use; null leaves it to the exporter."""
        return None

    def module_traits(self) -> ModuleTraits | None:
        """What `Quantization.transform` would meet; null where `load` does not call it."""
        return None

    def cautions(self, session: Session) -> list[str]:
        """What went otherwise than asked in a session so far, one sentence each."""
        return []

    def compiled_before(self, session: Session) -> bool:
        """Whether the first call found what it would have compiled in a cache."""
        return False

    def may_fork(self) -> bool:
        """Whether workers may be forked from a process that has imported the runtime."""
        return True

    @abstractmethod
    def supports(self, spec: ModelSpec, graph: Graph) -> str | None:
        """None, or why this backend cannot run such a model at such a graph level."""

    def cautions_about(self, quantization: Quantization) -> list[str]:
        """What is known to go wrong with such a quantization in this runtime, one sentence each."""
        return []

    @abstractmethod
    def environment(self, threads: int, wait_policy: WaitPolicy) -> dict[str, str]:
        """Environment variables that must stand before the runtime is imported. May raise Unsupported."""

    @abstractmethod
    def load(self, artifact: Artifact, options: LoadOptions) -> Session:
        """The artifact, loaded. Raises DataError where its files cannot be read."""

    def kernels(self, artifact: Artifact, options: LoadOptions, feed: Feed) -> KernelReport | None:
        """What really runs in integer kernels, as the runtime itself tells; null where it does not."""
        return None


@dataclass
class Graph(Component):
    """How far the graph is rewritten: by the runtime when it loads, or in a file of its own before."""

    level: str = MISSING

    @property
    def session_level(self) -> str:
        """The level that the runtime itself is asked for; 'default' says nothing to it."""
        return self.level

    def supports(self, spec: ModelSpec, backend: Backend) -> str | None:
        """None, or why such a model cannot be rewritten so for this backend."""
        return None

    def recipe(self) -> dict[str, Any] | None:
        """Everything that changes the rewritten file; null where no file is written."""
        return None

    def apply(self, source: Path, target: Path) -> dict[str, Any]:
        """Write the rewritten model.onnx of directory `source` to `target`; returns what was done."""
        raise ValueError(f"graph={self.level} has nothing to apply to {source}")


@dataclass
class Quantization(Component, ABC):
    """How weights or activations are made smaller: in files, or in memory when a module is loaded.

    source_format, target_format: formats that `apply` reads and writes; without a target the artifact
    stays as it is and `transform` changes the loaded module.
    """

    source_format: ClassVar[str | None] = None
    target_format: ClassVar[str | None] = None

    answers_depend_on_batch: ClassVar[bool] = False
    """Whether activation scales are those of a whole batch, so that rows change each other's answers."""

    @abstractmethod
    def supports(self, spec: ModelSpec, backend: Backend) -> str | None:
        """None, or why such a model cannot be quantized so for this backend."""

    @abstractmethod
    def recipe(self) -> dict[str, Any] | None:
        """Everything that changes the outcome; null where nothing is quantized."""

    def calibration_rows(self) -> int:
        """How many rows `apply` wants to see; 0 where it needs none."""
        return 0

    def cautions(self) -> list[str]:
        """What is known to go wrong with this recipe on this machine, one sentence each."""
        return []

    def excluding(self, nodes: Sequence[str]) -> Quantization | None:
        """The same recipe with these nodes of the graph left in floating point; null if it cannot."""
        return None

    def apply(self, source: Path, target: Path, calibration: Sequence[Feed]) -> dict[str, Any]:
        """Write the quantized model of directory `source` to `target`; returns what was done.

        calibration: encoded rows, unpadded, without a batch axis; empty where none were asked for.
        """
        raise ValueError(f"quant={component_name(self)} has nothing to apply to {source}")

    def transform(self, module: Any) -> Any:
        """The loaded PyTorch module, quantized in memory; as it is unless overridden."""
        return module


def wrong_format(quantization: Quantization, what: str, backend: Backend, use: str) -> str | None:
    """None if `backend` loads `what` a quantization makes, else the reason, and what to `use`."""
    if quantization.target_format in backend.artifact_formats:
        return None
    return (
        f"quant={component_name(quantization)} makes {what}, and backend={component_name(backend)} loads "
        f"{' or '.join(backend.artifact_formats)}; use {use} or quant=none"
    )


def not_in_memory(quantization: Quantization, backend: Backend) -> str | None:
    """None if `backend` lets a quantization change the module that it has loaded, else the reason."""
    if backend.module_traits() is not None:
        return None
    return (
        f"quant={component_name(quantization)} changes a PyTorch module in memory, and "
        f"backend={component_name(backend)} loads none; use backend=pytorch or quant=none"
    )
