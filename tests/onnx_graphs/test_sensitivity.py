"""Which parts of a graph a quantization harms, on a graph whose harmful part is known."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from optbench.errors import DataError
from optbench.onnx_graphs.sensitivity import drift, quantized_scopes, rank, scope_of, without
from optbench.quantizations.dynamic import DynamicQuantization
from optbench.quantizations.none import NoQuantization

WIDTH = 16


@pytest.mark.parametrize(
    ("node", "scope"),
    [
        ("/bert/encoder/layer.0/attention/self/query/MatMul", "bert/encoder/layer.0/attention"),
        ("/bert/encoder/layer.11/output/dense/MatMul", "bert/encoder/layer.11/output"),
        ("/vit/encoder/layer.0/MatMul", "vit/encoder/layer.0"),
        ("/classifier/Gemm", "classifier"),
        ("/bert/embeddings/word_embeddings/Gather", "bert/embeddings"),
        ("MatMul_12", "MatMul_12"),
    ],
)
def test_a_node_belongs_to_the_step_below_its_layer(node, scope):
    assert scope_of(node) == scope


@pytest.fixture
def source(tmp_path):
    """Two layers; one huge weight of the second, on an input that is always 0, takes int8's whole range."""
    tame = np.random.default_rng(0).normal(size=(WIDTH, WIDTH))
    wild = tame.copy()
    tame[:, 0] = -1.0
    wild[0] = 1000.0
    values = {"tame": tame, "wild": wild}
    nodes = [
        helper.make_node("MatMul", ["x", "tame"], ["a"], "/layer.0/good/MatMul"),
        helper.make_node("Relu", ["a"], ["r"], "/layer.0/good/Relu"),
        helper.make_node("MatMul", ["r", "wild"], ["y"], "/layer.1/bad/MatMul"),
    ]
    shape = [None, WIDTH]
    graph = helper.make_graph(
        nodes,
        "two",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in values.items()],
    )
    directory = tmp_path / "source"
    directory.mkdir()
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, directory / "model.onnx")
    return directory


@pytest.fixture
def rows():
    """Rows of positive numbers, so that the second layer's first input is cut to 0."""
    draws = np.abs(np.random.default_rng(1).normal(size=(8, WIDTH))).astype(np.float32)
    return [{"x": row, "unused": np.zeros(3)} for row in draws]


RECIPE = DynamicQuantization(per_channel=False)


def test_the_nodes_that_a_recipe_quantizes_are_found_by_scope(source):
    assert quantized_scopes(source, RECIPE, []) == {
        "layer.0/good": ["/layer.0/good/MatMul"],
        "layer.1/bad": ["/layer.1/bad/MatMul"],
    }
    partly = without(RECIPE, ["/layer.1/bad/MatMul"])
    assert list(quantized_scopes(source, partly, [])) == ["layer.0/good"]


def test_parts_are_ranked_by_the_harm_they_do_alone(source, rows):
    parts = rank(source, RECIPE, [], rows, seconds=60)
    assert [part.scope for part in parts] == ["layer.1/bad", "layer.0/good"]
    assert parts[0].drift > 0.5 > 0.1 > parts[1].drift > 0
    assert parts[0].nodes == ("/layer.1/bad/MatMul",)


def test_without_time_one_part_is_ranked(source, rows):
    assert len(rank(source, RECIPE, [], rows, seconds=0)) == 1


def test_a_recipe_without_exclusions_cannot_be_mended():
    with pytest.raises(DataError, match="cannot leave out nodes"):
        without(NoQuantization(), ["a"])


def test_the_drift_is_relative_to_the_spread_of_the_reference():
    reference = [np.array([[0.0, 2.0]]), np.array([[0.0, 2.0]])]
    moved = [array + 0.5 for array in reference]
    assert drift(reference, moved) == pytest.approx(0.5)
    assert drift([np.zeros((1, 2))], [np.ones((1, 2))]) == pytest.approx(1.0)
