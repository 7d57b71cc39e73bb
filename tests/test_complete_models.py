"""What is kept loads by itself: model, tokenizer or image processor, config; and comes back unchanged."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from optbench.artifacts import store as store_module
from optbench.cli import main
from optbench.locations import MANIFEST
from optbench.processes.preparation import Preparer
from optbench.quantizations.dynamic import DynamicQuantization
from optbench.records import read_result

pytestmark = pytest.mark.slow

SHORT = [
    "measure=quick",
    "measure.replicate_seconds=0.2",
    "measure.warmup_calls=1",
    "measure.warmup_seconds=0.1",
]


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def prepared(source, place, task):
    """The exported and the quantized twin of a checkpoint."""
    export, twin = place / "export", place / "twin"
    export.mkdir()
    twin.mkdir()
    Preparer().export(source, export, task, None)
    Preparer().quantize(export, twin, DynamicQuantization(), None)
    return export, twin


def session_logits(directory, feed):
    """Logits of a plain onnxruntime session."""
    import onnxruntime

    session = onnxruntime.InferenceSession(directory / "model.onnx", providers=["CPUExecutionProvider"])
    names = {item.name for item in session.get_inputs()}
    return session.run(None, {name: np.asarray(feed[name]) for name in feed if name in names})[0]


def test_a_run_is_exported_loads_alone_and_measures_as_the_same_files(place, tiny_model, rows_file):
    from optimum.onnxruntime import ORTModelForSequenceClassification
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    data = ["dataset=labelled", f"dataset.path={rows_file}", "model=pretrained", f"model.path={tiny_model}"]
    assert main([*SHORT, *data, "hydra.run.dir=out"]) == 0
    assert main(["export", "out", "mine"]) == 0
    assert main(["export", "out", "before", "--variant", "baseline"]) == 0
    kept = Path(read_result(place / "out").variants["candidate"].artifact.path)
    tokenizer = AutoTokenizer.from_pretrained("mine")
    feed = tokenizer("the film is great", return_tensors="pt")
    loaded = ORTModelForSequenceClassification.from_pretrained("mine", local_files_only=True)
    logits = loaded(**feed).logits.detach().numpy()
    assert np.array_equal(logits, session_logits(kept, feed))
    assert np.array_equal(logits, session_logits(place / "mine", feed))
    whole = AutoModelForSequenceClassification.from_pretrained("before")(**feed).logits.detach().numpy()
    assert np.abs(whole - logits).max() < 0.5
    given = ["quant=none", "artifact=mine", "baseline.artifact=before", "quality=none"]
    assert main([*SHORT, *data, *given, "hydra.run.dir=again"]) == 0
    first, again = (read_result(place / name).variants for name in ("out", "again"))
    for name, directory in (("candidate", "mine"), ("baseline", "before")):
        assert again[name].artifact.sha256 == first[name].artifact.sha256
        assert again[name].artifact.path == str(place / directory)


def test_the_second_point_of_a_sweep_prepares_nothing_again(place, tiny_model, monkeypatch):
    made, apart = [], store_module.run_apart

    def noting(log, name, *args):
        made.append(name)
        return apart(log, name, *args)

    monkeypatch.setattr(store_module, "run_apart", noting)
    monkeypatch.setenv("OPTBENCH_CACHE_DIR", str(place / "cache"))
    model = ["model=pretrained", f"model.path={tiny_model}", "quality=none", "baseline=onnxruntime"]
    points = ["-m", "quant=dynamic", "batch_size=1,2", "hydra.sweep.dir=sweep"]
    assert main([*SHORT, *model, "task.label_map=null", *points]) == 0
    assert made == ["export", "quantize"]
    results = [read_result(file.parent) for file in sorted((place / "sweep").glob("*/result.json"))]
    assert [one.variants["candidate"].preparation.from_cache for one in results] == [False, True]
    assert len({one.variants["candidate"].artifact.sha256 for one in results}) == 1
    assert results[1].notes == results[0].notes


def test_an_image_model_keeps_its_processor(place):
    from optimum.onnxruntime import ORTModelForImageClassification
    from PIL import Image
    from transformers import AutoImageProcessor, ViTConfig, ViTForImageClassification, ViTImageProcessor

    source = place / "vit"
    config = ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=8,
        patch_size=4,
    )
    ViTForImageClassification(config).save_pretrained(source)
    ViTImageProcessor(size={"height": 8, "width": 8}).save_pretrained(source)
    for directory in prepared(source, place, "image-classification"):
        processor = AutoImageProcessor.from_pretrained(directory, use_fast=False)
        feed = processor(Image.new("RGB", (12, 10), (200, 30, 60)), return_tensors="pt")
        loaded = ORTModelForImageClassification.from_pretrained(directory, local_files_only=True)
        assert np.array_equal(loaded(**feed).logits.numpy(), session_logits(directory, feed))


def save_byte_pairs(directory, size):
    """The two files of a byte-pair tokenizer, without the tokenizer.json that is made from them."""
    alphabet = sorted({*"abcdefghijklmnopqrstuvwxyz", "Ġ"})
    words = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *alphabet, "go", "Ġgo", "od"]
    assert len(words) <= size
    (directory / "vocab.json").write_text(json.dumps({word: index for index, word in enumerate(words)}))
    (directory / "merges.txt").write_text("#version: 0.2\ng o\nĠ go\no d\n")
    (directory / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "RobertaTokenizer"}))


def test_a_model_of_vocabulary_and_merges_keeps_both(place):
    from optimum.onnxruntime import ORTModelForSequenceClassification
    from transformers import AutoTokenizer, RobertaConfig, RobertaForSequenceClassification

    source = place / "roberta"
    config = RobertaConfig(
        vocab_size=64, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    RobertaForSequenceClassification(config).save_pretrained(source)
    save_byte_pairs(source, 64)
    text = "so good a film"
    expected = AutoTokenizer.from_pretrained(source)(text)["input_ids"]
    for directory in prepared(source, place, "text-classification"):
        assert {"vocab.json", "merges.txt", "config.json"} <= {file.name for file in directory.iterdir()}
        tokenizer = AutoTokenizer.from_pretrained(directory)
        assert tokenizer(text)["input_ids"] == expected
        feed = tokenizer(text, return_tensors="pt")
        loaded = ORTModelForSequenceClassification.from_pretrained(directory, local_files_only=True)
        assert np.array_equal(loaded(**feed).logits.numpy(), session_logits(directory, feed))


def test_sentencepiece_templates_modules_and_papers_go_along(place, tiny_model):
    source = shutil.copytree(tiny_model, place / "source")
    (source / "1_Pooling").mkdir()
    for name in (
        "spiece.model",
        "source.spm",
        "chat_template.jinja",
        "1_Pooling/config.json",
        "LICENSE",
        "README.md",
    ):
        (source / name).write_text(name)
    (source / "model.safetensors.index.json").write_text("{}")
    (source / MANIFEST).write_text("{}")
    for directory in prepared(source, place, "text-classification"):
        for name in ("spiece.model", "source.spm", "chat_template.jinja", "1_Pooling/config.json", "LICENSE"):
            assert (directory / name).read_text() == name
        assert not (directory / "model.safetensors.index.json").exists()
        assert not (directory / MANIFEST).exists()
        assert not list(directory.glob("*.safetensors"))
