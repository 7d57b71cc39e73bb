"""Preparation steps in their own process and directory."""

import os
import sys
import types
from pathlib import Path

import pytest

from optbench.artifacts import store as store_module
from optbench.errors import DataError
from optbench.processes import preparation
from optbench.processes.child import start
from optbench.processes.preparation import Preparer
from optbench.quantizations.dynamic import DynamicQuantization


class CopyAndScribble:
    """A quantization that copies the graph, and leaves a file in the current directory."""

    def apply(self, source, target, calibration):
        Path("scribble.onnx").write_text("left behind, as onnxruntime's quantizers do")
        (target / "model.onnx").write_bytes((source / "model.onnx").read_bytes())
        return {"where": str(Path.cwd())}


def test_a_quantized_model_gets_its_companions_and_the_current_directory_stays_clean(tmp_path, monkeypatch):
    source, target, here = tmp_path / "source", tmp_path / "target", tmp_path / "here"
    for directory in (source, target, here):
        directory.mkdir()
    for name in ("model.onnx", "config.json", "vocab.txt", "spiece.model", "optbench.json", "other.bin"):
        (source / name).write_text(name)
    monkeypatch.chdir(here)
    details = Preparer().quantize(source, target, CopyAndScribble(), None)
    assert {file.name for file in target.iterdir()} == {
        "model.onnx",
        "config.json",
        "vocab.txt",
        "spiece.model",
    }
    assert Path.cwd() == here
    assert list(here.iterdir()) == []
    assert not Path(details["where"]).exists()


def test_a_model_that_the_exporter_refuses_is_bad_input(tmp_path, monkeypatch):
    monkeypatch.setattr(preparation, "require_trained", lambda *arguments: None)

    def refuse(*args, **kwargs):
        raise ValueError("unsupported architecture")

    exporter = types.ModuleType("optimum.exporters.onnx")
    exporter.main_export = refuse
    for name in ("optimum", "optimum.exporters"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, "optimum.exporters.onnx", exporter)
    with pytest.raises(DataError, match=r"cannot be exported to ONNX: unsupported architecture"):
        Preparer().export(tmp_path, tmp_path, "text-classification", None)


def test_a_step_runs_in_a_process_of_its_own_which_ends_with_it(tmp_path, monkeypatch):
    started = []

    def start_and_note(*args, **kwargs):
        started.append(start(*args, **kwargs))
        return started[-1]

    monkeypatch.setattr(store_module, "start", start_and_note)
    task = (tmp_path, tmp_path / "target", DynamicQuantization(), None)
    with pytest.raises(DataError, match=r"model\.onnx cannot be read as an ONNX model: .*No such file"):
        store_module.run_apart(tmp_path / "log", "quantize", "quantize", *task)
    (child,) = started
    assert child.pid != os.getpid()
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)
