"""Static quantization on a small encoder: what becomes integer, how near it stays, what is refused."""

from collections import Counter

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from optbench.backends.fake import Fake
from optbench.backends.onnxruntime import OnnxRuntime
from optbench.backends.openvino import OpenVino
from optbench.components import ModelSpec
from optbench.errors import DataError
from optbench.onnx_graphs import integers
from optbench.onnx_graphs.recipe import Calibration, Method
from optbench.quantizations.static import Format, IntegerType, StaticQuantization

INT8 = {"activation_type": IntegerType.uint8, "weight_type": IntegerType.int8}


@pytest.fixture
def quantize(source, target, make_rows):
    """Applies settings to the encoder; gives the details and the graph."""

    def apply(rows=None, **settings):
        quantization = StaticQuantization(**{**INT8, **settings})
        details = quantization.apply(source, target, make_rows() if rows is None else rows)
        return details, onnx.load(target / "model.onnx").graph

    return apply


def kinds(graph):
    return Counter(node.op_type for node in graph.node)


def arrays(graph, ending):
    return {
        item.name: numpy_helper.to_array(item) for item in graph.initializer if item.name.endswith(ending)
    }


@pytest.mark.parametrize("form", list(Format))
@pytest.mark.parametrize("method", [method for method in Method if method is not Method.entropy])
def test_every_method_and_format_stays_near(quantize, source, target, make_rows, distance, form, method):
    details, _ = quantize(format=form, calibration=Calibration(method=method))
    assert distance(source, target, make_rows()) < 0.06
    assert details["calibration"]["method"] == method.value
    assert details["calibrated_rows"] == 6
    assert details["nodes_quantized"] == 15  # 6 products in each layer, 2 look-ups, the classifier


def test_products_of_weights_and_embeddings_become_integer_and_nothing_else(quantize):
    _, graph = quantize()
    weights = {name: array for name, array in arrays(graph, "_quantized").items() if array.ndim == 2}
    assert len(weights) == 15
    assert {array.dtype for array in weights.values()} == {np.dtype(np.int8), np.dtype(np.uint8)}
    readers = {
        node.op_type
        for node in graph.node
        for name in node.input
        if name.endswith("_DequantizeLinear_Output")
    }
    assert readers == {"MatMul", "Gemm", "Gather", "Add"}
    _, graph = quantize(format=Format.QOperator)
    assert kinds(graph)["QLinearMatMul"] == 12
    assert kinds(graph)["MatMul"] == 4  # of two activations each
    assert kinds(graph)["QGemm"] == 1


def test_outputs_of_products_are_quantized_only_if_asked(quantize):
    plain, asked = (kinds(quantize(quantize_outputs=asked)[1])["QuantizeLinear"] for asked in (False, True))
    assert asked > plain


def test_products_of_two_activations_are_quantized_only_if_asked(quantize):
    details, _ = quantize(weights_only_products=False)
    assert details["nodes_quantized"] == 19


def test_excluded_groups_stay_in_floating_point(quantize):
    details, graph = quantize(format=Format.QOperator, node_exclusion=["attention", "last_layer", "gelu"])
    assert kinds(graph)["QLinearMatMul"] == 4
    assert kinds(graph)["QGemm"] == 0
    assert details["node_exclusion_matched"] == {"attention": 40, "last_layer": 1, "gelu": 10}
    assert details["node_exclusion_quantizable"] == {"attention": 8, "last_layer": 1, "gelu": 0}


def test_only_operators_named_are_quantized(quantize):
    details, graph = quantize(operators_to_quantize=["Gemm"], format=Format.QOperator)
    assert kinds(graph)["QGemm"] == details["nodes_quantized"] == 1
    assert kinds(graph)["QLinearMatMul"] == 0


@pytest.mark.parametrize("per_channel", [True, False])
def test_each_output_channel_has_its_scale_if_asked(quantize, per_channel):
    _, graph = quantize(per_channel=per_channel, operators_to_quantize=["MatMul"])
    sizes = {
        array.size
        for name, array in arrays(graph, "weight_scale").items()
        if name.startswith("/layer.0/output")
    }
    assert sizes == ({32} if per_channel else {1})


def test_a_reduced_range_has_seven_bits(quantize):
    for reduce_range, most in ((True, 64), (False, 127)):
        _, graph = quantize(reduce_range=reduce_range)
        matrices = [array for array in arrays(graph, "_quantized").values() if array.dtype == np.int8]
        assert max(np.abs(array.astype(int)).max() for array in matrices) == most


@pytest.mark.parametrize(
    ("activation", "weight"),
    [
        (IntegerType.uint8, IntegerType.uint8),
        (IntegerType.int8, IntegerType.int8),
        (IntegerType.uint16, IntegerType.int8),
        (IntegerType.int16, IntegerType.int16),
        (IntegerType.uint16, IntegerType.uint16),
    ],
)
def test_types_are_as_asked(quantize, source, target, make_rows, distance, activation, weight):
    details, graph = quantize(activation_type=activation, weight_type=weight)
    stored = {array.dtype.name for array in arrays(graph, "weight_quantized").values() if array.ndim == 2}
    assert stored == {weight.value}
    assert (details["activation_type"], details["weight_type"]) == (activation.value, weight.value)
    assert distance(source, target, make_rows()) < 0.06


def test_symmetric_activations_have_their_zero_in_the_middle(quantize):
    _, graph = quantize(activation_symmetric=True)
    zeros = {
        int(array)
        for name, array in arrays(graph, "_zero_point").items()
        if array.ndim == 0 and array.dtype == np.uint8
    }
    assert zeros <= {127, 128}
    _, graph = quantize(activation_symmetric=False)
    assert len({int(array) for array in arrays(graph, "_zero_point").values() if array.ndim == 0}) > 3


def test_methods_give_different_scales(quantize):
    found = []
    for method in Method:
        bins = 512 if method is Method.entropy else 2048
        calibration = Calibration(method=method, num_bins=bins)
        _, graph = quantize(calibration=calibration, node_exclusion=["/layer.0/*"])
        found.append(arrays(graph, "LayerNormalization_output_scale"))
        assert len(found[-1]) == 2
    for number, scales in enumerate(found):
        for other in found[:number]:
            assert any(scales[name] != other[name] for name in scales)


def test_nodes_that_touch_masks_are_left_alone_and_counted(
    quantize, make_encoder, source, target, make_rows, distance
):
    onnx.save(make_encoder(infinite=True), source / "model.onnx")
    operators = ["Add", "MatMul", "Softmax"]
    details, graph = quantize(
        format=Format.QOperator,
        operators_to_quantize=operators,
        calibration=Calibration(method=Method.percentile),
    )
    assert details["nodes_with_masks"] == 4  # the sum with the mask and softmax, in each layer
    assert kinds(graph)["Softmax"] == 2
    assert kinds(graph)["QLinearAdd"] > 0
    assert distance(source, target, make_rows()) < 0.5


def test_nothing_to_quantize_is_refused(quantize, make_encoder, source):
    with pytest.raises(DataError, match="leaves no node to quantize"):
        quantize(node_exclusion=["*"])
    with pytest.raises(DataError, match="names Conv, which the model's graph does not contain"):
        quantize(operators_to_quantize=["Conv"])
    model = make_encoder()
    kept = [node for node in model.graph.node if node.name == "/Cast"]
    del model.graph.node[:], model.graph.output[:]
    model.graph.node.extend(kept)
    model.graph.output.append(onnx.helper.make_tensor_value_info("/Cast_output", 1, ["batch", "length"]))
    onnx.save(model, source / "model.onnx")
    with pytest.raises(DataError, match=r"has none of MatMul, Gemm, Conv, Gather, .* it has Cast"):
        quantize()


def test_no_rows_are_refused(quantize):
    with pytest.raises(
        DataError, match=r"needs calibration rows and got none; set dataset.calibration_split"
    ):
        quantize(rows=[])


def test_a_file_that_is_no_onnx_model_is_refused(quantize, source):
    (source / "model.onnx").write_bytes(b"no model")
    with pytest.raises(DataError, match=r"model\.onnx cannot be prepared for quantization"):
        quantize()


def test_what_onnxruntime_cannot_quantize_is_refused_with_its_reason(quantize, monkeypatch):
    import onnxruntime.quantization

    def fail(*args, **kwargs):
        raise ValueError("no such thing")

    monkeypatch.setattr(onnxruntime.quantization, "quantize_static", fail)
    with pytest.raises(DataError, match=r"format=QDQ and operators Gather, Gemm, MatMul: no such thing"):
        quantize()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"activation_type": IntegerType.int8, "weight_type": IntegerType.uint8}, "weight_type must be int8"),
        (
            {"format": Format.QOperator, "activation_type": IntegerType.uint16},
            "format must be QDQ for 16-bit",
        ),
        ({"reduce_range": True, "weight_type": IntegerType.int16}, "reduce_range must be false"),
        ({"weight_symmetric": False}, "weight_symmetric must not be false with per_channel=true"),
    ],
)
def test_settings_that_cannot_go_together_are_refused(settings, said):
    (problem,) = StaticQuantization(**settings).problems()
    assert said in problem


def test_types_follow_the_cpu(monkeypatch):
    for flags, weight in (({"avx2", "avx512_vnni"}, "int8"), ({"avx2"}, "uint8")):
        monkeypatch.setattr(integers, "isa_flags", lambda flags=flags: frozenset(flags))
        assert [one.value for one in StaticQuantization().types()] == ["uint8", weight]
        assert StaticQuantization().cautions() == []
    signed = StaticQuantization(activation_type=IntegerType.int8)
    assert [one.value for one in signed.types()] == ["int8", "int8"]
    assert "slowly on x86" in signed.cautions()[0]
    assert "saturate" in StaticQuantization(**INT8).cautions()[0]
    assert "16-bit" in StaticQuantization(activation_type=IntegerType.uint16).cautions()[-1]


def test_it_asks_for_rows_and_for_onnx(tmp_path):
    spec = ModelSpec(tmp_path, "bert", ("NEGATIVE", "POSITIVE"), 100, 32)
    assert StaticQuantization(calibration=Calibration(num_samples=7)).calibration_rows() == 7
    assert StaticQuantization().supports(spec, OnnxRuntime()) is None
    assert "use backend=onnxruntime or quant=none" in StaticQuantization().supports(spec, Fake())
    integer = StaticQuantization(format=Format.QOperator)
    assert integer.supports(spec, OnnxRuntime()) is None
    assert "backend=openvino does not have; use quantization.format=QDQ" in integer.supports(spec, OpenVino())
    assert StaticQuantization().supports(spec, OpenVino()) is None


def test_nodes_that_were_folded_may_be_excluded(quantize, source, make_encoder):
    model = make_encoder()
    weight = onnx.helper.make_node("Identity", ["word"], ["copy"], "/folded/Identity")
    model.graph.node.insert(0, weight)
    next(node for node in model.graph.node if node.name == "/word/Gather").input[0] = "copy"
    onnx.save(model, source / "model.onnx")
    details, _ = quantize(node_exclusion=["/folded/Identity"])
    assert details["node_exclusion_matched"] == {"/folded/Identity": 0}


def test_more_nodes_can_be_excluded():
    more = StaticQuantization(node_exclusion=["gelu"]).excluding(["/a[0]/MatMul"])
    assert more.node_exclusion == ["gelu", "/a[[]0]/MatMul"]


@pytest.mark.slow
@pytest.mark.parametrize("form", list(Format))
@pytest.mark.parametrize("method", list(Method))
@pytest.mark.parametrize("name", ["bert", "vit", "gpt2"])
def test_every_method_and_format_runs_on_exports(exports, target, distance, name, form, method):
    directory, rows = exports[name]
    settings = {**INT8, "format": form, "calibration": Calibration(method=method, num_bins=512)}
    details = StaticQuantization(**settings).apply(directory, target, rows)
    assert details["nodes_quantized"] >= 10
    assert distance(directory, target, rows) < (1 if method is Method.entropy else 0.05)
