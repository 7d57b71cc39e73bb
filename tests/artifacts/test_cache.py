"""The cache as its owner sees it: listed in words, verified, cleared and nothing else."""

import os
import time
from datetime import datetime

import msgspec
import pytest

from optbench.artifacts import cache, entries
from optbench.artifacts import store as store_module
from optbench.artifacts.store import ArtifactStore
from optbench.checkpoint import read_spec
from optbench.cli import main
from optbench.commands import cache as cache_commands
from optbench.commands.cache import moment
from optbench.errors import ConfigError, DataError
from optbench.locations import MANIFEST
from optbench.quantizations.dynamic import DynamicQuantization, WeightType
from optbench.records.cache import CacheListing
from optbench.units import format_bytes

DAY = 86_400


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A cache of its own for the commands too."""
    monkeypatch.setenv("OPTBENCH_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def filled(root, bare_model, monkeypatch):
    """An export of 4 bytes used 40 days ago, and its quantized twin of 5 used now."""

    def write(log, name, method, source, target, *args):
        (target / "model.onnx").write_bytes(b"f" * (4 if method == "export" else 5))
        return {}

    monkeypatch.setattr(store_module, "run_apart", write)
    store = ArtifactStore(root, root / "log")
    export = store.exported(store.checkpoint(read_spec(bare_model)), "text-classification", 17)
    twin = store.quantized(
        export, DynamicQuantization(weight_type=WeightType.int8, node_exclusion=["a", "b"])
    )
    store.close()
    then = time.time() - 40 * DAY
    os.utime(export.directory / MANIFEST, (then, then))
    return export.directory, twin.directory


def size_of(directory):
    return sum(file.stat().st_size for file in directory.iterdir())


def test_entries_are_listed_in_words_the_last_used_first(root, filled):
    twin, export = cache.listing(root)
    assert (twin.key, export.key) == (filled[1].name, filled[0].name)
    assert (twin.step, twin.model) == ("quantize", "bare")
    assert twin.recipe == "dynamic, node_exclusion a, b, per_channel, weight_type int8, weight_symmetric"
    assert export.recipe == "text-classification, opset 17"
    assert export.size_bytes == size_of(filled[0])
    assert export.used_at == pytest.approx(time.time() - 40 * DAY, abs=60)
    assert export.made_at == pytest.approx(time.time(), abs=60)


def test_a_model_of_the_hub_goes_by_its_name(root, filled):
    manifest = entries.read_manifest(filled[0])
    place = "/hub/models--owner--name/snapshots/abc"
    entries.write_manifest(filled[0], manifest.made_from, {}, 1.0, model=place)
    assert {item.model for item in cache.listing(root)} == {"owner/name", "bare"}


def test_the_list_command_shows_sizes_ages_and_the_total(root, filled, capfd):
    assert main(["cache", "list"]) == 0
    out = capfd.readouterr().out
    assert "40 d ago" in out
    assert filled[1].name in out
    assert f"2 entries, {format_bytes(size_of(filled[0]) + size_of(filled[1]))}, in {root}" in out


def test_answers_are_listed_by_their_task_runtime_rows_and_model(root, filled):
    material = {
        "step": "answers",
        "task": {"name": "text-classification", "fields": {"is_regression": False}},
        "backend": {"name": "onnxruntime", "fields": {"opset": None}},
        "quantization": {"name": "dynamic", "fields": {}},
        "graph": "o2",
    }
    entry = root / "artifacts" / entries.key_of(material)
    entry.mkdir()
    details = {"cautions": [], "rows": 1000}
    entries.write_manifest(entry, material, details, 1.0, model="/models/tiny-sentiment")
    (found,) = [item for item in cache.listing(root) if item.step == "answers"]
    assert found.model == "tiny-sentiment"
    assert found.recipe == "answers to 1,000 rows, text-classification, onnxruntime, dynamic, graph o2"


def test_answers_that_were_kept_before_rows_and_model_were_are_listed_without(root, filled, capfd):
    material = {
        "step": "answers",
        "task": {"name": "fill-mask", "fields": {}},
        "backend": {"name": "pytorch"},
    }
    entry = root / "artifacts" / entries.key_of(material)
    entry.mkdir()
    entries.write_manifest(entry, {**material, "quantization": None, "graph": "default"}, {}, 1.0)
    (found,) = [item for item in cache.listing(root) if item.step == "answers"]
    assert (found.model, found.recipe) == (None, "answers, fill-mask, pytorch")
    assert main(["cache", "list"]) == 0
    assert " ?  " in capfd.readouterr().out


def test_the_list_as_json_holds_what_the_table_shows(root, filled, capfd):
    assert main(["cache", "list", "--format", "json"]) == 0
    listing = msgspec.json.decode(capfd.readouterr().out, type=CacheListing)
    twin, export = listing.entries
    assert (listing.directory, listing.size_bytes) == (str(root), twin.size_bytes + export.size_bytes)
    assert (twin.key, twin.step, twin.model) == (filled[1].name, "quantize", "bare")
    assert export.made_as == "text-classification, opset 17"
    then = datetime.fromisoformat(export.used_at).timestamp()
    assert then == pytest.approx(time.time() - 40 * DAY, abs=60)


def test_a_moment_beyond_all_calendars_is_not_known():
    assert (moment(None), moment(1e20), moment(0.0)) == (None, None, "1970-01-01T00:00:00+00:00")


def test_an_empty_cache_is_no_error(root, capfd):
    for command in (["list"], ["verify"], ["clear", "--yes"]):
        assert main(["cache", *command]) == 0
    assert "0 entries, 0 B" in capfd.readouterr().out
    assert not root.exists()


def test_verify_names_what_is_not_whole(root, filled, capfd):
    assert main(["cache", "verify"]) == 0
    assert "2 entries, all whole" in capfd.readouterr().out
    (filled[0] / "model.onnx").write_bytes(b"FFFF")
    assert main(["cache", "verify"]) == 1
    out = capfd.readouterr().out
    assert f"{filled[0].name}  NOT WHOLE: model.onnx has changed" in out
    assert f"{filled[1].name}  whole" in out
    (filled[1] / MANIFEST).write_text("[]")
    with entries.exclusive(filled[0]):
        found = dict(cache.faults(root))
    assert "another process" in found[filled[0].name]
    assert "cannot be read" in found[filled[1].name]
    assert {item.recipe for item in cache.listing(root)} == {"text-classification, opset 17", "damaged"}


def test_clear_removes_everything_but_what_is_not_ours(root, filled, capfd):
    folder, outside = root / "artifacts", root / "precious"
    (folder / "thesis").mkdir()
    (folder / "thesis" / "only.copy").write_text("mine")
    outside.mkdir()
    (outside / "file").write_text("mine")
    (folder / "export-0123456789abcdef01234567").symlink_to(outside)
    (filled[0] / "link").symlink_to(outside)
    (folder / ".export-0123456789abcdef01234567-left").mkdir()
    (folder / ".export-0123456789abcdef01234567-left" / "model.onnx").write_bytes(b"1234567")
    assert main(["cache", "clear", "--yes"]) == 0
    assert "removed 3 entries, freed" in capfd.readouterr().out
    left = {path.name for path in folder.iterdir() if not path.name.endswith(".lock")}
    assert left == {"thesis"}
    assert (outside / "file").read_text() == "mine"


def test_clear_says_how_many_bytes_it_freed(root, filled):
    wanted = size_of(filled[0])
    done = cache.clear(root, [filled[0].name])
    assert done == cache.Cleared([filled[0].name], wanted, [])
    assert not filled[0].exists()
    assert filled[1].exists()


def test_entries_in_use_stay(root, filled, capfd):
    with entries.in_use(filled[0]), entries.exclusive(filled[1]):
        assert main(["cache", "clear", "-y"]) == 0
    out = capfd.readouterr().out
    assert f"{filled[0].name} is in use and stays" in out
    assert f"{filled[1].name} is in use and stays" in out
    assert "removed 0 entries, freed 0 B" in out
    assert entries.verified(filled[0]) is not None


def test_only_old_ones_or_named_ones_go(root, filled, capfd):
    assert main(["cache", "clear", "--older-than", "41d", "--yes"]) == 0
    assert "removed 0 entries" in capfd.readouterr().out
    assert main(["cache", "clear", "--older-than", "30d", "--yes"]) == 0
    assert "removed 1 entry" in capfd.readouterr().out
    assert [path.exists() for path in filled] == [False, True]
    assert main(["cache", "clear", "quant", "--yes"]) == 0
    assert not filled[1].exists()


@pytest.mark.parametrize("name", ["../cache", "/etc", "nothing", "", "e*"])
def test_a_key_that_is_none_is_refused(root, filled, name, capfd):
    assert main(["cache", "clear", "--yes", name]) == 2
    assert "no entry begins so; see optbench cache list" in capfd.readouterr().err
    assert all(path.exists() for path in filled)


def test_a_beginning_of_several_keys_is_refused():
    with pytest.raises(ConfigError, match="2 entries begin so"):
        cache.one_key(["export-a", "export-b"], "export")


@pytest.mark.parametrize(("text", "seconds"), [("30d", 30 * DAY), ("1.5h", 5400), ("2w", 14 * DAY)])
def test_durations(text, seconds):
    assert cache.duration_seconds(text) == seconds


@pytest.mark.parametrize("text", ["30", "d", "-1d", "1y", "1d1h"])
def test_a_duration_that_is_none_is_refused(text):
    with pytest.raises(ConfigError, match="--older-than must be a number with s, m, h, d or w"):
        cache.duration_seconds(text)


def test_without_a_terminal_nothing_is_removed_unasked(root, filled, capfd):
    assert main(["cache", "clear"]) == 2
    assert "add --yes" in capfd.readouterr().err
    assert all(path.exists() for path in filled)


@pytest.mark.parametrize(("answer", "left"), [(False, 2), (True, 0)])
def test_on_a_terminal_it_asks(root, filled, monkeypatch, answer, left):
    asked = []

    def confirm(question):
        asked.append(question)
        return answer

    monkeypatch.setattr(cache_commands.typer, "confirm", confirm)
    monkeypatch.setattr(cache_commands.sys, "stdin", type("Terminal", (), {"isatty": lambda self: True})())
    assert main(["cache", "clear"]) == 0
    assert asked[0].startswith("Remove 2 entries, ")
    assert len(cache.listing(root)) == left


def test_an_entry_that_cannot_be_removed_is_named(root, filled, monkeypatch):
    def refuse(self, target):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(filled[0]), "rename", refuse)
    with pytest.raises(DataError, match=r"cannot be removed: Permission denied"):
        cache.clear(root, [filled[0].name])


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, "?"), (5, "now"), (90, "90.0 s ago"), (7200, "120.0 min ago"), (9 * DAY, "9 d ago")],
)
def test_ages_read_well(seconds, words):
    assert cache_commands.ago(None if seconds is None else time.time() - seconds) == words
