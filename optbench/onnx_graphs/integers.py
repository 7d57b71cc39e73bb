"""Integer types for this CPU: which weights multiply without saturating."""

from __future__ import annotations

from enum import Enum

from optbench.environment import isa_flags

DOT_PRODUCT_FLAGS = frozenset({"avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"})
"""Instructions that multiply u8 by s8 into 32 bits without saturating in 16."""

X86_FLAGS = frozenset({"sse2", "avx2", "avx512f"})


class WeightType(Enum):
    """Integer type of the weights; auto asks the CPU."""

    auto = "auto"
    int8 = "int8"
    uint8 = "uint8"


def weight_type_for_cpu() -> WeightType:
    """int8 where dot-product instructions exist; elsewhere uint8.

    u8 x s8 products saturate in 16-bit lanes there (onnxruntime documentation, "Quantize ONNX models",
    section on U8S8).
    """
    return WeightType.int8 if DOT_PRODUCT_FLAGS & isa_flags() else WeightType.uint8


def saturation(weight_type: str, reduce_range: bool) -> list[str]:
    """A sentence if products of such weights saturate on this CPU."""
    if weight_type != "int8" or reduce_range or DOT_PRODUCT_FLAGS & isa_flags():
        return []
    return [
        "int8 weights saturate in 16 bits on this CPU, which has no dot-product instructions (VNNI): "
        "answers may be wrong; set quantization.reduce_range=true or quantization.weight_type=uint8"
    ]


def slow_signed_activations(activation_type: str) -> list[str]:
    """A sentence if ONNX Runtime has no fast kernels here for signed activations."""
    if activation_type != "int8" or not X86_FLAGS & isa_flags():
        return []
    return [
        "ONNX Runtime multiplies int8 activations slowly on x86, often slower than float32; "
        "set quantization.activation_type=uint8"
    ]
