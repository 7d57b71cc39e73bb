"""PyTorch's own dynamic quantization of Linear layers, in memory (torch.ao.quantization)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar

from optbench.components import Backend, ModelSpec, Quantization, not_in_memory, register
from optbench.errors import DataError


class WeightType(Enum):
    """Type of the packed weights: int8 products, or float16 weights for float32 products."""

    qint8 = "qint8"
    float16 = "float16"


class Engine(Enum):
    """PyTorch's libraries of quantized kernels; auto is the one it chooses for this CPU."""

    auto = "auto"
    x86 = "x86"
    fbgemm = "fbgemm"
    onednn = "onednn"
    qnnpack = "qnnpack"


FLOAT16_ENGINES = (Engine.auto, Engine.x86, Engine.fbgemm)


@register("quant", "torch_dynamic")
@dataclass
class TorchDynamicQuantization(Quantization):
    """int8 Linear layers; activations are quantized per tensor while running, to 7 bits.

    dtype: of the weights. per_channel: one scale per output channel instead of one per layer.
    engine: whose kernels compute.
    """

    dtype: WeightType = WeightType.qint8
    per_channel: bool = True
    engine: Engine = Engine.auto

    answers_depend_on_batch: ClassVar[bool] = True
    label_fields: ClassVar[Mapping[str, str]] = {"dtype": "{}", "engine": "{}"}

    def problems(self) -> list[str]:
        """An engine that has no kernels for float16 weights."""
        if self.dtype is WeightType.float16 and self.engine not in FLOAT16_ENGINES:
            known = ", ".join(engine.value for engine in FLOAT16_ENGINES)
            return [f"engine must be one of {known} with dtype=float16, got {self.engine.value}"]
        return []

    def supports(self, spec: ModelSpec, backend: Backend) -> str | None:
        """Only eager float32 modules on the CPU."""
        if reason := not_in_memory(self, backend):
            return reason
        traits = backend.module_traits()
        if traits is None or traits.compiled:
            return (
                "quant=torch_dynamic packs weights in a form that torch.compile cannot trace: it breaks "
                "the graph at every Linear layer; use quant=torchao, or backend=pytorch"
            )
        if traits.device != "cpu":
            return (
                f"quant=torch_dynamic has CPU kernels only, got backend.device={traits.device}; use "
                "backend.device=cpu or quant=torchao"
            )
        if traits.arithmetic != "float32":
            return (
                "quant=torch_dynamic needs float32 activations, and the backend computes in "
                f"{traits.arithmetic}; use backend.precision=float32 and backend.autocast=false, or "
                "quant=torchao"
            )
        return None

    def recipe(self) -> dict[str, Any] | None:
        """All settings."""
        return {
            "approach": "torch_dynamic",
            "dtype": self.dtype.value,
            "per_channel": self.per_channel,
            "engine": self.engine.value,
        }

    def transform(self, module: Any) -> Any:
        """The module with its Linear layers quantized. Raises DataError if the engine is not there.

        Source: torch.ao.quantization.quantize_dynamic (2.13), with the default observers.
        """
        import torch
        from torch.ao import quantization as ao

        known = torch.backends.quantized.supported_engines
        if self.engine is not Engine.auto:
            if self.engine.value not in known:
                raise DataError(
                    f"quantization.engine={self.engine.value} is not in this build of PyTorch, which has "
                    f"{', '.join(known)}; use quantization.engine=auto"
                )
            torch.backends.quantized.engine = self.engine.value
        int8 = ao.per_channel_dynamic_qconfig if self.per_channel else ao.default_dynamic_qconfig
        half = self.dtype is WeightType.float16
        config = ao.float16_dynamic_qconfig if half else int8
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its own deprecation, in every process
            return ao.quantize_dynamic(
                module, {torch.nn.Linear: config}, dtype=getattr(torch, self.dtype.value), inplace=True
            )
