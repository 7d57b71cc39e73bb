"""Sizes of plain, shared, packed and subclassed weights, each against a count by hand."""

import pytest

from optbench.quantizations.torch_dynamic import TorchDynamicQuantization, WeightType
from optbench.quantizations.torchao import Scheme, TorchaoQuantization
from optbench.runtimes import torch_weights

IN, OUT = 256, 64
WEIGHTS = IN * OUT
FLOAT = 4 * (WEIGHTS + OUT)


@pytest.fixture
def linear():
    import torch

    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(IN, OUT))


def test_parameters_and_buffers_count_and_a_shared_one_once(linear):
    import torch

    assert torch_weights.size_bytes(linear) == FLOAT
    linear.append(torch.nn.Linear(IN, OUT))
    linear[1].weight = linear[0].weight
    linear.register_buffer("steps", torch.zeros(3, dtype=torch.int64))
    linear.register_buffer("made_up", torch.zeros(99), persistent=False)
    assert torch_weights.size_bytes(linear) == FLOAT + 4 * OUT + 3 * 8
    assert torch_weights.integer_share(linear) == 0
    assert torch_weights.quantized(linear) is None


def test_a_module_without_weights_has_no_integer_share():
    import torch

    assert torch_weights.integer_share(torch.nn.ReLU()) is None
    assert torch_weights.size_bytes(torch.nn.ReLU()) == 0


LAYER = 4 + 8
"""Scale and zero point that torch.ao keeps of each layer."""

SCALES = {
    # By channel: torch.ao keeps float64 scales and int64 zero points, torchao float32 and int8.
    "per_channel": (TorchDynamicQuantization(), WEIGHTS + 16 * OUT + LAYER),
    "per_tensor": (TorchDynamicQuantization(per_channel=False), WEIGHTS + LAYER),
    "float16": (TorchDynamicQuantization(dtype=WeightType.float16), 2 * WEIGHTS + LAYER),
    "torchao": (TorchaoQuantization(), WEIGHTS + 5 * OUT),
    "weight_only": (TorchaoQuantization(scheme=Scheme.int8_weight_only), WEIGHTS + 5 * OUT),
}


@pytest.mark.parametrize(("quantization", "size"), SCALES.values(), ids=list(SCALES))
def test_quantized_weights_weigh_what_they_take(linear, quantization, size):
    module = quantization.transform(linear)
    assert torch_weights.size_bytes(module) == size + 4 * OUT
    half = size > 2 * WEIGHTS
    expected = 0 if half else WEIGHTS / (WEIGHTS + OUT)
    assert torch_weights.integer_share(module) == pytest.approx(expected, abs=1e-3)
    assert torch_weights.size_bytes(module) / FLOAT == pytest.approx(0.5 if half else 0.25, abs=0.035)
    found = torch_weights.quantized(module)
    assert (found["linear_layers"], found["quantized"]) == (1, 1)


def test_the_weights_can_be_weighed_in_inference_mode(linear):
    import torch

    module = TorchaoQuantization(scheme=Scheme.int8_weight_only).transform(linear)
    with torch.inference_mode():
        assert torch_weights.size_bytes(module) == WEIGHTS + 9 * OUT


def test_int4_weights_take_half_a_byte(linear):
    module = TorchaoQuantization(scheme=Scheme.int4_weight_only).transform(linear)
    groups = WEIGHTS // 32
    assert torch_weights.size_bytes(module) == WEIGHTS // 2 + 2 * 4 * groups + 4 * OUT
    assert torch_weights.quantized(module)["weights"] == ["Int4OpaqueTensor"]
    assert torch_weights.integer_share(module) == WEIGHTS / (WEIGHTS + OUT)
