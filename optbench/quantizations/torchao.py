"""torchao's quantization of Linear layers, in memory; the form that torch.compile understands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar

from optbench.components import Backend, ModelSpec, Quantization, not_in_memory, register
from optbench.errors import DataError

GROUP_SIZES = (32, 64, 128, 256)
INT4_OUTPUTS = 16
"""Outputs that PyTorch's int4 kernel computes together (_convert_weight_to_int4pack_for_cpu)."""


class Scheme(Enum):
    """What is quantized: weights and activations, or weights alone, which compute in floating point."""

    int8_dynamic_activation_int8_weight = "int8_dynamic_activation_int8_weight"
    int8_weight_only = "int8_weight_only"
    int4_weight_only = "int4_weight_only"


@register("quant", "torchao")
@dataclass
class TorchaoQuantization(Quantization):
    """Linear layers with integer weights, one scale per output channel.

    scheme: int8_dynamic_activation_int8_weight multiplies int8 by int8, with activation scales per
        token; the others keep weights small and turn them to floating point before multiplying.
    group_size: inputs that share a scale, of int4_weight_only. Layers whose inputs it does not divide, or
        whose outputs 16 does not, stay as they are.
    """

    scheme: Scheme = Scheme.int8_dynamic_activation_int8_weight
    group_size: int = 32

    extra: ClassVar[str] = "torchao"
    packages: ClassVar[tuple[str, ...]] = ("torchao",)
    label_fields: ClassVar[Mapping[str, str]] = {"scheme": "{}"}

    def problems(self) -> list[str]:
        """A group size without kernels."""
        if self.group_size in GROUP_SIZES:
            return []
        return [f"group_size must be one of {', '.join(map(str, GROUP_SIZES))}, got {self.group_size}"]

    def supports(self, spec: ModelSpec, backend: Backend) -> str | None:
        """Modules in memory; int4 weights on the CPU only."""
        if reason := not_in_memory(self, backend):
            return reason
        traits = backend.module_traits()
        if traits is not None and self.scheme is Scheme.int4_weight_only and traits.device != "cpu":
            return (
                "quantization.scheme=int4_weight_only packs weights for the CPU, got backend.device="
                f"{traits.device}; use backend.device=cpu or another scheme"
            )
        return None

    def recipe(self) -> dict[str, Any] | None:
        """All settings."""
        groups = {"group_size": self.group_size} if self.scheme is Scheme.int4_weight_only else {}
        return {"approach": "torchao", "scheme": self.scheme.value, **groups}

    def transform(self, module: Any) -> Any:
        """The module with its Linear layers quantized. Raises DataError if none could be.

        Source: torchao.quantization.quantize_ (0.18). Its inductor settings are left alone: they would
        change the precision of float32 products in the whole process.
        """
        from torchao.quantization import quantize_

        quantize_(module, self.config(), filter_fn=self.fits)
        if not any(hasattr(one, "__tensor_flatten__") for one in module.parameters()):
            raise DataError(
                f"quantization.scheme={self.scheme.value} quantized no layer of the model: none of its "
                f"Linear layers has inputs in groups of {self.group_size}; use another scheme"
            )
        return module

    def fits(self, module: Any, name: str) -> bool:
        """Whether a module is a Linear layer that the scheme's kernels can take."""
        import torch

        if not isinstance(module, torch.nn.Linear):
            return False
        if self.scheme is not Scheme.int4_weight_only:
            return True
        return not (module.in_features % self.group_size or module.out_features % INT4_OUTPUTS)

    def config(self) -> Any:
        """torchao's own configuration of the scheme."""
        from torchao.quantization import Int8DynamicActivationInt8WeightConfig, Int8WeightOnlyConfig

        if self.scheme is Scheme.int8_weight_only:
            return Int8WeightOnlyConfig(set_inductor_config=False)
        if self.scheme is Scheme.int8_dynamic_activation_int8_weight:
            return Int8DynamicActivationInt8WeightConfig(set_inductor_config=False)
        from torchao.prototype.quantization.int4 import PrototypeInt4WeightOnlyConfig

        return PrototypeInt4WeightOnlyConfig(group_size=self.group_size, set_inductor_config=False)
