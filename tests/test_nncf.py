"""NNCF's quantizations on a tiny graph: what they write, what they leave alone, what they refuse."""

import numpy as np
import pytest

from optbench.backends.fake import Fake
from optbench.backends.onnxruntime import OnnxRuntime
from optbench.backends.openvino import OpenVino
from optbench.components import Artifact, LoadOptions, ModelSpec, WaitPolicy
from optbench.errors import DataError
from optbench.quantizations.nncf import ModelType, NncfQuantization, Preset
from optbench.quantizations.nncf_weights import NncfWeights, WeightMode

RNG = np.random.default_rng(0)
ROWS = [{"input_ids": RNG.integers(0, 12, 3 + n % 4), "_offsets": np.zeros(2)} for n in range(8)]


def logits(directory, format="openvino", **settings):
    options = LoadOptions(1, WaitPolicy.runtime, "default", "AutoModel")
    session = OpenVino(**settings).load(Artifact(directory, format, "", 0), options)
    feed = {"input_ids": np.arange(12).reshape(2, 6)}
    return session.outputs(session.forward(session.bind(feed)))["logits"]


def cosine(left, right):
    return float(np.sum(left * right) / np.linalg.norm(left) / np.linalg.norm(right))


@pytest.fixture
def quantize(tiny_onnx, tmp_path):
    def apply(name="target", rows=ROWS, **settings):
        (tmp_path / name).mkdir()
        return tmp_path / name, NncfQuantization(**settings).apply(tiny_onnx, tmp_path / name, rows)

    return apply


def test_calibration_rows_of_any_length_make_an_int8_model_the_same_each_time(quantize, tiny_onnx):
    first, details = quantize("first")
    second, _ = quantize("second")
    assert details["calibration_rows"] == 8
    assert details["nodes"] == {"MatMul": 2, "FakeQuantize": 2}
    assert set(details["versions"]) == {"nncf", "openvino"}
    assert (first / "model.bin").read_bytes() == (second / "model.bin").read_bytes()
    assert (first / "model.bin").stat().st_size < 0.4 * (tiny_onnx / "model.onnx").stat().st_size
    assert cosine(logits(first), logits(tiny_onnx, "onnx")) > 0.99


def test_excluded_nodes_and_operators_stay_in_float(quantize):
    _, details = quantize(node_exclusion=["/layer.0/*"])
    assert details["nodes"]["FakeQuantize"] == 1
    assert details["nodes_excluded"] == 2
    _, details = quantize("none", operator_exclusion=["MatMul"])
    assert "FakeQuantize" not in details["nodes"]


def test_names_that_match_nothing_are_refused(quantize):
    with pytest.raises(DataError, match=r"node_exclusion pattern 'zzz\*' matches none.*named like"):
        quantize("a", node_exclusion=["zzz*"])
    with pytest.raises(DataError, match=r"operator_exclusion names Conv, which.*MatMul"):
        quantize("b", operator_exclusion=["Conv"])


def test_rows_that_lack_or_do_not_fit_are_refused(quantize):
    with pytest.raises(DataError, match="needs calibration rows"):
        quantize("a", rows=[])
    with pytest.raises(DataError, match=r"needs the input input_ids.*they have pixels"):
        quantize("b", rows=[{"pixels": np.ones(3)}])


def test_a_file_that_is_no_model_is_named(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match=r"model\.onnx cannot be read by OpenVINO"):
        NncfWeights().apply(tmp_path, tmp_path)


def test_both_are_for_openvino_and_say_so(tmp_path):
    spec = ModelSpec(tmp_path, "bert", (), 100, 32)
    for quantization in (NncfQuantization(), NncfWeights()):
        assert quantization.supports(spec, OpenVino()) is None
        assert "use backend=openvino" in quantization.supports(spec, OnnxRuntime())
        assert "use backend=openvino" in quantization.supports(spec, Fake())
        assert quantization.missing_extra() is None


def test_the_recipe_holds_all_that_changes_the_file():
    recipe = NncfQuantization(
        preset=Preset.performance, model_type=ModelType.none, num_samples=7, node_exclusion=["b", "a"]
    ).recipe()
    assert recipe == {
        "approach": "nncf",
        "preset": "performance",
        "model_type": "none",
        "num_samples": 7,
        "fast_bias_correction": True,
        "node_exclusion": ["a", "b"],
        "operator_exclusion": [],
    }
    assert NncfQuantization(num_samples=7).calibration_rows() == 7
    assert NncfWeights().recipe() == {"approach": "nncf_weights", "mode": "int8_asym"}
    assert NncfWeights(mode=WeightMode.int4_sym, group_size=32).recipe() == {
        "approach": "nncf_weights",
        "mode": "int4_sym",
        "ratio": 1.0,
        "group_size": 32,
        "all_layers": False,
    }
    assert NncfWeights().calibration_rows() == 0


def test_values_out_of_range_are_found():
    assert NncfQuantization().problems() == []
    assert NncfQuantization(num_samples=0).problems() == ["num_samples must be at least 1, got 0"]
    assert NncfWeights().problems() == []
    found = NncfWeights(mode=WeightMode.int4_asym, ratio=0.0, group_size=0).problems()
    assert [problem.split()[0] for problem in found] == ["ratio", "group_size"]


def test_settings_of_int4_are_refused_with_int8():
    found = NncfWeights(mode=WeightMode.int8_sym, ratio=0.5, group_size=64, all_layers=True).problems()
    assert [problem.split()[0] for problem in found] == ["ratio", "group_size", "all_layers"]
    assert NncfWeights(mode=WeightMode.int4_sym, ratio=0.5, group_size=-1, all_layers=True).problems() == []


@pytest.mark.parametrize(
    ("settings", "type_name"),
    [
        ({"mode": WeightMode.int8_asym}, "u8"),
        ({"mode": WeightMode.int8_sym}, "i8"),
        ({"mode": WeightMode.int4_sym, "group_size": 32, "all_layers": True}, "i4"),
    ],
)
def test_weights_are_kept_in_the_type_asked_for(tiny_onnx, tmp_path, settings, type_name):
    details = NncfWeights(**settings).apply(tiny_onnx, tmp_path)
    weights = 12 * 32 + 32 * 64 + 64 * 8
    assert weights <= details["elements"][type_name] < 1.1 * weights
    found = logits(tmp_path, dynamic_quantization_group_size=0)
    assert cosine(found, logits(tiny_onnx, "onnx")) > 0.97


def test_a_group_that_does_not_divide_the_weights_is_told(tiny_onnx, tmp_path):
    with pytest.raises(DataError, match="cannot be quantized by NNCF"):
        NncfWeights(mode=WeightMode.int4_sym, group_size=48, all_layers=True).apply(tiny_onnx, tmp_path)
