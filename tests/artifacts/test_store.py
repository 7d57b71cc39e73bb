"""The artifact cache: made once, found again, made anew when anything changed or was damaged."""

import errno
import json
import multiprocessing
import os
import shutil
import signal
import sys
from importlib import metadata

import pytest

from optbench.artifacts import store as store_module
from optbench.artifacts.entries import Busy, Damaged, unused, verified
from optbench.artifacts.store import ArtifactStore, artifact_of
from optbench.checkpoint import hash_files, read_spec
from optbench.errors import DataError, WorkerError
from optbench.locations import MANIFEST
from optbench.quantizations.dynamic import DynamicQuantization, WeightType

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="forks and signals as on Linux")


class Workshop:
    """Stands in for the preparation process: notes each step and writes a few bytes."""

    def __init__(self):
        self.steps = []

    def __call__(self, log, name, method, source, target, *args):
        self.steps.append(method)
        content = f"{method} of {source.name} number {len(self.steps)}"
        (target / "model.onnx").write_text(content)
        (target / "config.json").write_text("{}")
        return {"by": method, "args": [str(arg) for arg in args]}


@pytest.fixture
def workshop(monkeypatch):
    made = Workshop()
    monkeypatch.setattr(store_module, "run_apart", made)
    return made


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(tmp_path / "cache", tmp_path / "log")


@pytest.fixture
def checkpoint(store, bare_model):
    return store.checkpoint(read_spec(bare_model))


@pytest.fixture
def exported(store, workshop, checkpoint):
    return store.exported(checkpoint, "text-classification", None)


def entries(store):
    """Names of what lies in the cache, but for the locks."""
    return sorted(path.name for path in (store.root / "artifacts").iterdir() if path.suffix != ".lock")


def test_a_checkpoint_is_taken_in_place_and_hashed_with_its_config(store, bare_model):
    before = store.checkpoint(read_spec(bare_model))
    assert before.directory == bare_model
    assert before.format == "transformers"
    assert before.size_bytes == (bare_model / "model.safetensors").stat().st_size
    assert before.sha256 == hash_files([bare_model / "model.safetensors", bare_model / "config.json"])
    (bare_model / "model.safetensors").write_bytes(b"retrained")
    after = store.checkpoint(read_spec(bare_model))
    assert (after.sha256 != before.sha256, after.size_bytes) == (True, len(b"retrained"))


def test_an_entry_is_made_once_and_found_again(store, workshop, checkpoint):
    made = store.exported(checkpoint, "text-classification", None)
    found = store.exported(checkpoint, "text-classification", None)
    assert workshop.steps == ["export"]
    assert (made.from_cache, found.from_cache) == (False, True)
    assert made.format == "onnx"
    assert made.directory == found.directory
    assert made.directory.parent == store.root / "artifacts"
    assert made.sha256 == found.sha256 == hash_files([made.directory / "model.onnx"])
    assert made.details == found.details == {"by": "export", "args": ["text-classification", "None", "False"]}
    assert made.step_seconds == found.step_seconds
    assert list(made.step_seconds) == ["export"]


def test_the_manifest_tells_what_the_entry_was_made_from(exported, checkpoint):
    manifest = json.loads((exported.directory / MANIFEST).read_text())
    material = manifest["made_from"]
    assert material["source"] == checkpoint.sha256
    assert material["task"] == "text-classification"
    assert set(material["versions"]) == {"torch", "transformers", "optimum", "optimum-onnx", "onnx"}
    assert all(material["versions"][name] == metadata.version(name) for name in material["versions"])
    assert set(manifest["files"]) == {"model.onnx", "config.json"}


def retrain(model):
    (model / "model.safetensors").write_bytes(b"retrained")


def reconfigure(model):
    (model / "config.json").write_text((model / "config.json").read_text() + "\n")


def retokenize(model):
    (model / "tokenizer.json").write_text("{}")


@pytest.mark.parametrize("change", [retrain, reconfigure, retokenize])
def test_a_changed_source_makes_another_entry(store, workshop, exported, bare_model, change):
    change(bare_model)
    other = store.exported(store.checkpoint(read_spec(bare_model)), "text-classification", None)
    assert other.directory != exported.directory
    assert workshop.steps == ["export", "export"]


@pytest.mark.parametrize(("task", "opset"), [("text-classification", 17), ("fill-mask", None)])
def test_another_task_or_opset_makes_another_entry(store, workshop, exported, checkpoint, task, opset):
    assert store.exported(checkpoint, task, opset).directory != exported.directory
    assert len(workshop.steps) == 2


def test_another_version_of_a_library_makes_another_entry(store, workshop, exported, checkpoint, monkeypatch):
    installed = store_module.versions
    monkeypatch.setattr(store_module, "versions", lambda names: {**installed(names), "optimum": "99"})
    other = store.exported(checkpoint, "text-classification", None)
    assert other.directory != exported.directory
    assert len(entries(store)) == 2


RECIPES = [
    {"per_channel": False},
    {"reduce_range": True},
    {"weight_type": WeightType.uint8},
    {"operators_to_quantize": ["MatMul"]},
    {"node_exclusion": ["*classifier*"]},
]


@pytest.mark.parametrize("change", RECIPES, ids=lambda change: next(iter(change)))
def test_another_recipe_makes_another_entry(store, workshop, exported, change):
    usual = {"weight_type": WeightType.int8}
    first = store.quantized(exported, DynamicQuantization(**usual))
    other = store.quantized(exported, DynamicQuantization(**{**usual, **change}))
    again = store.quantized(exported, DynamicQuantization(**usual))
    assert other.directory != first.directory == again.directory
    assert workshop.steps == ["export", "quantize", "quantize"]


def test_the_order_of_names_in_a_recipe_does_not_matter(store, workshop, exported):
    one = DynamicQuantization(operators_to_quantize=["MatMul", "Gather"], node_exclusion=["a", "b"])
    other = DynamicQuantization(operators_to_quantize=["Gather", "MatMul"], node_exclusion=["b", "a"])
    assert store.quantized(exported, one).directory == store.quantized(exported, other).directory


def test_a_quantized_artifact_carries_the_steps_and_details_of_its_export(store, workshop, checkpoint):
    export = store.exported(checkpoint, "text-classification", None)
    made = store.quantized(export, DynamicQuantization())
    assert set(made.step_seconds) == {"export", "quantize"}
    assert made.details["by"] == "quantize"
    assert made.from_cache is False
    found = store.quantized(store.exported(checkpoint, "text-classification", None), DynamicQuantization())
    assert found.from_cache is True
    assert found.step_seconds == made.step_seconds


def test_a_quantized_artifact_is_from_the_cache_only_if_its_export_is_too(store, workshop, checkpoint):
    export = store.exported(checkpoint, "text-classification", None)
    store.quantized(export, DynamicQuantization())
    assert store.quantized(export, DynamicQuantization()).from_cache is False


def change_a_byte(entry):
    (entry / "model.onnx").write_text("damaged")


def lose_the_model(entry):
    (entry / "model.onnx").unlink()


def lose_a_companion(entry):
    (entry / "config.json").unlink()


def lose_the_manifest(entry):
    (entry / MANIFEST).unlink()


def write_manifest(content):
    def write(entry):
        (entry / MANIFEST).write_text(content)

    return write


def flip_a_bit_and_keep_size_and_times(entry):
    file = entry / "model.onnx"
    before, content = file.stat(), bytearray(file.read_bytes())
    content[0] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def add_a_file(entry):
    (entry / "model.onnx_data").write_text("weights of somebody else")


def add_a_folder(entry):
    (entry / "deeper").mkdir()
    (entry / "deeper" / "config.json").write_text("{}")


def link_the_model_elsewhere(entry):
    elsewhere = entry.parent.parent / "elsewhere.onnx"
    (entry / "model.onnx").rename(elsewhere)
    (entry / "model.onnx").symlink_to(elsewhere)


def link_the_entry_elsewhere(entry):
    elsewhere = entry.parent.parent / "elsewhere"
    entry.rename(elsewhere)
    entry.symlink_to(elsewhere)


def swap_two_files(entry):
    one, two = entry / "model.onnx", entry / "config.json"
    contents = one.read_bytes(), two.read_bytes()
    one.write_bytes(contents[1])
    two.write_bytes(contents[0])


def take_another_entry(entry):
    manifest = json.loads((entry / MANIFEST).read_text())
    manifest["made_from"]["task"] = "fill-mask"
    (entry / MANIFEST).write_text(json.dumps(manifest))


def name_a_file_outside(entry):
    manifest = json.loads((entry / MANIFEST).read_text())
    manifest["files"]["../../secret"] = manifest["files"].pop("config.json")
    (entry / "config.json").unlink()
    (entry / MANIFEST).write_text(json.dumps(manifest))


def let_others_write(entry):
    entry.chmod(0o777)


def let_others_write_a_file(entry):
    (entry / "model.onnx").chmod(0o666)


def empty_the_list_of_files(entry):
    manifest = json.loads((entry / MANIFEST).read_text())
    (entry / MANIFEST).write_text(json.dumps({**manifest, "files": {}}))
    (entry / "model.onnx").unlink()


DAMAGES = {
    "changed file": change_a_byte,
    "missing model": lose_the_model,
    "missing companion": lose_a_companion,
    "missing manifest": lose_the_manifest,
    "manifest cut short": write_manifest('{"files": {"mod'),
    "manifest without keys": write_manifest("{}"),
    "manifest is a list": write_manifest("[]"),
    "manifest of wrong types": write_manifest('{"files": []}'),
    "files are no hashes": write_manifest('{"files": {}, "made_from": "x", "details": {}, "seconds": 1}'),
    "manifest and model emptied": empty_the_list_of_files,
    "flipped bit": flip_a_bit_and_keep_size_and_times,
    "another file": add_a_file,
    "another folder": add_a_folder,
    "model is a link": link_the_model_elsewhere,
    "entry is a link": link_the_entry_elsewhere,
    "swapped files": swap_two_files,
    "entry of another key": take_another_entry,
    "name outside": name_a_file_outside,
    "world-writable entry": let_others_write,
    "world-writable file": let_others_write_a_file,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_entry_is_made_anew(store, workshop, exported, checkpoint, damage):
    damage(exported.directory)
    outside = [path for path in store.root.iterdir() if path.name.startswith("elsewhere")]
    again = store.exported(checkpoint, "text-classification", None)
    assert workshop.steps == ["export", "export"]
    assert again.from_cache is False
    assert again.directory == exported.directory
    assert artifact_of(again.directory, "onnx", verified(again.directory)).sha256 == again.sha256
    assert store.exported(checkpoint, "text-classification", None).from_cache is True
    assert all(path.exists() for path in outside)


def test_a_step_that_fails_leaves_nothing_behind(store, checkpoint, monkeypatch):
    def fail(log, name, method, source, target, *args):
        (target / "model.onnx").write_text("half")
        raise WorkerError("the export process was ended by SIGKILL")

    monkeypatch.setattr(store_module, "run_apart", fail)
    with pytest.raises(WorkerError, match="SIGKILL"):
        store.exported(checkpoint, "text-classification", None)
    assert entries(store) == []


def in_a_process(target, *args):
    """Run a function of this module in a forked process."""
    process = multiprocessing.get_context("fork").Process(target=target, args=args)
    process.start()
    return process


def die_while_making(store, source):
    def half(target):
        (target / "model.onnx").write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)

    store._entry({"step": "export", "source": source}, half)


def whole(target):
    (target / "model.onnx").write_text("whole")
    return {}


@linux_only
def test_leftovers_of_a_killed_process_are_removed_and_never_taken_for_an_entry(store):
    killed = in_a_process(die_while_making, store, "a")
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    (leftover,) = entries(store)
    assert leftover.startswith(".export-")
    made = store._entry({"step": "export", "source": "a"}, whole)
    assert (made.directory / "model.onnx").read_text() == "whole"
    assert made.from_cache is False
    assert entries(store) == [made.directory.name]


@linux_only
def test_leftovers_of_entries_that_nobody_makes_any_more_go_too(store):
    in_a_process(die_while_making, store, "a").join()
    assert len(entries(store)) == 1
    made = store._entry({"step": "export", "source": "b"}, whole)
    assert entries(store) == [made.directory.name]


def make_when_told(store, notes, about_to_ask, inside, release):
    """Ask for an entry; say when asking, and when making it, which ends when told."""

    def make(target):
        with notes.open("a") as file:
            file.write("made\n")
        inside.set()
        release.wait()
        return whole(target)

    about_to_ask.set()
    made = store._entry({"step": "export", "source": "a"}, make)
    assert (made.directory / "model.onnx").read_text() == "whole"


@linux_only
def test_two_processes_that_ask_at_once_make_it_once(store, tmp_path):
    context = multiprocessing.get_context("fork")
    notes, release = tmp_path / "notes", context.Event()
    signs = [(context.Event(), context.Event()) for _ in range(2)]
    first = in_a_process(make_when_told, store, notes, *signs[0], release)
    assert signs[0][1].wait(60)
    second = in_a_process(make_when_told, store, notes, *signs[1], release)
    assert signs[1][0].wait(60)
    release.set()
    first.join()
    second.join()
    assert (first.exitcode, second.exitcode) == (0, 0)
    assert notes.read_text() == "made\n"
    assert len(entries(store)) == 1


def test_a_cache_that_cannot_be_written_is_named_with_the_way_out(tmp_path, workshop, checkpoint):
    (tmp_path / "file").write_text("no directory")
    store = ArtifactStore(tmp_path / "file", tmp_path / "log")
    with pytest.raises(DataError, match=r"OPTBENCH_CACHE_DIR") as caught:
        store.exported(checkpoint, "text-classification", None)
    assert str(tmp_path / "file" / "artifacts") in str(caught.value)
    assert workshop.steps == []


def test_a_step_that_writes_no_model_is_an_error(store, checkpoint, monkeypatch):
    monkeypatch.setattr(store_module, "run_apart", lambda *args: {})
    with pytest.raises(DataError, match=r"the export step wrote no model\.onnx; see .*log"):
        store.exported(checkpoint, "text-classification", None)
    assert entries(store) == []


def test_a_full_disk_is_named_with_the_way_out(store, checkpoint, monkeypatch):
    for error in (
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        WorkerError("export failed: OSError: [Errno 28] No space left on device"),
        WorkerError("export failed: RuntimeError", "in details: No space left on device"),
    ):

        def fail(*args, error=error):
            raise error

        monkeypatch.setattr(store_module, "run_apart", fail)
        with pytest.raises(DataError, match=r"cache .*artifacts is full, the export step .*cache clear"):
            store.exported(checkpoint, "text-classification", None)
        assert entries(store) == []


def test_a_step_that_fails_where_no_space_is_left_failed_for_lack_of_it(store, checkpoint, monkeypatch):
    def fail(*args):
        raise WorkerError("export failed: RuntimeError: write failed")

    monkeypatch.setattr(store_module, "run_apart", fail)
    with pytest.raises(WorkerError, match="write failed"):
        store.exported(checkpoint, "text-classification", None)
    usage = shutil.disk_usage(store.root)._replace(free=4096)
    monkeypatch.setattr(store_module.shutil, "disk_usage", lambda place: usage)
    with pytest.raises(DataError, match=r"is full"):
        store.exported(checkpoint, "text-classification", None)


def test_what_it_was_made_from_is_known_down_to_the_checkpoint(store, workshop, checkpoint, bare_model):
    export = store.exported(checkpoint, "text-classification", None)
    made = store.quantized(export, DynamicQuantization())
    assert made.model == str(bare_model)
    assert [step["step"] for step in made.history] == ["export", "quantize"]
    again = store.quantized(store.exported(checkpoint, "text-classification", None), DynamicQuantization())
    assert (again.model, again.history) == (made.model, made.history)


def test_a_damaged_entry_is_told_in_the_result(store, workshop, exported, checkpoint):
    assert exported.notes == []
    change_a_byte(exported.directory)
    again = store.exported(checkpoint, "text-classification", None)
    name = exported.directory.name
    assert again.notes == [f"the cache entry {name} was made anew: model.onnx has changed"]
    assert store.quantized(again, DynamicQuantization()).notes == again.notes


def test_an_entry_is_in_use_until_the_store_is_closed(store, exported):
    with pytest.raises(Busy), unused(exported.directory):
        pass
    store.close()
    with unused(exported.directory):
        pass


def test_an_existing_onnx_directory_is_taken_as_it_is(store, tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"graph")
    found = store.existing(tmp_path, ("onnx",))
    assert (found.directory, found.format, found.size_bytes) == (tmp_path, "onnx", 5)
    assert found.details == {"given": True}
    assert found.step_seconds == {}
    assert found.sha256 == hash_files([tmp_path / "model.onnx"])


def test_external_data_count_in_the_size_and_the_hash(store, tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"graph")
    alone = store.existing(tmp_path, ("onnx",))
    (tmp_path / "model.onnx_data").write_bytes(b"weights")
    (tmp_path / "model.onnx_data_1").write_bytes(b"more")
    (tmp_path / "notes.bin").write_bytes(b"not weights")
    whole = store.existing(tmp_path, ("onnx",))
    assert whole.size_bytes == len(b"graph" + b"weights" + b"more")
    assert whole.sha256 != alone.sha256


def test_external_data_of_an_entry_count_too(store):
    def make(target):
        (target / "model.onnx").write_bytes(b"graph")
        (target / "model.onnx_data").write_bytes(b"weights")
        return {}

    made = store._entry({"step": "export"}, make)
    assert made.size_bytes == len(b"graph" + b"weights")
    (made.directory / "model.onnx_data").write_bytes(b"WEIGHTS")
    with pytest.raises(Damaged):
        verified(made.directory)


def test_an_existing_checkpoint_is_taken_as_it_is(store, bare_model):
    found = store.existing(bare_model, ("transformers",))
    assert (found.format, found.size_bytes) == (
        "transformers",
        (bare_model / "model.safetensors").stat().st_size,
    )


@pytest.mark.parametrize(
    ("format", "wanted"), [("onnx", "model.onnx"), ("transformers", "a transformers checkpoint")]
)
def test_a_directory_without_a_model_is_refused(store, tmp_path, format, wanted):
    (tmp_path / "model_quantized.onnx").write_bytes(b"graph")
    with pytest.raises(DataError, match=rf"must be a directory that holds {wanted}"):
        store.existing(tmp_path, (format,))
