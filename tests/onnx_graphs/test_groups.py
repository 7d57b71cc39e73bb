"""Named groups: what they match in a graph whose nodes are known, and in the exports of today."""

import onnx
import pytest

from optbench.errors import DataError
from optbench.onnx_graphs.exclusion import exclude, require_operators
from optbench.onnx_graphs.groups import GROUPS
from optbench.onnx_graphs.nodes import NodeIndex, name_nodes


def matched(model, group):
    index = NodeIndex(model.graph)
    return {index.nodes[number].name for number in GROUPS[group](index)}


def in_layers(*paths):
    return {f"/layer.{layer}/{path}" for layer in (0, 1) for path in paths}


ATTENTION = in_layers(
    *(
        f"attention/{part}/{node}"
        for part in ("query", "key", "value")
        for node in ("MatMul", "Add", "Reshape", "Transpose")
    ),
    *(
        f"attention/{node}"
        for node in ("MatMul", "Mul", "Add", "Softmax", "MatMul_1", "Transpose", "Reshape")
    ),
    "attention/output/MatMul",
)
EXPECTED = {
    "layernorm": {"/norm/LayerNormalization"}
    | in_layers("norm/LayerNormalization", "norm_1/LayerNormalization"),
    "gelu": in_layers("gelu/Div", "gelu/Erf", "gelu/Add", "gelu/Mul", "gelu/Mul_1"),
    "residual": in_layers("Add", "Add_1"),
    "gather": {"/word/Gather", "/type/Gather"},
    "softmax": in_layers("attention/Softmax"),
    "attention": ATTENTION,
    "first_layer": {f"/layer.0/attention/{part}/MatMul" for part in ("query", "key", "value")},
    "last_layer": {"/classifier/Gemm"},
}


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_matches_just_its_nodes(make_encoder, group):
    assert matched(make_encoder(), group) == EXPECTED[group]


def test_names_play_no_part(make_encoder):
    model = make_encoder()
    for node in model.graph.node:
        node.name = ""
    assert name_nodes(model.graph) == len(model.graph.node)
    for group, names in EXPECTED.items():
        assert len(matched(model, group)) == len(names)


def test_gelu_by_tanh_is_found(make_encoder):
    nodes = ("Pow", "Mul_1", "Add", "Mul_2", "Tanh", "Add_1", "Mul", "Mul_3")
    assert matched(make_encoder(tanh=True), "gelu") == in_layers(*(f"gelu/{node}" for node in nodes))


def test_a_normalization_written_out_is_found(make_encoder):
    nodes = ("ReduceMean", "Sub", "Pow", "ReduceMean_1", "Add", "Sqrt", "Div", "Mul", "Add_1")
    paths = ["/norm", *in_layers("norm", "norm_1")]
    assert matched(make_encoder(opset=16), "layernorm") == {
        f"{path}/{node}" for path in paths for node in nodes
    }


def test_what_only_looks_alike_is_no_group():
    nodes = [
        onnx.helper.make_node("Tanh", ["x"], ["a"], "tanh"),
        onnx.helper.make_node("Add", ["a", "x"], ["b"], "add"),
        onnx.helper.make_node("Softmax", ["b"], ["c"], "softmax"),
        onnx.helper.make_node("Div", ["c", "x"], ["y"], "div"),
    ]
    graph = onnx.helper.make_graph(nodes, "g", [], [])
    model = onnx.helper.make_model(graph)
    found = {group: matched(model, group) for group in GROUPS}
    assert {group for group, names in found.items() if names} == {"softmax"}


def test_an_exclusion_counts_what_it_matched_and_what_it_spared(make_encoder):
    def is_product(index, number):
        return index.nodes[number].op_type in ("MatMul", "Gemm")

    found = exclude(make_encoder().graph, ["attention", "/layer.0/*", "gelu"], is_product)
    assert found.matched == {"attention": 40, "/layer.0/*": 34, "gelu": 10}
    assert found.quantizable == {"attention": 12, "/layer.0/*": 8, "gelu": 0}
    assert set(found.names) >= EXPECTED["attention"] | EXPECTED["gelu"]
    assert found.details()["nodes_excluded"] == len(found.names)


def test_an_entry_without_a_match_is_refused(make_encoder):
    with pytest.raises(DataError, match=r"pattern 'Attention' matches none of the graph's 78 nodes"):
        exclude(make_encoder().graph, ["gelu", "Attention"], lambda index, number: True)


def test_operators_that_lack_are_refused(make_encoder):
    require_operators(["MatMul", "Gemm"], make_encoder().graph)
    with pytest.raises(DataError, match=r"names Conv, LSTM, which the model's graph does not contain"):
        require_operators(["MatMul", "LSTM", "Conv"], make_encoder().graph)


COUNTS = {
    "bert": {"layernorm": 5, "gelu": 10, "residual": 4, "gather": 3, "softmax": 2},
    "roberta": {"layernorm": 5, "gelu": 10, "residual": 4, "gather": 3, "softmax": 2},
    "distilbert": {"layernorm": 5, "gelu": 10, "residual": 4, "gather": 2, "softmax": 2},
    "vit": {"layernorm": 5, "gelu": 10, "residual": 4, "gather": 0, "softmax": 2},
    "gpt2": {"layernorm": 5, "gelu": 16, "residual": 4, "gather": 2, "softmax": 2},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", COUNTS)
def test_groups_match_the_exports_of_today(exports, name):
    model = onnx.load(exports[name][0] / "model.onnx")
    found = {group: matched(model, group) for group in GROUPS}
    assert {group: len(found[group]) for group in COUNTS[name]} == COUNTS[name]
    last = "/lm_head/MatMul" if name == "gpt2" else "/classifier/"
    assert all(node.startswith(last) for node in found["last_layer"])
    assert len(found["last_layer"]) == 1
    index = NodeIndex(model.graph)
    kinds = [node.op_type for node in index.nodes if node.name in found["attention"]]
    products = kinds.count("MatMul") + kinds.count("Gemm")
    assert (products, kinds.count("Softmax")) == ((8, 2) if name == "gpt2" else (12, 2))
