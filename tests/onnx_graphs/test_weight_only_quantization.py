"""Weights in few bits and float16 on a small encoder."""

from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from optbench.backends.fake import Fake
from optbench.backends.onnxruntime import OnnxRuntime
from optbench.components import ModelSpec
from optbench.errors import DataError
from optbench.onnx_graphs.rewriting import split_gemms
from optbench.quantizations.float16 import Float16, FloatType
from optbench.quantizations.weight_only import WeightOnlyQuantization


@pytest.fixture
def quantize(source, target):
    """Applies settings to the encoder; gives the details and the graph."""

    def apply(kind=WeightOnlyQuantization, **settings):
        details = kind(**settings).apply(source, target, [])
        return details, onnx.load(target / "model.onnx").graph

    return apply


def kinds(graph):
    return Counter(node.op_type for node in graph.node)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize(("bits", "most"), [(4, 0.4), (8, 0.03)])
def test_weights_of_products_are_stored_in_few_bits(
    quantize, source, target, make_rows, distance, bits, most, symmetric
):
    details, graph = quantize(bits=bits, symmetric=symmetric)
    assert kinds(graph)["MatMulNBits"] == details["nodes_quantized"] == 13  # the classifier too
    assert kinds(graph)["MatMul"] == 4  # of two activations each
    node = next(node for node in graph.node if node.op_type == "MatMulNBits")
    settings = {item.name: helper.get_attribute_value(item) for item in node.attribute}
    assert (settings["bits"], settings["block_size"], settings["accuracy_level"]) == (bits, 32, 4)
    assert len([name for name in node.input if name]) == (3 if symmetric else 4)
    assert 0 < distance(source, target, make_rows()) < most


def test_embeddings_are_stored_in_few_bits_only_if_asked(quantize, source, target, make_rows, distance):
    details, graph = quantize(embeddings=True)
    assert kinds(graph)["GatherBlockQuantized"] == details["tables_quantized"] == 2
    assert kinds(graph)["Gather"] == 1  # of the first word, which is no table
    assert distance(source, target, make_rows()) < 0.4
    assert quantize()[0]["tables_quantized"] == 0


def test_excluded_groups_stay_as_they_are(quantize):
    details, _ = quantize(node_exclusion=["attention", "last_layer"])
    assert details["nodes_quantized"] == 4
    assert details["node_exclusion_quantizable"] == {"attention": 8, "last_layer": 1}
    with pytest.raises(DataError, match="found no MatMul with weights in the graph, or all are excluded"):
        quantize(node_exclusion=["*"])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"bits": 3}, "bits must be one of 4, 8, got 3"),
        ({"block_size": 33}, "block_size must be one of 16, 32, 64, 128, 256, got 33"),
        ({"accuracy_level": 5}, "accuracy_level must be one of 0, 1, 2, 3, 4, got 5"),
        ({"bits": 8, "embeddings": True}, "embeddings must be false with bits=8"),
    ],
)
def test_values_without_kernels_are_refused(settings, said):
    (problem,) = WeightOnlyQuantization(**settings).problems()
    assert said in problem


def test_a_level_that_the_cpu_lacks_is_cautioned():
    assert WeightOnlyQuantization().cautions() == []
    assert "(float16) has no kernels on the CPU" in WeightOnlyQuantization(accuracy_level=2).cautions()[0]


@pytest.mark.parametrize("kind", [WeightOnlyQuantization, Float16])
def test_only_onnx_can_be_quantized_so(tmp_path, kind):
    spec = ModelSpec(tmp_path, "bert", (), 100, 32)
    assert kind().supports(spec, OnnxRuntime()) is None
    assert "use backend=onnxruntime or quant=none" in kind().supports(spec, Fake())


@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("biased", [True, False])
def test_a_gemm_is_the_same_as_product_and_sum(tmp_path, transposed, biased):
    random = np.random.default_rng(0)
    weight = random.normal(size=(3, 5) if transposed else (5, 3)).astype(np.float32)
    weights = [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(weight[0, :3].copy(), "b")]
    inputs = ["x", "w", *(["b"] if biased else [])]
    node = helper.make_node("Gemm", inputs, ["y"], "gemm", transB=transposed)
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [None, c]) for n, c in (("x", 5), ("y", 3))]
    graph = helper.make_graph([node], "g", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    x = random.normal(size=(4, 5)).astype(np.float32)
    before = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]
    assert split_gemms(model.graph) == 1
    onnx.checker.check_model(model)
    assert "Gemm" not in kinds(model.graph)
    after = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("changed", [{"alpha": 2.0}, {"transA": 1}])
def test_a_gemm_that_does_more_stays(changed):
    node = helper.make_node("Gemm", ["x", "w"], ["y"], "gemm", **changed)
    weight = numpy_helper.from_array(np.ones((2, 2), np.float32), "w")
    graph = helper.make_graph([node], "g", [], [], [weight])
    assert split_gemms(graph) == 0
    assert graph.node[0].op_type == "Gemm"


def test_float16_halves_the_file_and_keeps_inputs_and_outputs(quantize, source, target, make_rows, distance):
    details, graph = quantize(Float16, node_exclusion=["last_layer"])
    sizes = [(place / "model.onnx").stat().st_size for place in (source, target)]
    assert sizes[1] < 0.65 * sizes[0]
    assert graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT
    assert [item.type.tensor_type.elem_type for item in graph.input] == [TensorProto.INT64] * 3
    assert details["node_exclusion_matched"] == details["node_exclusion_quantizable"] == {"last_layer": 1}
    types = {item.name: item.data_type for item in graph.initializer}
    assert types["classifier.weight"] == TensorProto.FLOAT
    assert types["/layer.0/output.weight"] == TensorProto.FLOAT16
    assert 0 < distance(source, target, make_rows()) < 5e-3


def test_float16_says_that_a_cpu_gains_little_and_has_no_bfloat16():
    assert "hardly faster" in Float16().cautions()[0]
    assert Float16().problems() == []
    assert "multiplies no bfloat16 matrices on a CPU" in Float16(type=FloatType.bfloat16).problems()[0]


def test_onnxruntime_has_no_product_of_bfloat16_matrices():
    ends = [helper.make_tensor_value_info(name, TensorProto.BFLOAT16, [2, 2]) for name in "xwy"]
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "g", ends[:2], ends[2:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    with pytest.raises(Exception, match="NOT_IMPLEMENTED"):
        onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def test_what_cannot_be_converted_is_refused_with_its_reason(quantize, monkeypatch):
    import onnxruntime.transformers.float16

    def fail(*args, **kwargs):
        raise ValueError("no such thing")

    monkeypatch.setattr(onnxruntime.transformers.float16, "convert_float_to_float16", fail)
    with pytest.raises(DataError, match="cannot be converted to float16: no such thing"):
        quantize(Float16)
