"""What the weights of a PyTorch module weigh, also where they are packed integers or tensor subclasses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

PACKED = "_packed_params"
"""Entry in which torch.ao.quantization keeps weight and bias; `dtype` beside it names their type."""

INTEGER_BITS = 8


@dataclass(frozen=True)
class Weight:
    """One tensor of a module's state. bits: of an integer element; null for floating point.

    pointer: where its memory begins, the same for tensors that are shared.
    """

    elements: int
    size_bytes: int
    bits: int | None
    pointer: int


def weights(module: Any) -> list[Weight]:
    """Parameters and persistent buffers; a shared tensor counts once."""
    state = module.state_dict(keep_vars=True)  # tensor subclasses cannot be detached in inference mode
    found = [one for name, value in state.items() for one in of_value(value, halved(state, name))]
    return list({one.pointer: one for one in found}.values())


def size_bytes(module: Any) -> int:
    """Bytes of all weights, scales and zero points included."""
    return sum(one.size_bytes for one in weights(module))


def integer_share(module: Any) -> float | None:
    """Of the weights' elements, the share kept in integers of 8 bits or fewer; null without weights."""
    found = weights(module)
    total = sum(one.elements for one in found)
    small = sum(one.elements for one in found if one.bits is not None and one.bits <= INTEGER_BITS)
    return small / total if total else None


def quantized(module: Any) -> dict[str, Any] | None:
    """Linear layers that are quantized, of how many, and by whose kernels; null where none are."""
    import torch

    packed = [part for part in module.modules() if hasattr(part, PACKED) and hasattr(part, "weight")]
    plain = [part for part in module.modules() if isinstance(part, torch.nn.Linear)]
    subclasses = [part for part in plain if hasattr(part.weight, "__tensor_flatten__")]
    if not packed and not subclasses:
        return None
    kinds = {type(part.weight).__name__ for part in subclasses}
    if packed:
        kinds |= {str(part._packed_params.dtype).removeprefix("torch.") for part in packed}
    return {
        "linear_layers": len(packed) + len(plain),
        "quantized": len(packed) + len(subclasses),
        "weights": sorted(kinds),
        "engine": torch.backends.quantized.engine if packed else "torchao",
    }


def halved(state: dict[str, Any], name: str) -> bool:
    """Whether a packed entry holds 16-bit floats, which PyTorch hands out as 32-bit ones."""
    parent, _, last = name.rpartition(".")
    kind = state.get(f"{parent}.dtype")
    return last == PACKED and str(kind) == "torch.float16"


def of_value(value: Any, half: bool) -> Iterator[Weight]:
    """The tensors in one entry of a state dict; `half`: the first of them has 16 bits an element."""
    import torch

    if isinstance(value, tuple | list):
        for number, item in enumerate(value):
            yield from of_value(item, half and number == 0)
    elif torch.is_tensor(value):
        yield of_tensor(value, half)


def of_tensor(tensor: Any, half: bool = False) -> Weight:
    """One tensor. A subclass counts what it is made of: its own nbytes are those of the original type."""
    elements = tensor.numel()
    if half:
        return Weight(elements, 2 * elements, None, tensor.data_ptr())
    if tensor.is_quantized:
        return Weight(elements, tensor.nbytes + scale_bytes(tensor), 8, tensor.data_ptr())
    if hasattr(tensor, "__tensor_flatten__"):
        names, _ = tensor.__tensor_flatten__()
        parts = [part for part in (getattr(tensor, name) for name in names) if part is not None]
        inner = [of_tensor(part) for part in parts]
        data = max(inner, key=lambda one: one.size_bytes)
        size = sum(one.size_bytes for one in inner)
        packed = 8 * data.size_bytes // elements if elements else None
        return Weight(elements, size, packed if data.bits is not None else None, data.pointer)
    floating = tensor.is_floating_point() or tensor.is_complex()
    return Weight(elements, tensor.nbytes, None if floating else 8 * tensor.element_size(), tensor.data_ptr())


def scale_bytes(tensor: Any) -> int:
    """Bytes of the scales and zero points of a per-channel quantized tensor; else a few, left out."""
    import torch

    if tensor.qscheme() not in (torch.per_channel_affine, torch.per_channel_affine_float_qparams):
        return 0
    return int(tensor.q_per_channel_scales().nbytes + tensor.q_per_channel_zero_points().nbytes)
