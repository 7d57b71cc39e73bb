"""What OpenVINO computes in integers, on graphs made by hand."""

import numpy as np
import pytest

import optbench.runtimes.quiet_openvino  # noqa: F401 - before openvino
from optbench.backends.openvino import OpenVino
from optbench.components import Artifact, LoadOptions, WaitPolicy
from optbench.quantizations.dynamic import DynamicQuantization, WeightType
from optbench.runtimes.openvino_kernels import KernelNode, explain, seconds_by_kind

WIDTH = 64


def node(**changes):
    facts = {
        "name": "n",
        "kind": "FullyConnected",
        "layer": "FullyConnected",
        "kernel": "brgemm_avx512_f32",
        "precision": "f32",
        "operators": frozenset(),
        "casts_8_bits": False,
        "seconds": 1.0,
    }
    return KernelNode(**{**facts, **changes})


def kernels(directory, format, feed, **settings):
    options = LoadOptions(1, WaitPolicy.runtime, "default", "AutoModel")
    return OpenVino(**settings).kernels(Artifact(directory, format, "", 0), options, feed)


@pytest.fixture
def product(tmp_path):
    """Writes an IR of x [batch, 64] times an integer matrix, x quantized or not; gives its inputs."""
    import openvino
    from openvino import opset13 as ops

    def write(quantized_inputs):
        rng = np.random.default_rng(0)
        x = ops.parameter([-1, WIDTH], np.float32, name="x")
        x.output(0).set_names({"x"})
        scale = np.full((WIDTH, 1), 0.01, np.float32)
        if quantized_inputs:
            levels = [np.float32(value) for value in (-1.28, 1.27, -1.28, 1.27)]
            left = ops.fake_quantize(x, *levels, 256)
            whole = ops.constant(rng.integers(-127, 127, (WIDTH, WIDTH)).astype(np.int8))
            weights = ops.multiply(ops.convert(whole, "f32"), ops.constant(scale))
        else:
            left = x
            whole = ops.constant(rng.integers(0, 255, (WIDTH, WIDTH)).astype(np.uint8))
            zero = ops.convert(ops.constant(np.full((WIDTH, 1), 128, np.uint8)), "f32")
            weights = ops.multiply(ops.subtract(ops.convert(whole, "f32"), zero), ops.constant(scale))
        y = ops.matmul(left, weights, False, True, name="product")
        y.output(0).set_names({"y"})
        openvino.save_model(openvino.Model([y], [x]), tmp_path / "model.xml", compress_to_fp16=False)
        return {"x": rng.normal(size=(4, WIDTH)).astype(np.float32)}

    return write


def test_a_float_model_computes_everything_in_float(tiny_onnx):
    found = kernels(tiny_onnx, "onnx", {"input_ids": np.ones((1, 8), np.int64)})
    assert (found.nodes, found.integer_nodes, len(found.float_nodes)) == (2, 0, 2)
    assert all("MatMul" in name or "logits" in name or "Relu" in name for name in found.float_nodes)
    assert (found.weight_share, found.leftover_qdq, found.reason) == (0.0, 0, None)
    assert found.time_share in (0.0, None)
    assert list(found.kernel_seconds.values()) == sorted(found.kernel_seconds.values(), reverse=True)


def test_quantized_weights_and_inputs_are_multiplied_in_integers(product, tmp_path):
    found = kernels(tmp_path, "openvino", product(quantized_inputs=True))
    assert (found.nodes, found.integer_nodes, found.float_nodes) == (1, 1, [])
    assert found.weight_share == pytest.approx(WIDTH**2 / (WIDTH**2 + WIDTH + 4))
    assert found.time_share in (1.0, None)
    assert found.leftover_qdq == 1  # the input itself has to be quantized by somebody
    assert found.reason is None


def test_compressed_weights_without_quantized_activations_compute_in_float(product, tmp_path):
    feed = product(quantized_inputs=False)
    found = kernels(tmp_path, "openvino", feed, dynamic_quantization_group_size=0)
    assert (found.nodes, found.integer_nodes) == (1, 0)
    assert found.weight_share > 0.97
    assert "compute in floating point" in found.reason


def test_activations_quantized_while_running_are_found_by_their_outputs(product, tmp_path):
    feed = product(quantized_inputs=False)
    found = kernels(tmp_path, "openvino", feed, dynamic_quantization_group_size=32)
    told = "quantize their activations while running, in groups of 32" in found.reason
    assert found.integer_nodes == int(told)  # by the CPU: it needs dot-product instructions


def test_onnx_runtimes_dynamic_int8_runs_in_float_here(tiny_onnx, tmp_path):
    DynamicQuantization(weight_type=WeightType.int8).apply(tiny_onnx, tmp_path)
    found = kernels(tmp_path, "onnx", {"input_ids": np.ones((1, 8), np.int64)})
    assert (found.nodes, found.integer_nodes) == (2, 0)
    assert found.weight_share > 0.9
    assert found.leftover_qdq > 0


@pytest.mark.parametrize(
    ("kernel", "precision", "integer", "compressed"),
    [
        ("brgemm_avx512_f32", "f32", False, False),
        ("brgemm_avx512_bf16", "bf16", False, False),
        ("brgemm_avx512_I8", "u8", True, False),
        ("jit_avx512_i8", "i8", True, False),
        ("brgemm_avx512_f32", "u8", False, True),
    ],
)
def test_the_kernel_decides_and_not_the_type_of_the_weights(kernel, precision, integer, compressed):
    one = node(kernel=kernel, precision=precision)
    assert (one.is_integer, one.is_compressed) == (integer, compressed)


def test_fused_attention_is_a_product_and_other_subgraphs_are_not():
    assert node(layer="Subgraph", operators=frozenset({"MatMul", "Softmax"})).is_product
    assert node(layer="Subgraph", operators=frozenset({"ScaledDotProductAttention"})).is_product
    assert not node(layer="Subgraph", operators=frozenset({"Gelu"})).is_product
    assert not node(layer="Gather", precision="u8").is_compressed


def test_seconds_are_summed_by_kind_longest_first():
    nodes = [node(kind="A", seconds=1.0), node(kind="B", seconds=3.0), node(kind="A", seconds=1.5)]
    assert list(seconds_by_kind([*nodes, node(kind="C", seconds=0.0)]).items()) == [("B", 3.0), ("A", 2.5)]


def test_nothing_is_explained_where_nothing_is_compressed():
    assert explain([], False, {}) is None
