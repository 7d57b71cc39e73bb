"""Ranges from calibration rows: against onnxruntime's own collector, in bounded memory, masks apart."""

import contextlib
import io

import numpy as np
import onnx
import pytest
from onnxruntime.quantization.calibrate import CalibrationMethod, create_calibrator

from optbench.errors import DataError
from optbench.onnx_graphs.calibration import averaged, chunked, find_ranges
from optbench.onnx_graphs.files import add_types, floating_tensors
from optbench.onnx_graphs.recipe import Calibration, Method

METHODS = list(Method)


@pytest.fixture
def model(make_encoder, tmp_path):
    """The encoder with its types, and the names of what its matrix products read and give."""
    model = make_encoder()
    add_types(model, tmp_path)
    floats = floating_tensors(model.graph)
    nodes = [node for node in model.graph.node if node.op_type in ("MatMul", "Gemm")]
    return model, sorted({name for node in nodes for name in (*node.input, *node.output)} & floats)


def settings(method, **given):
    return Calibration(method=method, **{"num_bins": 512, **given})


def of_onnxruntime(model, rows, method, place, **options):
    """What onnxruntime finds with the outputs of all rows in memory; they must have one length."""
    onnx.save(model, place / "model.onnx")
    kinds = ["Gemm"] if method == "Entropy" else ["MatMul", "Gemm"]
    with contextlib.redirect_stdout(io.StringIO()):
        calibrator = create_calibrator(
            place / "model.onnx",
            kinds,
            str(place / "augmented.onnx"),
            CalibrationMethod[method],
            extra_options=options,
        )

        class Reader:
            def __init__(self):
                self.rows = iter([{name: row[name][None] for name in row} for row in rows])

            def get_next(self):
                return next(self.rows, None)

        calibrator.collect_data(Reader())
        found = calibrator.compute_data().data
    return {
        name: (np.asarray(one.lowest).item(), np.asarray(one.highest).item()) for name, one in found.items()
    }


@pytest.mark.parametrize(
    ("method", "name", "options"),
    [
        (Method.minmax, "MinMax", {}),
        (Method.entropy, "Entropy", {"num_bins": 512}),
        (Method.percentile, "Percentile", {"num_bins": 512, "percentile": 99.9, "symmetric": False}),
        (Method.distribution, "Distribution", {"num_bins": 512}),
    ],
)
def test_ranges_equal_those_of_onnxruntime_given_all_rows_at_once(
    model, make_rows, tmp_path, method, name, options
):
    proto, tensors = model
    rows = make_rows([7] * 4)
    tensors = tensors if method is not Method.entropy else ["logits"]
    found = find_ranges(proto, tensors, rows, settings(method, percentile=99.9), tmp_path)
    expected = of_onnxruntime(proto, rows, name, tmp_path, **options)
    assert found.ranges.keys() == set(tensors) <= expected.keys()
    assert found.masks == []
    for tensor in tensors:
        assert found.ranges[tensor] == pytest.approx(expected[tensor], rel=1e-5)


def test_the_order_and_length_of_rows_do_not_matter(model, make_rows, tmp_path):
    proto, tensors = model
    rows = make_rows()
    for method in (Method.minmax, Method.percentile):
        forward = find_ranges(proto, tensors, rows, settings(method), tmp_path).ranges
        assert forward == find_ranges(proto, tensors, rows[::-1], settings(method), tmp_path).ranges


def test_a_small_memory_takes_more_passes_to_the_same_ranges(model, make_rows, tmp_path):
    proto, tensors = model
    rows = make_rows()
    free = find_ranges(proto, tensors, rows, settings(Method.percentile), tmp_path)
    tight = find_ranges(proto, tensors, rows, settings(Method.percentile, memory_bytes=10_000), tmp_path)
    single = find_ranges(proto, tensors, rows, settings(Method.percentile, memory_bytes=1), tmp_path)
    assert free.passes == 2
    assert 2 < tight.passes < single.passes == 1 + len(tensors)
    assert free.ranges == tight.ranges == single.ranges


def test_tensors_are_taken_together_as_far_as_they_fit():
    sizes = {"a": 4, "b": 4, "c": 9, "d": 1, "e": 3}
    assert list(chunked(list("abcde"), sizes, 8)) == [["a", "b"], ["c"], ["d", "e"]]
    assert list(chunked([], sizes, 8)) == []


def test_a_moving_average_follows_the_rows():
    assert averaged([4.0], 0.1) == 4
    assert averaged([4.0, 8.0, 0.0], 0.25) == pytest.approx(3.75)  # 4, 5, 3.75
    assert averaged([4.0, 8.0, 1.0], 1) == 1


def test_every_method_finds_other_ranges(model, make_rows, tmp_path):
    proto, tensors = model
    tensors, rows = tensors[:2], make_rows()
    recipes = [settings(method, num_bins=2048) for method in METHODS]
    recipes += [settings(Method.minmax, moving_average=True, moving_average_constant=0.3)]
    recipes += [settings(Method.percentile, percentile=99)]
    found = [find_ranges(proto, tensors, rows, recipe, tmp_path).ranges for recipe in recipes]
    for number, ranges in enumerate(found):
        assert all(ranges != other for other in found[:number])


def test_few_bins_make_entropy_the_same_as_the_largest_absolute_value(model, make_rows, tmp_path):
    proto, tensors = model
    coarse = find_ranges(proto, tensors, make_rows(), settings(Method.entropy, num_bins=128), tmp_path)
    plain = find_ranges(proto, tensors, make_rows(), settings(Method.minmax), tmp_path)
    for name, ends in plain.ranges.items():
        assert coarse.ranges[name] == pytest.approx(ends, rel=1e-5)


def test_a_tensor_of_zeros_has_an_empty_range(make_rows, tmp_path):
    node = onnx.helper.make_node("Cast", ["token_type_ids"], ["y"], to=onnx.TensorProto.FLOAT)
    value = onnx.helper.make_tensor_value_info
    inputs = [value("token_type_ids", onnx.TensorProto.INT64, ["batch", "length"])]
    graph = onnx.helper.make_graph([node], "g", inputs, [value("y", onnx.TensorProto.FLOAT, None)])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8)
    rows = [{"token_type_ids": np.zeros(4, np.int64)}]
    for method in METHODS:
        assert find_ranges(model, ["y"], rows, settings(method), tmp_path).ranges == {"y": (0, 0)}


def test_masks_get_no_range(make_encoder, make_rows, tmp_path):
    model = make_encoder(infinite=True)
    add_types(model, tmp_path)
    tensors = sorted(floating_tensors(model.graph))
    found = find_ranges(model, tensors, make_rows(), settings(Method.percentile), tmp_path)
    scores = {f"/layer.{layer}/attention/Add_output" for layer in (0, 1)}
    assert set(found.masks) == {"/Where_output"} | scores
    assert found.ranges.keys() == set(tensors) - set(found.masks)


def test_rows_that_lack_an_input_are_refused(model, make_rows, tmp_path):
    rows = [{"input_ids": row["input_ids"]} for row in make_rows()]
    with pytest.raises(DataError, match=r"needs the input attention_mask, token_type_ids, .* have input_ids"):
        find_ranges(*model, rows, settings(Method.minmax), tmp_path)


def test_a_row_the_model_cannot_run_is_named(model, make_rows, tmp_path):
    rows = make_rows()
    rows[2]["input_ids"] = rows[2]["input_ids"] + 1000
    with pytest.raises(DataError, match="cannot run calibration row 2"):
        find_ranges(*model, rows, settings(Method.minmax), tmp_path)


def test_a_row_that_gives_no_numbers_is_named(model, make_rows, tmp_path):
    proto, tensors = model
    word = next(item for item in proto.graph.initializer if item.name == "word")
    values = onnx.numpy_helper.to_array(word).copy()
    values[39] = np.nan
    word.CopyFrom(onnx.numpy_helper.from_array(values, "word"))
    rows = make_rows()
    for row in rows:
        row["input_ids"] = row["input_ids"] % 39
    rows[1]["input_ids"][0] = 39
    with pytest.raises(DataError, match=r"calibration row 1 makes .* not a number"):
        find_ranges(proto, tensors, rows, settings(Method.minmax), tmp_path)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"num_samples": 0}, "num_samples must be >= 1, got 0"),
        ({"num_bins": 128}, "num_bins must be >= 512, got 128"),
        ({"memory_bytes": 0}, "memory_bytes must be >= 1"),
        ({"moving_average_constant": 0.0}, "moving_average_constant must lie between 0 and 1, got 0"),
        ({"moving_average": True, "method": Method.entropy}, "must be false with method=entropy"),
        ({"percentile": 50.0}, "percentile must lie between 50 and 100, got 50"),
    ],
)
def test_settings_out_of_range_are_refused(given, said):
    (problem,) = Calibration(**given).problems()
    assert said in problem


def test_the_recipe_names_what_decides_the_ranges():
    assert Calibration().recipe() == {"method": "minmax", "moving_average": None}
    assert Calibration(moving_average=True).recipe() == {"method": "minmax", "moving_average": 0.01}
    percentile = Calibration(method=Method.percentile, memory_bytes=5)
    assert percentile.recipe() == {"method": "percentile", "num_bins": 2048, "percentile": 99.99}
