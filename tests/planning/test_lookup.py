"""The cache as a plan sees it: found, likely or to be made, and nothing is written."""

import json

import pytest

from optbench.artifacts import store as store_module
from optbench.artifacts.store import ArtifactStore, CalibrationRows
from optbench.checkpoint import read_spec
from optbench.planning.lookup import ASSUMED_SECONDS, Lookup, float32_bytes, parameter_count
from optbench.quantizations.dynamic import DynamicQuantization
from optbench.quantizations.static import StaticQuantization

TASK = "text-classification"


@pytest.fixture(autouse=True)
def workshop(monkeypatch):
    """Stands in for the preparation process: a quantized file is a quarter of the exported one."""

    def make(log, name, method, source, target, *args):
        (target / "model.onnx").write_bytes(b"x" * {"export": 400, "quantize": 100}[method])
        return {}

    monkeypatch.setattr(store_module, "run_apart", make)


def lookup(tmp_path):
    return Lookup(tmp_path / "cache", tmp_path / "log")


def walked(place):
    return sorted(place.rglob("*"))


def test_nothing_is_there_at_first_and_nothing_is_made(tmp_path, bare_model):
    before, store = walked(tmp_path), lookup(tmp_path)
    source = store.exported(store.checkpoint(read_spec(bare_model)), TASK, None)
    store.quantized(source, DynamicQuantization())
    export, quantize = store.steps.values()
    size = 28
    assert (export.step, export.state, export.size_bytes, export.assumed) == ("export", "made", size, True)
    assert export.seconds == ASSUMED_SECONDS["export"]
    assert (quantize.step, quantize.state, quantize.size_bytes) == ("quantize", "made", size)
    assert quantize.model == "bare"
    assert quantize.recipe.startswith("dynamic, per_channel")
    assert walked(tmp_path) == before


def test_what_a_run_made_is_found_with_its_size(tmp_path, bare_model):
    real = ArtifactStore(tmp_path / "cache", tmp_path / "log")
    checkpoint = real.checkpoint(read_spec(bare_model))
    real.quantized(real.exported(checkpoint, TASK, None), DynamicQuantization())
    real.close()
    store = lookup(tmp_path)
    source = store.exported(store.checkpoint(read_spec(bare_model)), TASK, None)
    store.quantized(source, DynamicQuantization())
    store.quantized(source, DynamicQuantization(per_channel=False))
    states = [(step.state, step.size_bytes, step.assumed) for step in store.steps.values()]
    assert states == [("found", 400, False), ("found", 100, False), ("made", 400, False)]
    assert all(step.seconds < 5 for step in store.steps.values())


def test_a_damaged_entry_is_made_anew(tmp_path, bare_model):
    real = ArtifactStore(tmp_path / "cache", tmp_path / "log")
    made = real.exported(real.checkpoint(read_spec(bare_model)), TASK, None)
    real.close()
    (made.directory / "model.onnx").write_bytes(b"y" * 400)
    store = lookup(tmp_path)
    store.exported(store.checkpoint(read_spec(bare_model)), TASK, None)
    assert [step.state for step in store.steps.values()] == ["made"]


def test_calibrated_entries_are_likely_found_whatever_rows_they_saw(tmp_path, bare_model):
    real = ArtifactStore(tmp_path / "cache", tmp_path / "log")
    checkpoint = real.checkpoint(read_spec(bare_model))
    exported = real.exported(checkpoint, TASK, None)
    rows = tmp_path / "rows.npz"
    monkeyed = CalibrationRows(rows, "fingerprint")
    real.quantized(exported, StaticQuantization(), monkeyed)
    real.close()
    store = lookup(tmp_path)
    source = store.exported(store.checkpoint(read_spec(bare_model)), TASK, None)
    store.quantized(source, StaticQuantization())
    store.quantized(source, StaticQuantization(per_channel=not StaticQuantization().per_channel))
    assert [step.state for step in store.steps.values()] == ["found", "likely", "made"]


def write_header(path, header):
    data = json.dumps(header).encode()
    path.write_bytes(len(data).to_bytes(8, "little") + data)
    return path


def test_parameters_are_counted_from_the_header(tmp_path):
    tensors = {"a": {"dtype": "F16", "shape": [3, 5]}, "b": {"dtype": "F16", "shape": []}}
    file = write_header(tmp_path / "model.safetensors", {"__metadata__": {"format": "pt"}, **tensors})
    assert parameter_count(file) == 16
    assert float32_bytes(tmp_path) == 64


@pytest.mark.parametrize("content", [b"weights", b"", b"\xff" * 8, (4).to_bytes(8, "little") + b"nope"])
def test_a_file_without_a_readable_header_counts_as_it_is(tmp_path, content):
    (tmp_path / "model.safetensors").write_bytes(content)
    assert parameter_count(tmp_path / "model.safetensors") is None
    assert float32_bytes(tmp_path) == len(content)
    assert parameter_count(tmp_path / "pytorch_model.bin") is None
