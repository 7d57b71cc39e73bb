"""OpenVINO as a backend: against onnxruntime on the same graph, and what it refuses."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import optbench.runtimes.quiet_openvino  # noqa: F401 - before openvino
from optbench.backends import openvino as module
from optbench.backends.openvino import OpenVino, Precision
from optbench.components import Artifact, LoadOptions, ModelSpec, WaitPolicy
from optbench.errors import DataError, Unsupported
from optbench.graphs.session import SessionGraph
from optbench.quantizations.dynamic import DynamicQuantization
from optbench.quantizations.none import NoQuantization
from optbench.runtimes.openvino_session import plain

FEED = {"input_ids": np.array([[1, 2, 3, 4], [5, 6, 7, 8]]), "attention_mask": np.ones((2, 4), np.int64)}


def options(threads=1):
    return LoadOptions(threads, WaitPolicy.runtime, "default", "AutoModel")


def artifact(directory, format="onnx"):
    return Artifact(directory, format, "", 0)


def answers(session, feed=FEED):
    return session.outputs(session.forward(session.bind(feed)))


@pytest.fixture
def converted(tiny_onnx, tmp_path):
    """Writes the tiny model as an IR, with `shape` fixed if given."""
    import openvino

    def write(shape=None):
        model = openvino.Core().read_model(tiny_onnx / "model.onnx")
        if shape is not None:
            model.reshape({"input_ids": shape})
        openvino.save_model(model, tmp_path / "model.xml", compress_to_fp16=False)
        return tmp_path

    return write


def test_outputs_equal_those_of_onnxruntime_from_onnx_and_from_ir(tiny_onnx, converted):
    session = onnxruntime.InferenceSession(str(tiny_onnx / "model.onnx"), providers=["CPUExecutionProvider"])
    expected = session.run(None, {"input_ids": FEED["input_ids"]})[0]
    for one in (artifact(tiny_onnx), artifact(converted(), "openvino")):
        found = answers(OpenVino().load(one, options()))
        assert list(found) == ["logits"]
        np.testing.assert_allclose(found["logits"], expected, rtol=1e-5, atol=1e-5)


def test_rows_of_another_length_need_no_other_model_and_outputs_outlive_the_next_call(tiny_onnx):
    session = OpenVino().load(artifact(tiny_onnx), options())
    first = answers(session)["logits"]
    kept = first.copy()
    assert answers(session, {"input_ids": np.zeros((1, 7), np.int64)})["logits"].shape == (1, 7, 8)
    np.testing.assert_array_equal(first, kept)


def test_bound_inputs_are_copies_in_the_type_of_the_model(tiny_onnx):
    session = OpenVino().load(artifact(tiny_onnx), options())
    tokens = FEED["input_ids"].astype(np.int32)
    bound = session.bind({"input_ids": tokens.T.copy().T})
    expected = answers(session)["logits"]
    tokens[:] = 0
    np.testing.assert_array_equal(session.outputs(session.forward(bound))["logits"], expected)
    session.synchronize()
    assert session.weights_bytes() is None


def test_settings_are_read_back_and_float32_is_the_default_on_every_cpu(tiny_onnx):
    found = OpenVino().load(artifact(tiny_onnx), options(1)).settings()
    assert (found["threads"], found["precision"], found["streams"]) == (1, "float32", 1)
    assert found["performance_hint"] == "LATENCY"
    assert found["device"] == "CPU"


def test_left_to_the_runtime_no_precision_is_asked_for():
    assert "INFERENCE_PRECISION_HINT" not in OpenVino(precision=Precision.runtime).properties(1)
    assert OpenVino().properties(1)["INFERENCE_PRECISION_HINT"] == "f32"


@pytest.mark.parametrize(
    ("given", "threads", "pinned"), [(None, 4, True), (None, 2, False), (True, 1, True), (False, 4, False)]
)
def test_threads_are_pinned_where_the_process_has_all_cores(monkeypatch, given, threads, pinned):
    monkeypatch.setattr(module, "usable_cores", lambda: 4)
    assert OpenVino(pinning=given).properties(threads)["ENABLE_CPU_PINNING"] is pinned


def test_other_devices_get_no_threads_of_the_host():
    properties = OpenVino(device="GPU", dynamic_quantization_group_size=0).properties(2)
    assert "INFERENCE_NUM_THREADS" not in properties
    assert properties["DYNAMIC_QUANTIZATION_GROUP_SIZE"] == 0
    assert not OpenVino(device="GPU").may_fork()
    assert OpenVino().may_fork()


def test_an_input_that_lacks_is_named(tiny_onnx):
    session = OpenVino().load(artifact(tiny_onnx), options())
    with pytest.raises(DataError, match=r"needs the input input_ids.*it makes pixel_values"):
        session.bind({"pixel_values": FEED["input_ids"]})


def test_a_fixed_shape_that_does_not_fit_is_told_with_both_shapes(converted):
    session = OpenVino().load(artifact(converted([1, 6]), "openvino"), options())
    assert answers(session, {"input_ids": np.ones((1, 6), np.int64)})["logits"].shape == (1, 6, 8)
    with pytest.raises(DataError, match=r"fixed shape \[1,6\] and was given \[2, 4\]; .*dynamic shapes"):
        session.bind(FEED)


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match=r"model\.onnx cannot be loaded by OpenVINO"):
        OpenVino().load(artifact(tmp_path), options())


class Core:
    """Knows a device and what it can do."""

    available_devices = ("CPU", "GPU.0")

    def get_property(self, device, name):
        return ["FP32", "INT8"]


def test_a_device_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(Unsupported, match=r"backend\.device=NPU.*CPU, GPU\.0"):
        OpenVino(device="NPU")._require_device(Core())
    OpenVino(device="GPU")._require_device(Core())


def test_a_precision_the_device_lacks_is_refused():
    for precision in (Precision.float16, Precision.bfloat16):
        with pytest.raises(Unsupported, match=r"backend\.precision=.*use backend\.precision=float32"):
            OpenVino(precision=precision)._require_device(Core())
    OpenVino(precision=Precision.runtime)._require_device(Core())


def test_a_wait_policy_is_refused_where_there_are_threads_to_wait():
    for policy in (WaitPolicy.passive, WaitPolicy.active):
        with pytest.raises(Unsupported, match=r"measure\.wait_policy=.* or threads=1"):
            OpenVino().environment(2, policy)
        assert OpenVino().environment(1, policy) == {}
    assert OpenVino().environment(2, WaitPolicy.runtime) == {}


def test_graph_levels_and_odd_values_are_refused(tmp_path):
    spec = ModelSpec(tmp_path, "bert", (), 100, 32)
    assert OpenVino().supports(spec, SessionGraph("default")) is None
    assert "graph=default" in OpenVino().supports(spec, SessionGraph("all"))
    assert OpenVino().problems() == []
    found = OpenVino(device="cpu", dynamic_quantization_group_size=-1).problems()
    assert [problem.split()[0] for problem in found] == ["device", "dynamic_quantization_group_size"]


def test_dynamic_onnx_quantization_comes_with_a_caution():
    assert OpenVino().cautions_about(NoQuantization()) == []
    [caution] = OpenVino().cautions_about(DynamicQuantization())
    assert "quant=dynamic in floating point" in caution


def test_a_missing_package_is_told_with_the_command_that_brings_it(monkeypatch):
    assert OpenVino().missing_extra() is None
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "openvino" else found(name))
    assert OpenVino().missing_extra().install == "pip install 'optbench[openvino]'"


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc")
def test_importing_it_starts_no_thread_and_no_telemetry(tmp_path):
    code = (
        "import importlib, os, sys\n"
        "from optbench.backends.openvino import OpenVino\n"
        "for name in OpenVino.imports: importlib.import_module(name)\n"
        "print(len(os.listdir('/proc/self/task')), sys.modules['openvino_telemetry'])\n"
    )
    environment = {
        **os.environ,
        "OPENBLAS_NUM_THREADS": "1",
        "HOME": str(tmp_path),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["1", "None"]
    assert list(tmp_path.iterdir()) == []


def test_properties_become_plain_values():
    import openvino

    assert plain(openvino.Type.bf16) == "bfloat16"
    assert plain(openvino.Type.u8) == "u8"
    assert plain(["CPU"]) == "CPU"
    assert (plain(None), plain(True), plain(2)) == (None, True, 2)
