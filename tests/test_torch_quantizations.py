"""PyTorch's quantizations in memory: what they make, what they refuse, what their kernels are."""

import numpy as np
import pytest

from optbench.backends.fake import Fake
from optbench.backends.onnxruntime import OnnxRuntime
from optbench.backends.pytorch import PyTorch
from optbench.backends.torch_compile import TorchCompile
from optbench.components import Artifact, LoadOptions, ModelSpec, Quantization, WaitPolicy
from optbench.errors import DataError
from optbench.quantizations.torch_dynamic import Engine, TorchDynamicQuantization, WeightType
from optbench.quantizations.torchao import Scheme, TorchaoQuantization
from optbench.runtimes import torch_kernels
from optbench.runtimes.torch_session import Attention, Precision

SPEC = ModelSpec(None, "bert", (), None, None)
FEED = {
    "input_ids": np.array([[2, 5, 6, 7, 3], [2, 17, 9, 3, 0]]),
    "attention_mask": np.array([[1, 1, 1, 1, 1], [1, 1, 1, 1, 0]]),
}
BOTH = [TorchDynamicQuantization(), TorchaoQuantization()]
INT8 = {
    "torch_dynamic": TorchDynamicQuantization(),
    "torch_dynamic per tensor": TorchDynamicQuantization(per_channel=False),
    "torch_dynamic onednn": TorchDynamicQuantization(engine=Engine.onednn),
    "torch_dynamic float16": TorchDynamicQuantization(dtype=WeightType.float16),
    "torchao": TorchaoQuantization(),
    "torchao weights": TorchaoQuantization(scheme=Scheme.int8_weight_only),
}


@pytest.fixture(autouse=True)
def own_engine():
    """The engine is a setting of the whole process."""
    import torch

    before = torch.backends.quantized.engine
    yield
    torch.backends.quantized.engine = before


def logits(session, rows=slice(None)):
    feed = {name: array[rows] for name, array in FEED.items()}
    return session.outputs(session.forward(session.bind(feed)))["logits"]


@pytest.mark.parametrize("quantization", INT8.values(), ids=list(INT8))
def test_quantized_models_answer_nearly_alike(torch_load, tiny_model, quantization):
    plain = logits(torch_load(PyTorch(), tiny_model))
    session = torch_load(PyTorch(), tiny_model, quantization)
    difference = np.abs(logits(session) - plain).max()
    assert 0 < difference < 0.15 * np.abs(plain).max()
    layers = session.settings()["quantized"]
    assert layers["quantized"] == layers["linear_layers"] == 2 * 6 + 2


@pytest.mark.parametrize("quantization", [TorchDynamicQuantization(), TorchaoQuantization()])
def test_whether_a_batch_changes_the_answers_is_known(torch_load, tiny_model, quantization):
    session = torch_load(PyTorch(), tiny_model, quantization)
    together, alone = logits(session), logits(session, slice(0, 1))
    changed = np.abs(together[:1] - alone).max() > 1e-5 * np.abs(alone).max()
    assert changed == quantization.answers_depend_on_batch


def test_the_engine_is_chosen_and_read_back(torch_load, tiny_model):
    session = torch_load(PyTorch(), tiny_model, TorchDynamicQuantization(engine=Engine.onednn))
    assert session.settings()["quantized"]["engine"] == "onednn"


def test_an_engine_that_is_not_there_is_refused(torch_load, tiny_model, monkeypatch):
    import torch

    class OnlyFbgemm:
        supported_engines = ("fbgemm",)

    monkeypatch.setattr(torch.backends, "quantized", OnlyFbgemm())
    with pytest.raises(DataError, match=r"engine=onednn is not in this build .* fbgemm; use"):
        TorchDynamicQuantization(engine=Engine.onednn).transform(torch.nn.Linear(2, 2))


def test_a_scheme_that_fits_no_layer_is_refused():
    import torch

    four = TorchaoQuantization(scheme=Scheme.int4_weight_only, group_size=64)
    with pytest.raises(DataError, match="quantized no layer of the model"):
        four.transform(torch.nn.Sequential(torch.nn.Linear(32, 32), torch.nn.Linear(64, 2)))
    mixed = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.Linear(32, 32))
    assert type(four.transform(mixed)[0].weight).__name__ == "Int4OpaqueTensor"
    assert type(mixed[1].weight).__name__ == "Parameter"


@pytest.mark.parametrize("quantization", BOTH, ids=["torch_dynamic", "torchao"])
def test_only_modules_in_memory_can_be_quantized_so(quantization):
    assert quantization.supports(SPEC, PyTorch()) is None
    for backend, name in ((Fake(), "fake"), (OnnxRuntime(), "onnxruntime")):
        assert f"backend={name} loads none; use backend=pytorch" in quantization.supports(SPEC, backend)


@pytest.mark.parametrize(
    ("quantization", "backend", "reason"),
    [
        (TorchDynamicQuantization(), TorchCompile(), "breaks the graph at every Linear layer"),
        (TorchDynamicQuantization(), PyTorch(device="cuda"), "CPU kernels only, got backend.device=cuda"),
        (TorchDynamicQuantization(), PyTorch(precision=Precision.bfloat16), "computes in bfloat16"),
        (TorchDynamicQuantization(), PyTorch(autocast=True), "computes in bfloat16"),
        (TorchaoQuantization(scheme=Scheme.int4_weight_only), PyTorch(device="cuda"), "for the CPU"),
        (TorchaoQuantization(), TorchCompile(precision=Precision.bfloat16), None),
    ],
)
def test_combinations_without_kernels_are_refused_with_the_reason(quantization, backend, reason):
    found = quantization.supports(SPEC, backend)
    assert found is None if reason is None else reason in found


def test_values_out_of_range_are_problems():
    assert TorchDynamicQuantization(dtype=WeightType.float16, engine=Engine.onednn).problems() == [
        "engine must be one of auto, x86, fbgemm with dtype=float16, got onednn"
    ]
    assert TorchaoQuantization(group_size=48).problems() == [
        "group_size must be one of 32, 64, 128, 256, got 48"
    ]
    assert [one.problems() for one in INT8.values()] == [[]] * len(INT8)


def test_recipes_and_labels_hold_what_was_chosen():
    four = TorchaoQuantization(scheme=Scheme.int4_weight_only, group_size=64)
    assert four.recipe() == {"approach": "torchao", "scheme": "int4_weight_only", "group_size": 64}
    assert "group_size" not in TorchaoQuantization().recipe()
    assert four.label() == "torchao int4_weight_only"
    half = TorchDynamicQuantization(dtype=WeightType.float16, engine=Engine.fbgemm)
    assert half.label() == "torch_dynamic float16 fbgemm"
    assert half.recipe()["engine"] == "fbgemm"
    assert all(isinstance(one, Quantization) and one.target_format is None for one in BOTH)


def test_without_torchao_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(TorchaoQuantization, "packages", ("torchao_that_is_not_there",))
    assert "pip install 'optbench[torchao]'" in str(TorchaoQuantization().missing_extra())


ATTENTION = ["bert.encoder.layer.0.attention.self", "bert.encoder.layer.1.attention.self"]


@pytest.mark.parametrize(
    ("quantization", "integer", "reason"),
    [
        (None, 0, None),
        (TorchDynamicQuantization(), 14, None),
        (TorchaoQuantization(), 14, None),
        (TorchDynamicQuantization(dtype=WeightType.float16), 0, None),
        (TorchaoQuantization(scheme=Scheme.int8_weight_only), 0, "turned to floating point"),
    ],
    ids=["none", "torch_dynamic", "torchao", "float16", "weight only"],
)
def test_products_are_told_apart_by_their_kernels(torch_load, tiny_model, quantization, integer, reason):
    report = torch_load(PyTorch(), tiny_model, quantization).kernels(FEED)
    assert (report.nodes, report.integer_nodes) == (16, integer)
    assert set(ATTENTION) <= set(report.float_nodes)
    assert len(report.float_nodes) == 16 - integer
    assert (report.time_share > 0) == (integer > 0)
    assert report.time_share < 1
    assert reason in report.reason if reason else report.reason is None
    seconds = list(report.kernel_seconds.values())
    assert seconds == sorted(seconds, reverse=True)


def test_eager_attention_is_two_products_a_layer(torch_load, tiny_model):
    report = torch_load(PyTorch(attention=Attention.eager), tiny_model).kernels(FEED)
    assert (report.nodes, report.integer_nodes, report.weight_share) == (18, 0, 0)
    assert report.float_nodes.count(ATTENTION[0]) == 1


def test_the_backend_reports_kernels_of_the_cpu_only(tiny_model):
    artifact = Artifact(tiny_model, "transformers", "0" * 64, 1)
    options = LoadOptions(1, WaitPolicy.runtime, "default", "AutoModelForSequenceClassification")
    assert PyTorch().kernels(artifact, options, FEED).nodes == 16


@pytest.mark.parametrize(
    ("kernel", "product", "integer"),
    [
        ("aten::linear", True, False),
        ("aten::addmm", True, False),
        ("aten::_int_mm", True, True),
        ("aten::_weight_int8pack_mm", True, False),
        ("aten::_weight_int4pack_mm_for_cpu", True, False),
        ("aten::_scaled_dot_product_flash_attention_for_cpu", True, False),
        ("aten::conv2d", True, False),
        ("mkldnn::_linear_pointwise", True, False),
        ("mkl::_mkl_linear", True, False),
        ("quantized::linear_dynamic", True, True),
        ("quantized::linear_dynamic_fp16", True, False),
        ("quantized::linear_relu_dynamic", True, True),
        ("onednn::qlinear_pointwise", True, True),
        ("onednn::qconv2d_pointwise", True, True),
        ("quantized::conv2d", True, True),
        ("aten::gelu", False, False),
        ("aten::mul", False, False),
        ("torchao::quantize_affine", False, False),
    ],
)
def test_kernels_are_known_by_their_names(kernel, product, integer):
    assert bool(torch_kernels.PRODUCT.match(kernel)) == product
    assert torch_kernels.integer_kernel(kernel) == integer


def test_a_call_without_products_says_so():
    import torch

    module = torch.nn.Sequential(torch.nn.ReLU())
    report = torch_kernels.report(module, lambda: module(torch.ones(3)))
    assert (report.nodes, report.time_share, report.weight_share) == (0, None, None)
    assert "no matrix product" in report.reason
