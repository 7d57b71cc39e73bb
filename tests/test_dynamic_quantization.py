"""Dynamic int8 on a graph made by hand: what is quantized, what is left alone, what is refused."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from optbench.backends.fake import Fake
from optbench.backends.onnxruntime import OnnxRuntime
from optbench.components import ModelSpec
from optbench.errors import DataError
from optbench.onnx_graphs import integers
from optbench.onnx_graphs.integers import DOT_PRODUCT_FLAGS, WeightType
from optbench.quantizations.dynamic import DynamicQuantization
from optbench.quantizations.none import NoQuantization

WIDTH = 8
NODES = ["/layer.0/MatMul", "/layer.0/Add", "/layer.1/MatMul"]


def spec(tmp_path):
    return ModelSpec(tmp_path, "bert", ("NEGATIVE", "POSITIVE"), 100, 32)


@pytest.fixture
def source(tmp_path):
    """A directory with a graph of two matrix products and an addition."""
    rng = np.random.default_rng(0)
    weights = {
        name: rng.normal(size=(WIDTH, WIDTH)).astype(np.float32) * np.geomspace(0.1, 10, WIDTH)
        for name in ("first", "second")
    }
    values = {
        name: numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()
    }
    bias = numpy_helper.from_array(np.ones(WIDTH, dtype=np.float32), "bias")
    nodes = [
        helper.make_node("MatMul", ["x", "first"], ["a"], NODES[0]),
        helper.make_node("Add", ["a", "bias"], ["b"], NODES[1]),
        helper.make_node("MatMul", ["b", "second"], ["y"], NODES[2]),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, WIDTH])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, WIDTH])]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, [*values.values(), bias])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    directory = tmp_path / "source"
    directory.mkdir()
    onnx.save(model, directory / "model.onnx")
    return directory


@pytest.fixture
def quantize(source, tmp_path, monkeypatch):
    """Applies a recipe; gives what was done and the quantized graph."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "target").mkdir()

    def apply(**settings):
        details = DynamicQuantization(**settings).apply(source, tmp_path / "target")
        return details, onnx.load(tmp_path / "target" / "model.onnx").graph

    return apply


def operators(graph):
    return [node.op_type for node in graph.node]


def weights(graph):
    """Integer initializers that are matrices."""
    arrays = (numpy_helper.to_array(item) for item in graph.initializer)
    return [array for array in arrays if array.ndim == 2 and array.dtype in (np.int8, np.uint8)]


def scales(graph):
    """Scale of each quantized matrix."""
    return [numpy_helper.to_array(item) for item in graph.initializer if item.name.endswith("_scale")]


@pytest.mark.parametrize("flag", sorted(DOT_PRODUCT_FLAGS))
def test_a_cpu_with_dot_product_instructions_gets_signed_weights(monkeypatch, flag):
    monkeypatch.setattr(integers, "isa_flags", lambda: frozenset({"avx2", flag}))
    assert DynamicQuantization().chosen_weight_type() is WeightType.int8


@pytest.mark.parametrize("flags", [set(), {"avx2", "fma", "avx512f", "avx512bw"}, {"neon", "asimd"}])
def test_a_cpu_without_them_gets_unsigned_weights(monkeypatch, flags):
    monkeypatch.setattr(integers, "isa_flags", lambda: frozenset(flags))
    assert DynamicQuantization().chosen_weight_type() is WeightType.uint8


@pytest.mark.parametrize("given", [WeightType.int8, WeightType.uint8])
def test_a_weight_type_that_is_given_holds_on_every_cpu(monkeypatch, given):
    for flags in ({"avx512_vnni"}, set()):
        monkeypatch.setattr(integers, "isa_flags", lambda flags=flags: frozenset(flags))
        assert DynamicQuantization(weight_type=given).chosen_weight_type() is given


def test_the_recipe_names_the_weight_type_as_chosen(monkeypatch):
    for flags, chosen in (({"avx_vnni"}, "int8"), (set(), "uint8")):
        monkeypatch.setattr(integers, "isa_flags", lambda flags=flags: frozenset(flags))
        assert DynamicQuantization().recipe() == {
            "approach": "dynamic",
            "operators_to_quantize": [],
            "node_exclusion": [],
            "per_channel": True,
            "reduce_range": False,
            "weight_type": chosen,
            "weight_symmetric": chosen == "int8",
        }


@pytest.mark.parametrize(("weight_type", "dtype"), [(WeightType.int8, np.int8), (WeightType.uint8, np.uint8)])
def test_weights_on_disk_have_the_chosen_type(quantize, weight_type, dtype):
    details, graph = quantize(weight_type=weight_type)
    assert [array.dtype for array in weights(graph)] == [dtype, dtype]
    assert operators(graph).count("MatMulInteger") == 2
    assert "MatMul" not in operators(graph)
    assert details["weight_type"] == weight_type.value
    assert details["nodes_excluded"] == 0


def test_each_output_channel_has_its_scale_unless_one_is_asked_for(quantize):
    _, graph = quantize(per_channel=True, weight_type=WeightType.int8)
    assert [array.size for array in scales(graph)] == [WIDTH, WIDTH]
    _, graph = quantize(per_channel=False, weight_type=WeightType.int8)
    assert [array.size for array in scales(graph)] == [1, 1]


def test_a_reduced_range_has_seven_bits(quantize):
    _, graph = quantize(reduce_range=True, weight_type=WeightType.int8)
    assert all(np.abs(array.astype(int)).max() <= 64 for array in weights(graph))
    _, graph = quantize(reduce_range=False, weight_type=WeightType.int8)
    assert all(np.abs(array.astype(int)).max() == 127 for array in weights(graph))


@pytest.mark.parametrize("per_channel", [True, False])
def test_the_quantized_graph_computes_nearly_the_same(quantize, source, tmp_path, per_channel):
    quantize(per_channel=per_channel)
    x = np.random.default_rng(1).normal(size=(4, WIDTH)).astype(np.float32)
    answers = [
        onnxruntime.InferenceSession(str(directory / "model.onnx")).run(None, {"x": x})[0]
        for directory in (source, tmp_path / "target")
    ]
    distance = np.linalg.norm(answers[1] - answers[0]) / np.linalg.norm(answers[0])
    assert 0 < distance < 0.05


@pytest.mark.parametrize(
    ("patterns", "left", "count"),
    [
        (["/layer.0/MatMul"], 1, 1),
        (["*/MatMul"], 2, 2),
        (["/layer.1/*"], 1, 1),
        (["/layer.?/MatMul", "/layer.0/*"], 2, 3),
    ],
)
def test_excluded_nodes_stay_in_floating_point(quantize, patterns, left, count):
    details, graph = quantize(node_exclusion=patterns)
    assert operators(graph).count("MatMul") == left
    assert operators(graph).count("MatMulInteger") == 2 - left
    assert details["nodes_excluded"] == count
    assert details["node_exclusion"] == sorted(patterns)


@pytest.mark.parametrize("pattern", ["/layer.2/*", "matmul", "*/matmul", "", "/layer.0/MatMu"])
def test_a_pattern_that_matches_no_node_is_refused_with_an_example(quantize, pattern):
    with pytest.raises(
        DataError, match=r"node_exclusion pattern .* matches none of the graph's 3 nodes"
    ) as e:
        quantize(node_exclusion=["/layer.0/*", pattern])
    assert repr(pattern) in str(e.value)
    assert repr(NODES[1]) in str(e.value)


def test_only_the_operators_named_are_quantized(quantize):
    details, graph = quantize(operators_to_quantize=["MatMul"])
    assert operators(graph).count("MatMulInteger") == 2
    assert details["operators_to_quantize"] == ["MatMul"]


def test_operators_that_the_graph_lacks_are_refused_with_those_it_has(quantize, tmp_path):
    with pytest.raises(DataError, match=r"names Conv, Gemm, which .* it has Add, MatMul"):
        quantize(operators_to_quantize=["MatMul", "Gemm", "Conv"])
    assert list((tmp_path / "target").iterdir()) == []


def test_a_graph_whose_nodes_have_no_names_is_refused_with_patterns(source, quantize):
    model = onnx.load(source / "model.onnx")
    for node in model.graph.node:
        node.name = ""
    onnx.save(model, source / "model.onnx")
    with pytest.raises(DataError, match=r"matches none of the graph's 3 nodes"):
        quantize(node_exclusion=["/layer.0/*"])


def test_the_source_stays_as_it_is(source, quantize):
    before = (source / "model.onnx").read_bytes()
    quantize()
    assert (source / "model.onnx").read_bytes() == before


def test_only_onnx_can_be_quantized_so(tmp_path):
    assert DynamicQuantization().supports(spec(tmp_path), OnnxRuntime()) is None
    reason = DynamicQuantization().supports(spec(tmp_path), Fake())
    assert "quant=dynamic" in reason
    assert "backend=fake" in reason
    assert "use backend=onnxruntime or quant=none" in reason


def test_no_quantization_has_no_recipe_and_nothing_to_apply(tmp_path):
    none = NoQuantization()
    assert none.recipe() is None
    assert none.supports(spec(tmp_path), Fake()) is None
    with pytest.raises(ValueError, match="quant=none has nothing to apply"):
        none.apply(tmp_path, tmp_path, [])


@pytest.mark.parametrize("symmetric", [True, False])
def test_the_zero_of_weights_is_in_the_middle_only_if_asked(source, quantize, symmetric):
    model = onnx.load(source / "model.onnx")
    for item in model.graph.initializer:
        item.CopyFrom(numpy_helper.from_array(np.abs(numpy_helper.to_array(item)), item.name))
    onnx.save(model, source / "model.onnx")
    details, graph = quantize(weight_type=WeightType.uint8, per_channel=False, weight_symmetric=symmetric)
    assert details["weight_symmetric"] is symmetric
    zeros = [numpy_helper.to_array(item) for item in graph.initializer if item.name.endswith("_zero_point")]
    assert [int(zero) in (127, 128) for zero in zeros] == [symmetric, symmetric]


def test_a_group_is_excluded_by_its_name_and_counted(quantize):
    details, graph = quantize(node_exclusion=["first_layer", "*/Add"])
    assert operators(graph).count("MatMul") == operators(graph).count("MatMulInteger") == 1
    assert details["node_exclusion_matched"] == {"first_layer": 1, "*/Add": 1}
    assert details["node_exclusion_quantizable"] == {"first_layer": 1, "*/Add": 0}


def test_a_group_that_the_graph_lacks_is_refused_with_all_groups(quantize):
    with pytest.raises(DataError, match=r"group 'gelu' matches none .* groups are layernorm, gelu, residual"):
        quantize(node_exclusion=["gelu"])


@pytest.mark.parametrize(
    ("flags", "settings", "said"),
    [
        ({"avx2"}, {"weight_type": WeightType.int8}, True),
        ({"avx2"}, {"weight_type": WeightType.int8, "reduce_range": True}, False),
        ({"avx2"}, {"weight_type": WeightType.uint8}, False),
        ({"avx2"}, {}, False),
        ({"avx2", "avx512_vnni"}, {"weight_type": WeightType.int8}, False),
    ],
)
def test_weights_that_saturate_on_this_cpu_are_cautioned(monkeypatch, flags, settings, said):
    monkeypatch.setattr(integers, "isa_flags", lambda: frozenset(flags))
    cautions = DynamicQuantization(**settings).cautions()
    assert len(cautions) == said
    assert all("quantization.reduce_range=true" in caution for caution in cautions)


def test_a_file_that_is_no_onnx_model_is_refused(source, quantize):
    (source / "model.onnx").write_bytes(b"no model")
    with pytest.raises(DataError, match=r"model\.onnx cannot be read as an ONNX model"):
        quantize()
