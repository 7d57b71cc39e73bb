"""PyTorch eager under inference_mode: the baseline most people have."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from optbench.checkpoint import require_all_weights
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
from optbench.errors import DataError
from optbench.generation.pytorch import generating_torch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@register("backend", "pytorch")
@dataclass
class PyTorch(Backend):
    """Eager PyTorch in float32.

    device: 'cpu', or a CUDA device such as 'cuda' or 'cuda:1'.
    """

    device: str = "cpu"

    artifact_format: ClassVar[str] = "transformers"
    imports: ClassVar[tuple[str, ...]] = ("torch", "transformers.models.auto.modeling_auto")
    can_generate: ClassVar[bool] = True

    def problems(self) -> list[str]:
        """A device of another kind."""
        if re.fullmatch(r"cpu|cuda(:\d+)?", self.device):
            return []
        return [f"device must be cpu, cuda or cuda:N, got {self.device!r}"]

    def may_fork(self) -> bool:
        """CUDA cannot be used in a process that was forked."""
        return self.device == "cpu"

    def supports(self, spec: ModelSpec, graph: Graph) -> str | None:
        """Eager PyTorch runs no graph, so it has no graph levels."""
        if graph.level == "default":
            return None
        return f"graph={graph.level} has no meaning for eager PyTorch; use graph=default"

    def environment(self, threads: int, wait_policy: WaitPolicy) -> dict[str, str]:
        """OpenMP's waiting is decided when its library is loaded."""
        if wait_policy is WaitPolicy.runtime:
            return {}
        return {"OMP_WAIT_POLICY": wait_policy.value.upper()}

    def load(self, artifact: Artifact, options: LoadOptions) -> Session:
        """The checkpoint in eval mode and float32. Raises DataError."""
        import torch
        import transformers

        torch.set_num_threads(options.threads)
        if self.device != "cpu" and not torch.cuda.is_available():
            raise DataError(
                f"backend.device={self.device} needs a CUDA device and a CUDA build of PyTorch, and PyTorch "
                f"{torch.__version__} finds none here; use backend.device=cpu"
            )
        auto_class = getattr(transformers, options.model_class)
        try:
            model, loading = auto_class.from_pretrained(
                artifact.directory, dtype=torch.float32, output_loading_info=True
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise DataError(f"{artifact.directory} cannot be loaded by PyTorch: {error}") from error
        require_all_weights(artifact.directory, options.model_class, loading["missing_keys"])
        session = TorchSession(model.eval().to(self.device))
        return session if options.new_tokens is None else generating_torch(session, model, options.new_tokens)


class TorchSession:
    """A transformers module, called under inference_mode."""

    def __init__(self, model: Any) -> None:
        import inspect

        import torch

        self._torch = torch
        self._model = model
        self._on_device = model.device.type != "cpu"
        self._accepts = set(inspect.signature(model.forward).parameters)
        # Entered once and for good: this process does nothing but inference. The guard must be kept, it
        # leaves the mode when it is collected.
        self._guard = torch.inference_mode()
        self._guard.__enter__()

    def bind(self, feed: Mapping[str, NDArray[np.generic]]) -> dict[str, Any]:
        """Tensors that own their memory, without inputs the model does not take."""
        tensor, device = self._torch.tensor, self._model.device
        return {name: tensor(array, device=device) for name, array in feed.items() if name in self._accepts}

    def forward(self, bound: dict[str, Any]) -> Any:
        """One eager forward pass."""
        return self._model(**bound)

    def outputs(self, raw: Any) -> dict[str, NDArray[np.generic]]:
        """Tensors of the model output as arrays."""
        is_tensor = self._torch.is_tensor
        return {name: value.cpu().numpy().copy() for name, value in raw.items() if is_tensor(value)}

    def synchronize(self) -> None:
        """CPU forwards have finished when they return; CUDA's only when the device says so."""
        if self._on_device:
            self._torch.cuda.synchronize()

    def settings(self) -> dict[str, Any]:
        """Threads as read back, precision, attention implementation, waiting."""
        return {
            "threads": self._torch.get_num_threads(),
            "precision": str(self._model.dtype).removeprefix("torch."),
            "attention": self._model.config._attn_implementation,
            "device": str(self._model.device),
            "inference_mode": self._torch.is_inference_mode_enabled(),
            "omp_wait_policy": os.environ.get("OMP_WAIT_POLICY"),
        }

    def weights_bytes(self) -> int:
        """Bytes of parameters and persistent buffers; a shared tensor counts once."""
        state = self._model.state_dict().values()
        return sum({tensor.data_ptr(): tensor.nbytes for tensor in state}.values())
