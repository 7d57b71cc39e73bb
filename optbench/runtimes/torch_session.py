"""A transformers module as a session: loaded from a checkpoint, called under inference_mode."""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any

from optbench.checkpoint import require_all_weights, unloadable
from optbench.components import Artifact, LoadOptions, WaitPolicy
from optbench.errors import DataError
from optbench.runtimes import torch_kernels, torch_weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from optbench.records import KernelReport


class Precision(Enum):
    """Floating-point type of weights and arithmetic."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


class Attention(Enum):
    """How attention is computed: auto as transformers chooses, PyTorch's fused kernel, or step by step."""

    auto = "auto"
    sdpa = "sdpa"
    eager = "eager"


def openmp_environment(wait_policy: WaitPolicy) -> dict[str, str]:
    """OpenMP's waiting is decided when its library is loaded."""
    if wait_policy is WaitPolicy.runtime:
        return {}
    return {"OMP_WAIT_POLICY": wait_policy.value.upper()}


def load_module(
    artifact: Artifact, options: LoadOptions, device: str, precision: Precision, attention: Attention
) -> Any:
    """The checkpoint as a module in eval mode on `device`, quantized if the options say so.

    Raises DataError.
    """
    import torch
    import transformers
    from safetensors import SafetensorError

    torch.set_num_threads(options.threads)
    if device != "cpu" and not torch.cuda.is_available():
        raise DataError(
            f"backend.device={device} needs a CUDA device and a CUDA build of PyTorch, and PyTorch "
            f"{torch.__version__} finds none here; use backend.device=cpu"
        )
    auto_class = getattr(transformers, options.model_class)
    chosen = {} if attention is Attention.auto else {"attn_implementation": attention.value}
    try:
        module, loading = auto_class.from_pretrained(
            artifact.directory,
            dtype=getattr(torch, precision.value),
            output_loading_info=True,
            trust_remote_code=options.trust_remote_code,
            weights_only=True,
            **chosen,
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise unloadable(artifact.directory, error) from error
    require_all_weights(artifact.directory, options.model_class, loading["missing_keys"])
    module = module.eval().to(device)
    return module if options.quantization is None else options.quantization.transform(module)


class TorchSession:
    """A transformers module, called under inference_mode and, if asked, with bfloat16 autocast.

    call: what is called for a forward pass, such as the compiled module; the module itself by default.
    """

    def __init__(self, model: Any, call: Any = None, autocast: bool = False) -> None:
        import inspect

        import torch

        self._torch = torch
        self._model = model
        self._call = model if call is None else call
        self._autocast = autocast
        self._on_device = model.device.type != "cpu"
        self._accepts = set(inspect.signature(model.forward).parameters)
        # Entered once and for good: this process does nothing but inference. The guard must be kept, it
        # leaves the mode when it is collected.
        self._guard = torch.inference_mode()
        self._guard.__enter__()
        if autocast:
            self._casting = torch.autocast(model.device.type, dtype=torch.bfloat16)
            self._casting.__enter__()

    def bind(self, feed: Mapping[str, NDArray[np.generic]]) -> dict[str, Any]:
        """Tensors that own their memory, without inputs the model does not take."""
        tensor, device = self._torch.tensor, self._model.device
        tensors = {n: tensor(array, device=device) for n, array in feed.items() if n in self._accepts}
        floating = self._model.dtype
        return {n: one.to(floating) if one.is_floating_point() else one for n, one in tensors.items()}

    def forward(self, bound: dict[str, Any]) -> Any:
        """One forward pass."""
        return self._call(**bound)

    def outputs(self, raw: Any) -> dict[str, NDArray[np.generic]]:
        """Tensors of the model output as arrays; 16-bit floats as float32."""
        torch = self._torch
        half = (torch.bfloat16, torch.float16)
        return {
            name: (value.float() if value.dtype in half else value).cpu().numpy().copy()
            for name, value in raw.items()
            if torch.is_tensor(value)
        }

    def synchronize(self) -> None:
        """CPU forwards have finished when they return; CUDA's only when the device says so."""
        if self._on_device:
            self._torch.cuda.synchronize()

    def settings(self) -> dict[str, Any]:
        """Threads as read back, precision, attention implementation, quantized layers, waiting."""
        return {
            "threads": self._torch.get_num_threads(),
            "precision": str(self._model.dtype).removeprefix("torch."),
            "autocast": "bfloat16" if self._autocast else None,
            "attention": self._model.config._attn_implementation,
            "quantized": torch_weights.quantized(self._model),
            "device": str(self._model.device),
            "inference_mode": self._torch.is_inference_mode_enabled(),
            "omp_wait_policy": os.environ.get("OMP_WAIT_POLICY"),
        }

    def weights_bytes(self) -> int:
        """Bytes of parameters and persistent buffers; a shared tensor counts once."""
        return torch_weights.size_bytes(self._model)

    def kernels(self, feed: Mapping[str, NDArray[np.generic]]) -> KernelReport:
        """What runs in integers while `feed` is answered, by the profiler."""
        bound = self.bind(feed)
        compiled = self._call is not self._model
        return torch_kernels.report(self._model, lambda: self.forward(bound), compiled)
