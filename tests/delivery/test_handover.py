"""Handing a measured model over: complete, of the measured hash, with its papers; hostile results tried."""

import errno
import json
import os
import shutil

import pytest
import yaml
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import model_index_to_eval_results

from optbench.artifacts import entries
from optbench.artifacts.store import ArtifactStore, hashed_files
from optbench.backends.onnxruntime import OnnxRuntime
from optbench.checkpoint import hash_file, hash_files
from optbench.cli import main
from optbench.config import Variant
from optbench.delivery import handover
from optbench.delivery.command_line import reproduce
from optbench.delivery.handover import export
from optbench.errors import DataError, ResultError
from optbench.locations import MANIFEST
from optbench.quantizations.none import NoQuantization
from optbench.records import (
    ArtifactRecord,
    Comparison,
    DatasetRecord,
    Estimate,
    Failure,
    GateResult,
    Interval,
    Latency,
    MetricResult,
    Percentile,
    QualityResult,
    RunResult,
    Throughput,
    Trust,
    VariantResult,
    Verdict,
    replace,
    write_result,
)

EVIL = "x\n---\nlicense: evil\n| a | <script>alert(1)</script> ` ![i](http://e.vil/i.png)"


def variant(directory, format, backend, quantization="none"):
    record = ArtifactRecord(str(directory), format, hash_files(hashed_files(directory, format)), 5)
    latency = Latency(100, 0.004, 0.001, 0.001, 0.1, [Percentile(0.5, 0.004)], 0.004)
    throughput = Throughput(Estimate(250.0), 250.0, 10.0)
    return VariantResult(
        backend, quantization, "default", 2, artifact=record, latency=latency, throughput=throughput
    )


@pytest.fixture
def onnx_directory(tmp_path):
    """A prepared model as a step leaves it."""
    directory = tmp_path / "prepared"
    (directory / "1_Pooling").mkdir(parents=True)
    for name in ("model.onnx", "model.onnx_data", "tokenizer.json", "spiece.model", "1_Pooling/config.json"):
        (directory / name).write_text(name)
    (directory / "config.json").write_text("{}")
    (directory / "notes.bin").write_text("not of the model")
    material = {"step": "quantize", "recipe": {"approach": "dynamic"}, "versions": {"onnx": "1"}}
    manifest = entries.write_manifest(directory, material, {}, 1.0, "/models/reviews", [{"step": "export"}])
    files = {name: value for name, value in manifest.files.items() if name != "notes.bin"}
    content = json.loads((directory / MANIFEST).read_text())
    (directory / MANIFEST).write_text(json.dumps({**content, "files": files}))
    return directory


@pytest.fixture
def result(onnx_directory, bare_model):
    """A finished run of a checkpoint against its int8 twin."""
    accuracy = MetricResult(
        "accuracy", True, 0.9, 0.89, Estimate(-0.01, Interval(-0.02, 0.001)), gate_interval=None
    )
    return RunResult(
        optbench_version="0.1.0",
        status="ok",
        started_at="2025-01-01T00:00:00+00:00",
        command=["optbench", "quant=dynamic"],
        config={
            "chosen": {"task": "text-classification", "model_class": "AutoModelForSequenceClassification"},
            "quantization": {"per_channel": True},
            "backend": {"opset": None},
        },
        config_hash="",
        environment={"cpu_model": "A CPU", "hostname": "secret", "versions": {"onnx": "1"}},
        dataset=DatasetRecord("stanfordnlp/sst2", None, "validation", 872, 872, "f", {}),
        variants={
            "baseline": variant(bare_model, "transformers", "pytorch"),
            "candidate": variant(onnx_directory, "onnx", "onnxruntime", "dynamic"),
        },
        comparisons={"candidate": Comparison(Estimate(2.5, Interval(2.4, 2.6)), Estimate(2.0))},
        quality=QualityResult(872, [accuracy], Estimate(0.975, Interval(0.96, 0.98))),
        trust=Trust("usable", [], ["others used the CPU"]),
        verdict=Verdict("NOT ASKED", [], "The candidate is 2.50x faster."),
    )


@pytest.fixture
def run(tmp_path, result):
    """Its directory."""
    directory = tmp_path / "run"
    directory.mkdir()
    write_result(directory, result)
    return directory


def names_in(directory):
    return {file.relative_to(directory).as_posix() for file in directory.rglob("*") if file.is_file()}


COMPLETE = {
    "model.onnx",
    "model.onnx_data",
    "config.json",
    "tokenizer.json",
    "spiece.model",
    "1_Pooling/config.json",
    "optbench.json",
    "README.md",
}


def test_a_model_is_copied_with_what_belongs_to_it_and_nothing_else(run, tmp_path, result):
    done = export(run, tmp_path / "mine")
    assert names_in(done.directory) == COMPLETE
    copied = ArtifactStore(tmp_path, tmp_path).existing(done.directory, ("onnx",))
    assert copied.sha256 == result.variants["candidate"].artifact.sha256
    assert done.size_bytes == sum((done.directory / name).stat().st_size for name in COMPLETE)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bare", "mine", "prepared", "run"]


def test_optbench_json_says_how_it_was_made_and_measured(run, tmp_path):
    directory = export(run, tmp_path / "mine").directory
    told = json.loads((directory / MANIFEST).read_text())
    assert told["made_from"]["recipe"] == {"approach": "dynamic"}
    assert told["history"] == [{"step": "export"}]
    assert told["model"] == "reviews"
    assert told["apply_at_load"] is None
    assert told["files"]["model.onnx"] == hash_file(directory / "model.onnx")
    assert set(told["files"]) == COMPLETE - {"README.md", "optbench.json"}
    measured = told["measured"]
    assert measured["comparison"]["speedup"]["interval"]["low"] == 2.4
    assert measured["trust"]["grade"] == "usable"
    assert measured["environment"]["cpu_model"] == "A CPU"
    assert "secret" not in json.dumps(told)


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(tmp_path / "cache", tmp_path / "log")


def title(store, directory):
    """What a candidate of these files is called."""
    details = store.existing(directory, ("onnx",)).details
    return Variant(OnnxRuntime(), NoQuantization(), artifact=str(directory)).title(
        details.get("quantization")
    )


def test_an_exported_model_is_called_by_what_it_is_and_where_it_lies(run, tmp_path, store):
    mine = export(run, tmp_path / "mine").directory
    assert title(store, mine) == "onnxruntime dynamic (artifact mine)"
    (mine / "model.onnx").write_text("another")
    assert title(store, mine) == "onnxruntime, artifact mine"
    (mine / MANIFEST).unlink()
    assert title(store, mine) == "onnxruntime, artifact mine"


def test_an_export_of_given_files_never_says_that_they_are_not_quantized(run, result, tmp_path, store):
    candidate = result.variants["candidate"]
    for details, called in (({}, "onnxruntime, artifact again"), ({"quantization": "static"}, None)):
        record = replace(candidate.artifact, details={"given": True, **details})
        given = replace(candidate, quantization="none", artifact=record)
        write_result(run, replace(result, variants={**result.variants, "candidate": given}))
        again = export(run, tmp_path / "again", force=True).directory
        assert title(store, again) == (called or "onnxruntime static (artifact again)")


@pytest.mark.parametrize("written", ["{", "[]", '{"sha256": 1}', "\xff"])
def test_a_damaged_account_of_an_export_tells_nothing(run, tmp_path, store, written):
    mine = export(run, tmp_path / "mine").directory
    (mine / MANIFEST).write_text(written)
    assert title(store, mine) == "onnxruntime, artifact mine"


def test_the_card_is_what_the_hub_expects(run, tmp_path):
    card = ModelCard((export(run, tmp_path / "mine").directory / "README.md").read_text())
    data = card.data.to_dict()
    assert data["library_name"] == "optimum"
    assert data["pipeline_tag"] == "text-classification"
    assert data["tags"] == ["onnx", "quantized", "optbench"]
    assert "base_model" not in data
    name, (found,) = model_index_to_eval_results(data["model-index"])
    assert (name, found.task_type, found.dataset_type) == ("mine", "text-classification", "stanfordnlp/sst2")
    assert (found.dataset_split, found.metric_type, found.metric_value) == ("validation", "accuracy", 0.89)
    for words in (
        "| latency, mean | 4.00 ms | 4.00 ms | 2.50x as fast (95% interval 2.40x to 2.60x) |",
        "| accuracy on 872 rows | 0.9000 | 0.8900 | -1.00 pt (95% interval -2.00 pt to +0.10 pt) |",
        "| weights | 5 B | 5 B | 100% |",
        "usable (others used the CPU)",
        "optbench quant=dynamic",
        "from optimum.onnxruntime import ORTModelForSequenceClassification",
        "The candidate is 2.50x faster.",
    ):
        assert words in card.text


def test_the_card_tells_the_whole_answer_and_its_gates(run, result, tmp_path):
    sentence = "The candidate is fast" + ", and more is known of it" * 20 + ". But the machine was disturbed."
    gates = [GateResult("max_size_bytes", "pass", 3e7, 2e6)]
    write_result(run, replace(result, verdict=Verdict("SHIP", gates, sentence)))
    card = (export(run, tmp_path / "mine").directory / "README.md").read_text()
    assert f"**Answer:** {sentence}\n" in card
    assert "- gate max\\_size\\_bytes=30000000: pass, weights 2.00 MB" in card


ORIGINAL = (
    "---\nlicense: mit\nlanguage: en\ntags:\n- mine\nmodel-index: nonsense\n---\n# Reviews\n\nMy own words.\n"
)


def test_the_checkpoints_own_card_is_kept_and_completed_once(run, result, onnx_directory, tmp_path):
    (onnx_directory / "README.md").write_text(ORIGINAL)
    first = export(run, tmp_path / "mine").directory
    card = ModelCard((first / "README.md").read_text())
    assert (card.data.license, card.data.language) == ("mit", "en")
    assert card.data.tags == ["mine", "onnx", "quantized", "optbench"]
    assert card.text.count("My own words.") == 1
    again = replace(result.variants["candidate"], artifact=variant(first, "onnx", "x").artifact)
    write_result(run, replace(result, variants={**result.variants, "candidate": again}))
    second = export(run, tmp_path / "again").directory
    text = (second / "README.md").read_text()
    assert text.count("My own words.") == text.count("## Measured by optbench") == 1
    assert json.loads((second / MANIFEST).read_text())["history"] == [{"step": "export"}]


@pytest.mark.parametrize(
    "broken", ["---\n[1\n---\nwords", "---\n- a\n---\nwords", "---\n1: 2\n---\nwords", "words"]
)
def test_a_card_of_unreadable_metadata_keeps_its_words(run, onnx_directory, tmp_path, broken):
    (onnx_directory / "README.md").write_text(broken)
    text = (export(run, tmp_path / "mine").directory / "README.md").read_text()
    assert "\nwords\n" in text
    assert ModelCard(text).data.library_name == "optimum"


def test_a_snapshot_of_the_hub_is_the_base_model(run, result, bare_model, tmp_path):
    snapshot = tmp_path / "models--owner--name" / "snapshots" / "abc"
    blobs = tmp_path / "models--owner--name" / "blobs"
    shutil.copytree(bare_model, snapshot)
    blobs.mkdir()
    (snapshot / "tokenizer.json").rename(blobs / "0123")
    (snapshot / "tokenizer.json").symlink_to(blobs / "0123")
    both = {**result.variants, "baseline": variant(snapshot, "transformers", "pytorch")}
    write_result(run, replace(result, variants=both))
    done = export(run, tmp_path / "mine", "baseline").directory
    assert ModelCard((done / "README.md").read_text()).data.base_model == "owner/name"
    assert not (done / "tokenizer.json").is_symlink()
    told = json.loads((done / MANIFEST).read_text())
    assert (told["model"], told["base_model"]) == ("owner/name", "owner/name")


def test_a_quantization_in_memory_is_handed_over_as_checkpoint_and_recipe(run, result, bare_model, tmp_path):
    both = {**result.variants, "candidate": variant(bare_model, "transformers", "pytorch", "torch_dynamic")}
    write_result(run, replace(result, variants=both))
    done = export(run, tmp_path / "mine").directory
    told = json.loads((done / MANIFEST).read_text())["apply_at_load"]
    assert (told["quantization"], told["settings"]) == ("torch_dynamic", {"per_channel": True})
    assert told["command"].endswith("model.path=THIS_FOLDER backend=pytorch quant=torch_dynamic")
    text = (done / "README.md").read_text()
    assert r"torch\_dynamic is applied in memory when they are loaded" in text
    assert "### How to load it" not in text
    assert "library_name: transformers" in text


def test_an_openvino_model_goes_with_both_its_files(run, result, onnx_directory, tmp_path):
    for name in ("model.xml", "model.bin"):
        (onnx_directory / name).write_text(name)
    both = {**result.variants, "candidate": variant(onnx_directory, "openvino", "openvino", "none")}
    write_result(run, replace(result, variants=both))
    done = export(run, tmp_path / "mine").directory
    assert {"model.xml", "model.bin", "config.json"} <= names_in(done)
    assert ModelCard((done / "README.md").read_text()).data.tags == ["openvino", "optbench"]


def test_hostile_strings_stay_text(run, result, onnx_directory, tmp_path):
    manifest = json.loads((onnx_directory / MANIFEST).read_text())
    changes = {"model": f"/models/{EVIL}", "base_model": EVIL, "history": [{"step": EVIL, "recipe": EVIL}]}
    changes["files"] = {**manifest["files"], "../../run/result.json": "0", "/etc/hostname": "0"}
    (onnx_directory / MANIFEST).write_text(json.dumps({**manifest, **changes}))
    candidate = replace(result.variants["candidate"], backend=EVIL, quantization=EVIL)
    quality = replace(result.quality, metrics=[replace(result.quality.metrics[0], name=EVIL)])
    hostile = replace(
        result,
        command=["optbench", f"model.path={EVIL}", "```"],
        config={"chosen": {"task": EVIL, "model_class": "AutoModel; import os"}},
        environment={"cpu_model": EVIL, "os": EVIL},
        dataset=replace(result.dataset, path=EVIL, name=EVIL, split=EVIL),
        variants={**result.variants, "candidate": candidate},
        quality=quality,
        verdict=Verdict("NOT ASKED", [], EVIL),
        trust=Trust("usable", [], [EVIL]),
        notes=[EVIL],
        started_at=EVIL,
        optbench_version=EVIL,
    )
    write_result(run, hostile)
    done = export(run, tmp_path / "mine").directory
    assert names_in(done) == COMPLETE
    text = (done / "README.md").read_text()
    assert "evil" not in yaml.safe_load(text.split("---\n")[1]).values()
    body, command = text.split("### How to measure it again")
    assert "<script" not in body
    assert "![i]" not in body
    assert "http://" not in body
    assert all(line.count(" | ") <= 4 for line in body.splitlines() if line.startswith("| "))
    assert command.splitlines()[2].startswith("````bash")
    assert ModelCard(text).data.to_dict().get("license") is None


def test_links_out_of_a_checkpoint_are_not_followed(run, result, bare_model, tmp_path):
    (tmp_path / "id_rsa").write_text("secret")
    (bare_model / "notes.txt").symlink_to(tmp_path / "id_rsa")
    with pytest.raises(DataError, match=r"notes\.txt is a link to .*id_rsa, outside its folder"):
        export(run, tmp_path / "mine", "baseline")
    assert not (tmp_path / "mine").exists()


def test_a_changed_or_vanished_model_is_refused_with_the_way_to_make_it(run, onnx_directory, tmp_path):
    (onnx_directory / "model.onnx_data").write_text("other")
    with pytest.raises(
        DataError, match=r"has changed since it was measured .*make it again with: optbench quant"
    ):
        export(run, tmp_path / "mine")
    (onnx_directory / "model.onnx_data").unlink()
    with pytest.raises(DataError, match="has changed"):
        export(run, tmp_path / "mine")
    shutil.rmtree(onnx_directory)
    with pytest.raises(
        DataError, match=r"is gone or holds no model any more; make it again with: optbench quant"
    ):
        export(run, tmp_path / "mine")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bare", "run"]


def test_a_format_nobody_knows_is_refused(run, result, onnx_directory, tmp_path):
    candidate = result.variants["candidate"]
    odd = replace(candidate, artifact=replace(candidate.artifact, format="../pickle"))
    write_result(run, replace(result, variants={**result.variants, "candidate": odd}))
    with pytest.raises(DataError, match="holds no model"):
        export(run, tmp_path / "mine")


def test_what_is_there_is_replaced_only_by_force_and_only_if_it_is_ours(run, tmp_path):
    target = export(run, tmp_path / "mine").directory
    (target / "mine.txt").write_text("an earlier export")
    with pytest.raises(DataError, match="is not empty; give another directory, or --force"):
        export(run, target)
    export(run, target, force=True)
    assert names_in(target) == COMPLETE
    (target / MANIFEST).unlink()
    with pytest.raises(DataError, match="no model of optbench and --force does not replace it"):
        export(run, target, force=True)
    assert (target / "model.onnx").exists()
    (tmp_path / "empty").mkdir()
    assert names_in(export(run, tmp_path / "empty").directory) == COMPLETE


@pytest.mark.parametrize("place", ["", "prepared", "prepared/deeper", "prepared/.."])
def test_a_place_in_or_around_the_source_is_refused(run, tmp_path, place):
    with pytest.raises(DataError, match="must be apart from"):
        export(run, tmp_path / place, force=True)


def test_a_file_or_a_link_is_no_place(run, tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("file", "link"):
        with pytest.raises(DataError, match="found a file or a link"):
            export(run, tmp_path / name, force=True)


def test_a_full_disk_leaves_what_was_there(run, tmp_path, monkeypatch):
    target = export(run, tmp_path / "mine").directory
    before = (target / "README.md").read_text()

    def fill(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(handover.shutil, "copyfile", fill)
    with pytest.raises(DataError, match=r"cannot be copied to DEST=.*No space left.*nothing was changed"):
        export(run, target, force=True)
    assert (target / "README.md").read_text() == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_the_old_model_is_put_back_if_the_new_one_cannot_be_moved(tmp_path, monkeypatch):
    target, place = tmp_path / "target", tmp_path / "new"
    target.mkdir()
    (target / "kept").write_text("kept")
    with pytest.raises(FileNotFoundError):
        handover.replace_directory(place, target)
    assert (target / "kept").read_text() == "kept"


def test_runs_without_an_answer_or_a_variant_are_refused(run, result, tmp_path):
    with pytest.raises(ResultError, match=r"--variant must be baseline or candidate in .*, got 'third'"):
        export(run, tmp_path / "mine", "third")
    failed = replace(result, status="failed", failure=Failure("WorkerError", "timing", "died"))
    write_result(run, failed)
    with pytest.raises(ResultError, match="one that failed at timing: died"):
        export(run, tmp_path / "mine")
    shutil.move(run, tmp_path / "sweep" / "0")
    with pytest.raises(ResultError, match=r"it is a sweep: give one of its points, such as .*sweep/0"):
        export(tmp_path / "sweep", tmp_path / "mine")
    with pytest.raises(ResultError, match="found nothing there"):
        export(tmp_path / "nowhere", tmp_path / "mine")


@pytest.mark.parametrize(
    ("command", "overrides", "line"),
    [
        (["optbench", "quant=dynamic"], ["other=1"], "optbench quant=dynamic"),
        (["x/__main__.py", "-m", "batch_size=1,8"], ["batch_size=8"], "optbench batch_size=8"),
        (
            ["optbench", "--config-dir", "mine", "--config-name=my", "-m", "a=1,2", "-q"],
            ["a=2"],
            "optbench --config-dir mine --config-name=my -q a=2",
        ),
        (["optbench", "model.path=a b;rm\n-rf"], None, "optbench 'model.path=a b;rm -rf'"),
        (["optbench", "-m", "a=1,2"], None, "optbench -m a=1,2"),
        (["optbench"], None, "optbench"),
        ([], None, ""),
    ],
)
def test_the_command_that_measures_again(command, overrides, line):
    assert reproduce(command, overrides) == line


def test_a_points_own_overrides_are_read_beside_its_result(run, result, tmp_path):
    write_result(run, replace(result, command=["optbench", "--multirun", "batch_size=1,8"]))
    (run / ".hydra").mkdir()
    for content, line in (
        ("- batch_size=8", "optbench batch_size=8"),
        ("{a: [", "optbench --multirun batch_size=1,8"),
    ):
        (run / ".hydra" / "overrides.yaml").write_text(content)
        done = export(run / "result.json", tmp_path / line[-5:].strip("=,"))
        assert f"```bash\n{line}\n```" in (done.directory / "README.md").read_text()


def test_the_command_line_exports_and_says_so(run, tmp_path, capfd):
    assert main(["export", str(run), str(tmp_path / "mine")]) == 0
    out = capfd.readouterr().out
    assert "The candidate is 2.50x faster." in out
    assert f"Model: {tmp_path / 'mine'} (" in out
    assert main(["export", str(run), str(tmp_path / "mine")]) == 2
    assert "optbench: DEST=" in capfd.readouterr().err
    assert main(["export", str(run), str(tmp_path / "other"), "--variant", "third"]) == 2
