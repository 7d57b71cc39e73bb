"""PyTorch eager under inference_mode: the baseline most people have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from optbench.components import Artifact, Graph, LoadOptions, ModelSpec, Session, register
from optbench.generation.pytorch import generating_torch
from optbench.runtimes.torch_backend import TorchBackend
from optbench.runtimes.torch_session import TorchSession, load_module


@register("backend", "pytorch")
@dataclass
class PyTorch(TorchBackend):
    """Eager PyTorch; its settings are those of TorchBackend."""

    can_generate: ClassVar[bool] = True

    def supports(self, spec: ModelSpec, graph: Graph) -> str | None:
        """Eager PyTorch runs no graph, so it has no graph levels."""
        if graph.session_level == "default":
            return None
        return f"graph={graph.level} has no meaning for eager PyTorch; use graph=default"

    def load(self, artifact: Artifact, options: LoadOptions) -> Session:
        """The checkpoint in eval mode. Raises DataError."""
        module = load_module(artifact, options, self.device, self.precision, self.attention)
        session = TorchSession(module, autocast=self.autocast)
        return (
            session if options.new_tokens is None else generating_torch(session, module, options.new_tokens)
        )
