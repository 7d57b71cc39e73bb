"""What a session runs in integers: counted in the graph as optimized, timed in its profile."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from optbench.backends.onnxruntime import OnnxRuntime
from optbench.components import Artifact, LoadOptions, WaitPolicy
from optbench.onnx_graphs.kernels import leftover, node_seconds, summary, weight_share
from optbench.quantizations.dynamic import DynamicQuantization, WeightType
from optbench.quantizations.static import Format, IntegerType, StaticQuantization
from optbench.quantizations.weight_only import WeightOnlyQuantization

OPTIONS = LoadOptions(1, WaitPolicy.runtime, "default", "AutoModel")
STATIC = {"activation_type": IntegerType.uint8, "weight_type": IntegerType.int8}


@pytest.fixture
def kernels(source, target, make_rows):
    """The report on the encoder after a quantization; without one, on itself."""

    def look(quantization=None, options=OPTIONS):
        directory = source
        if quantization is not None:
            quantization.apply(source, target, make_rows())
            directory = target
        row = make_rows()[0]
        feed = {name: array[None] for name, array in row.items()}
        return OnnxRuntime().kernels(Artifact(directory, "onnx", "", 0), options, feed)

    return look


def test_a_float_model_has_no_integer_kernels(kernels):
    found = kernels()
    assert (found.nodes, found.integer_nodes, found.leftover_qdq) == (17, 0, 0)
    assert (found.weight_share, found.time_share, found.reason) == (0, 0, None)
    assert len(found.float_nodes) == 17
    assert found.kernel_seconds["MatMul"] > 0
    seconds = list(found.kernel_seconds.values())
    assert seconds == sorted(seconds, reverse=True)


@pytest.mark.parametrize(
    ("quantization", "leftover_qdq"),
    [  # onnxruntime quantizes what a residual adds as well, and turns it back: one node for each of the four
        (StaticQuantization(**STATIC), 4),
        (StaticQuantization(**STATIC, format=Format.QOperator), 0),
        (StaticQuantization(**STATIC, quantize_outputs=True), 4),
        (DynamicQuantization(weight_type=WeightType.int8), 0),
    ],
    ids=["qdq", "qoperator", "outputs", "dynamic"],
)
def test_quantized_products_run_in_integers(kernels, quantization, leftover_qdq):
    found = kernels(quantization)
    assert (found.nodes, found.integer_nodes, found.leftover_qdq) == (17, 13, leftover_qdq)
    assert found.weight_share == 1
    assert 0 < found.time_share < 1
    assert len(found.float_nodes) == 17 - 13
    products = {"/layer.0/attention/MatMul", "/layer.1/attention/MatMul_1"}  # of two activations
    assert products & set(found.float_nodes)


def test_sixteen_bits_run_in_floating_point_between_conversions(kernels):
    found = kernels(StaticQuantization(activation_type=IntegerType.uint16, weight_type=IntegerType.int8))
    assert found.integer_nodes < 13
    assert found.leftover_qdq > 10


def test_packed_weights_are_integer_as_far_as_their_level_says(kernels):
    found = kernels(WeightOnlyQuantization(accuracy_level=4))
    assert (found.nodes, found.integer_nodes) == (17, 13)
    assert "13 products are packed in few bits; by their accuracy_level 13 in int8" in found.reason
    found = kernels(WeightOnlyQuantization(accuracy_level=1))
    assert (found.nodes, found.integer_nodes, found.time_share) == (17, 0, 0)
    assert "13 in floating point" in found.reason
    tables = 42 * 32
    assert found.weight_share == pytest.approx(1 - tables / 17_824)
    found = kernels(WeightOnlyQuantization(embeddings=True))
    assert found.weight_share == 1


def test_the_runtime_may_be_told_to_optimize_nothing(kernels):
    options = LoadOptions(1, WaitPolicy.runtime, "none", "AutoModel")
    found = kernels(StaticQuantization(**STATIC), options)
    assert found.integer_nodes == 0
    assert found.leftover_qdq > 20
    assert found.weight_share == 1  # as stored


def graph_of(*nodes, **weights):
    values = [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()]
    return helper.make_graph([helper.make_node(*node) for node in nodes], "g", [], [], values)


def test_weights_are_counted_once_and_behind_conversions():
    graph = graph_of(
        ("DequantizeLinear", ["a", "scale"], ["fa"], "d"),
        ("MatMul", ["x", "fa"], ["y"], "first"),
        ("MatMul", ["y", "fa"], ["z"], "second"),
        ("Gemm", ["z", "b", "bias"], ["w"], "third"),
        ("Gather", ["shape", "index"], ["v"], "no table"),
        a=np.ones((4, 6), np.int8),
        b=np.ones((6, 2), np.float32),
        bias=np.ones(2, np.float32),
        scale=np.float32(1),
        shape=np.ones((3, 3), np.int64),
    )
    assert weight_share(graph) == pytest.approx(24 / 36)
    assert weight_share(graph_of(("Add", ["x", "x"], ["y"], "add"))) is None


def test_conversions_next_to_integer_operators_are_not_left_over():
    graph = graph_of(
        ("QuantizeLinear", ["x", "s"], ["q"], "taken"),
        ("QLinearMatMul", ["q", "s", "z", "w", "s", "z", "s", "z"], ["p"], "product"),
        ("DequantizeLinear", ["p", "s"], ["y"], "made"),
        ("QuantizeLinear", ["y", "s"], ["r"], "lost"),
        ("DequantizeLinear", ["r", "s"], ["t"], "lost too"),
        ("Gather", ["table", "i"], ["g"], "table"),
        ("DequantizeLinear", ["g", "s"], ["u"], "of a table"),
    )
    assert leftover(graph) == 2


def test_seconds_are_of_one_call_without_the_first():
    def events(*starts):
        for start in starts:
            yield {"cat": "Session", "name": "model_run", "ts": start, "dur": 9}
            for name, operator, took in (("a", "MatMul", 4), ("b", "Add", 2)):
                args = {"op_name": operator}
                yield {
                    "cat": "Node",
                    "name": f"{name}_kernel_time",
                    "ts": start + 1,
                    "dur": took,
                    "args": args,
                }
            yield {"cat": "Node", "name": "a_fence_before", "ts": start, "dur": 100, "args": {}}

    assert node_seconds(list(events(0, 10, 20)), 3) == {
        ("a", "MatMul"): pytest.approx(4e-6),
        ("b", "Add"): pytest.approx(2e-6),
    }
    twice = node_seconds(list(events(0, 10, 20, 30)), 2)  # a call of two runs each
    assert twice["a", "MatMul"] == pytest.approx(8e-6)
    assert node_seconds(list(events(0)), 2) == {}


def test_a_graph_without_products_has_no_shares():
    found = summary(graph_of(("Add", ["x", "x"], ["y"], "add")), {})
    assert (found.nodes, found.time_share, found.weight_share) == (0, None, None)


def test_the_share_of_time_is_of_products_only():
    graph = graph_of(
        ("MatMul", ["x", "w"], ["y"], "float"), ("QGemm", ["y", "s", "z", "v"], ["u"], "integer")
    )
    seconds = {("float", "MatMul"): 3.0, ("integer", "QGemm"): 1.0, ("other", "Softmax"): 6.0}
    found = summary(graph, seconds)
    assert found.time_share == pytest.approx(0.25)
    assert found.kernel_seconds == {"Softmax": 6.0, "MatMul": 3.0, "QGemm": 1.0}


def test_a_long_list_of_float_nodes_is_cut():
    nodes = [("MatMul", ["x", "w"], [f"y{n}"], f"product {n}") for n in range(30)]
    found = summary(graph_of(*nodes), {})
    assert found.nodes == 30
    assert len(found.float_nodes) == 20


def test_types_of_the_numbers_that_stand_for_onnx_enumerations():
    from optbench.onnx_graphs import kernels

    assert kernels.UINT8 == TensorProto.UINT8
    assert kernels.INTEGER == onnx.AttributeProto.INT
