"""PyTorch eager under inference_mode: the baseline most people have."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

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
from optbench.generation.pytorch import generating_torch
from optbench.torch_session import Attention, Precision, TorchSession, load_module, openmp_environment


@register("backend", "pytorch")
@dataclass
class PyTorch(Backend):
    """Eager PyTorch.

    device: 'cpu', or a CUDA device such as 'cuda' or 'cuda:1'.
    precision: of the weights and the arithmetic. autocast: weights stay as they are, and PyTorch computes
        in bfloat16 where that is known to be safe.
    attention: sdpa (fused), eager (step by step), or what transformers chooses.
    """

    device: str = "cpu"
    precision: Precision = Precision.float32
    autocast: bool = False
    attention: Attention = Attention.auto

    artifact_formats: ClassVar[tuple[str, ...]] = ("transformers",)
    imports: ClassVar[tuple[str, ...]] = ("torch", "transformers.models.auto.modeling_auto")
    can_generate: ClassVar[bool] = True

    def problems(self) -> list[str]:
        """A device of another kind, two ways to the same precision."""
        found = []
        if not re.fullmatch(r"cpu|cuda(:\d+)?", self.device):
            found.append(f"device must be cpu, cuda or cuda:N, got {self.device!r}")
        if self.autocast and self.precision is not Precision.float32:
            found.append(
                f"autocast must be false with precision={self.precision.value}: the weights are in that "
                "type already; drop one of the two"
            )
        return found

    def may_fork(self) -> bool:
        """CUDA cannot be used in a process that was forked."""
        return self.device == "cpu"

    def supports(self, spec: ModelSpec, graph: Graph) -> str | None:
        """Eager PyTorch runs no graph, so it has no graph levels."""
        if graph.session_level == "default":
            return None
        return f"graph={graph.level} has no meaning for eager PyTorch; use graph=default"

    def environment(self, threads: int, wait_policy: WaitPolicy) -> dict[str, str]:
        """OpenMP's waiting is decided when its library is loaded."""
        return openmp_environment(wait_policy)

    def load(self, artifact: Artifact, options: LoadOptions) -> Session:
        """The checkpoint in eval mode. Raises DataError."""
        module = load_module(artifact, options, self.device, self.precision, self.attention)
        session = TorchSession(module, autocast=self.autocast)
        return (
            session if options.new_tokens is None else generating_torch(session, module, options.new_tokens)
        )
