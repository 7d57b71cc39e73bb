"""Whole runs on real runtimes, against plain loops over transformers and onnxruntime."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from optbench.cli import main
from optbench.locations import package_file
from optbench.processes.child import start
from optbench.records import read_result

pytestmark = pytest.mark.slow

QUICK = [
    "measure=quick",
    "measure.replicate_seconds=0.3",
    "measure.warmup_calls=2",
    "measure.warmup_seconds=0.5",
]
DEMO = Path(package_file("demo/tiny-sentiment"))
ROWS = Path(package_file("demo/data/sentiment-test.jsonl"))
ASSETS = Path(os.environ.get("OPTBENCH_TEST_ASSETS", Path(__file__).parents[2] / "shared" / "assets"))
"""A folder of larger models and labelled data; the tests that need it are skipped without it."""

needs_assets = pytest.mark.skipif(not ASSETS.is_dir(), reason=f"no models and data in {ASSETS}")


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(place, *arguments, code=0):
    assert main([*QUICK, *arguments, "hydra.run.dir=out"]) == code
    return read_result(place / "out")


def rows_of(path):
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def torch_answers(directory, texts):
    """Answers of a plain transformers loop, one text at a time, by text."""
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    automatic = transformers.AutoModelForSequenceClassification
    model = automatic.from_pretrained(directory, dtype=torch.float32).eval()
    limit = {"truncation": True, "max_length": model.config.max_position_embeddings}
    answers = {}
    with torch.inference_mode():
        for text in texts:
            answers[text] = int(model(**tokenizer(text, return_tensors="pt", **limit)).logits.argmax())
    return answers


def onnx_answers(directory, texts):
    """The same of a plain onnxruntime session over an artifact."""
    import onnxruntime
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    session = onnxruntime.InferenceSession(str(directory / "model.onnx"), providers=["CPUExecutionProvider"])
    names = {item.name for item in session.get_inputs()}
    limit = json.loads((directory / "config.json").read_text())["max_position_embeddings"]
    answers = {}
    for text in texts:
        encoding = tokenizer(text, return_tensors="np", truncation=True, max_length=limit)
        feed = {name: array.astype(np.int64) for name, array in encoding.items() if name in names}
        answers[text] = int(session.run(None, feed)[0].argmax())
    return answers


@pytest.mark.parametrize(
    "quant",
    [
        "dynamic",
        *(pytest.param(name, marks=pytest.mark.release) for name in ("none", "static", "weight_only")),
    ],
)
def test_answers_equal_plain_loops_to_the_last_row(place, quant):
    result = run(place, f"quant={quant}")
    rows = rows_of(ROWS)
    artifact = result.variants["candidate"].artifact
    expected = {
        "baseline": torch_answers(DEMO, [row["text"] for row in rows]),
        "candidate": onnx_answers(Path(artifact.path), [row["text"] for row in rows]),
    }
    stored = pq.read_table(place / "out" / "predictions.parquet").to_pylist()
    assert len(stored) == len(rows)
    for name, answers in expected.items():
        assert [row[name] for row in stored] == [answers[row["text"]] for row in stored]
        right = sum(answers[row["text"]] == row["label"] for row in rows)
        accuracy = getattr(result.quality.metrics[0], name)
        assert result.quality.metrics[0].name == "accuracy"
        assert accuracy == right / len(rows)
    if quant == "none":
        assert (result.quality.broken, result.quality.fixed) == (0, 0)
    assert artifact.size_bytes == (Path(artifact.path) / "model.onnx").stat().st_size
    assert result.variants["baseline"].threads == result.variants["candidate"].threads


def test_the_kept_artifact_loads_with_optimum(place):
    import torch
    from optimum.onnxruntime import ORTModelForSequenceClassification
    from transformers import AutoTokenizer

    artifact = Path(run(place, "quality=none", "backend.opset=17").variants["candidate"].artifact.path)
    tokenizer = AutoTokenizer.from_pretrained(artifact)
    text = "a fine film"
    loaded = ORTModelForSequenceClassification.from_pretrained(artifact, local_files_only=True)
    with torch.inference_mode():
        logits = loaded(**tokenizer(text, return_tensors="pt")).logits
    assert int(logits.argmax()) == onnx_answers(artifact, [text])[text]
    import onnx

    declared = onnx.load(str(artifact / "model.onnx"), load_external_data=False).opset_import
    assert {item.version for item in declared if item.domain in ("", "ai.onnx")} == {17}


def test_two_optimized_variants_and_a_given_directory(place):
    first = run(place, "baseline=onnxruntime", "quant=dynamic", "quality=none")
    assert first.variants["baseline"].backend == "onnxruntime"
    assert first.comparison.size_ratio < 0.5
    given = place / "given"
    shutil.copytree(first.variants["candidate"].artifact.path, given)
    second = run(
        place, "baseline=onnxruntime", f"artifact={given}", "quant=none", "quality=none", "graph=none"
    )
    candidate = second.variants["candidate"]
    assert Path(candidate.artifact.path) == given
    assert candidate.artifact.sha256 == first.variants["candidate"].artifact.sha256
    assert candidate.runtime["graph_level"] == "none"


@pytest.mark.release
def test_openvino_answers_like_pytorch_and_its_directory_can_be_given(place):
    plain = run(place, "backend=openvino", "quant=none")
    assert (plain.quality.broken, plain.quality.fixed) == (0, 0)
    assert plain.variants["candidate"].runtime["precision"] == "float32"
    assert plain.timing.start == "fork"
    small = run(place, "backend=openvino", "quant=nncf", "quantization.num_samples=30")
    assert small.quality.agreement.value > 0.98
    assert small.comparison.size_ratio < 0.4
    artifact = small.variants["candidate"].artifact
    assert artifact.format == "openvino"
    assert artifact.details["calibration_rows"] == 30
    given = run(
        place,
        "baseline=openvino",
        "backend=openvino",
        "quant=none",
        "quality=none",
        f"artifact={artifact.path}",
    )
    assert given.variants["candidate"].artifact.sha256 == artifact.sha256


@pytest.mark.release
def test_compressed_weights_answer_like_the_baseline(place):
    result = run(place, "baseline=openvino", "backend=openvino", "quant=nncf_weights")
    assert result.quality.agreement.value > 0.99
    assert result.variants["candidate"].artifact.details["elements"]["u8"] > 1_000_000


def test_forked_and_fresh_workers_answer_alike(place):
    arguments = ["baseline=onnxruntime", "quality.max_eval_samples=100"]
    forked = run(place, *arguments)
    fresh = run(place, *arguments, "measure.start=spawn")
    assert (forked.timing.start, fresh.timing.start) == ("fork", "spawn")
    assert forked.quality.metrics == fresh.quality.metrics


def test_onnx_runtimes_worker_imports_neither_torch_nor_transformers(place):
    from optbench.backends.onnxruntime import OnnxRuntime
    from optbench.components import LoadOptions, Priority, WaitPolicy
    from optbench.processes.worker import Assignment
    from optbench.rows.ragged import save_table

    result = run(place, "quality=none")
    record = result.variants["candidate"].artifact
    from optbench.components import Artifact

    artifact = Artifact(Path(record.path), "onnx", record.sha256, record.size_bytes)
    save_table(place / "feeds.npz", [{name: np.ones((1, 4), np.int64) for name in INPUTS}])
    options = LoadOptions(1, WaitPolicy.runtime, "default", "AutoModel", priority=Priority.normal)
    assignment = Assignment(OnnxRuntime(), artifact, options, place / "feeds.npz", {})
    child = start(
        "worker", "optbench.processes.worker:VariantHost", assignment, environment={}, log=place / "log"
    )
    try:
        child.receive()
        child.call("load")
        maps = Path(f"/proc/{child.pid}/maps").read_text()
    finally:
        child.close()
    assert "onnxruntime" in maps
    assert "libtorch" not in maps
    assert "tokenizers" not in maps


INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def damaged(source, target, seed=0):
    """A copy of a checkpoint with noise on one layer's weights."""
    import torch
    from safetensors.torch import load_file, save_file

    shutil.copytree(source, target)
    weights = load_file(target / "model.safetensors")
    torch.manual_seed(seed)
    for name, value in weights.items():
        if ".layer.1." in name and value.dim() == 2:
            weights[name] = value + 10 * value.float().std() * torch.randn(value.shape)
    save_file(weights, target / "model.safetensors", metadata={"format": "pt"})
    return target


def test_a_damaged_candidate_is_worse_and_a_copy_is_not(place):
    gate = "gates.max_accuracy_drop=0.01"
    copy = shutil.copytree(DEMO, place / "copy")
    arguments = ["backend=pytorch", "quant=none", gate]
    same = run(place, *arguments, f"artifact={copy}")
    assert (same.quality.broken, same.quality.fixed) == (0, 0)
    assert (same.verdict.gates[0].outcome, same.verdict.decision) == ("pass", "SHIP")
    worse = run(place, *arguments, f"artifact={damaged(DEMO, place / 'damaged')}", code=1)
    assert worse.verdict.gates[0].outcome == "fail"
    assert worse.quality.broken > worse.quality.fixed
    assert worse.quality.drift.kl_mean > 0.01
    assert len(worse.quality.worst_rows) == 10


def test_a_checkpoint_without_a_trained_head_is_refused(place, capfd):
    import transformers

    headless = shutil.copytree(DEMO, place / "headless")
    transformers.BertModel.from_pretrained(DEMO).save_pretrained(headless)
    config = json.loads((DEMO / "config.json").read_text())
    (headless / "config.json").write_text(json.dumps(config))
    arguments = ["model=pretrained", f"model.path={headless}", "quality=none", "hydra.run.dir=out"]
    assert main([*QUICK, *arguments]) == 2
    assert "which would be random" in capfd.readouterr().err
    assert main([*QUICK, *arguments, "baseline=onnxruntime"]) == 2
    assert "which would be random" in capfd.readouterr().err


@pytest.mark.release
@pytest.mark.parametrize(
    ("arguments", "label", "smaller"),
    [
        (["backend=torch_compile", "quant=none"], "torch_compile", False),
        (["backend=pytorch", "quant=torchao"], "pytorch torchao", True),
        (["backend=pytorch", "quant=torch_dynamic"], "pytorch torch_dynamic", True),
        (["backend=pytorch", "quant=none", "backend.autocast=true"], "pytorch autocast", False),
    ],
)
def test_other_ways_to_run_pytorch_answer_nearly_alike(place, arguments, label, smaller):
    rows = ["quality.max_eval_samples=200", "quality.reuse=false"]
    result = run(place, *arguments, *rows, "threads=1")
    found = result.variants["candidate"]
    assert found.label == label
    assert result.quality.agreement.value > 0.97
    assert (result.comparison.size_ratio < 0.6) == smaller
    assert result.notes[0] == "the dataset does not name its labels; taken as 0 = NEGATIVE, 1 = POSITIVE"
    loaded = ["its weights take" in note and "as loaded" in note for note in result.notes[1:]]
    assert loaded == ([True] if smaller else [])  # they are quantized in memory, not on disk
    compiles = "torch_compile" in label
    assert (found.cold_start.compile_seconds is not None) == compiles
    assert result.variants["baseline"].cold_start.compile_seconds is None
    if compiles:
        assert found.runtime["compiled"]["graphs"] == 1
        assert result.timing.start == "fork"


@pytest.mark.release
def test_both_sides_can_be_pytorch_of_another_kind(place):
    result = run(
        place,
        "baseline=torch_compile",
        "backend=pytorch",
        "quant=torch_dynamic",
        "baseline.backend.attention=sdpa",
        "quality=none",
        "threads=1",
    )
    assert result.variants["baseline"].label == "torch_compile sdpa attention"
    assert result.variants["baseline"].cold_start.compile_seconds > 0
    assert result.variants["candidate"].runtime["quantized"]["quantized"] == 26


@needs_assets
@pytest.mark.parametrize(
    ("task", "model", "rows", "metric", "value"),
    [
        ("token-classification", "tiny-pos", "pos_test_1000.jsonl", "token_accuracy", 0.9008),
        pytest.param(
            *("text-classification", "minilm-sentiment", "sentiment_test.jsonl", "accuracy", None),
            marks=pytest.mark.release,
        ),
    ],
)
def test_larger_models_score_as_they_were_known_to(place, task, model, rows, metric, value):
    directory = ASSETS / "models" / model
    arguments = [f"task={task}", "model=pretrained", f"model.path={directory}", "dataset=labelled"]
    data = ASSETS / "data" / rows
    keys = ["dataset.data_keys.primary=text"] if task == "text-classification" else []
    result = run(place, *arguments, f"dataset.path={data}", *keys, "baseline=onnxruntime", "quant=dynamic")
    found = next(item for item in result.quality.metrics if item.name == metric)
    if value is None:
        answers = torch_answers(directory, [row["text"] for row in rows_of(data)])
        stored = pq.read_table(place / "out" / "predictions.parquet").to_pylist()
        differing = sum(row["baseline"] != answers[row["text"]] for row in stored)
        assert differing <= 2  # float32 through another runtime: a logit on the edge may fall either way
        value = sum(answers[row["text"]] == row["label"] for row in rows_of(data)) / len(stored)
        assert found.baseline == pytest.approx(value, abs=2 / len(stored))
    else:
        assert found.baseline == pytest.approx(value, abs=5e-5)
    assert result.quality.rows == len(rows_of(data))
    assert result.quality.agreement.value < 1


@needs_assets
@pytest.mark.release
def test_a_scale_per_channel_keeps_more_answers_than_one_per_tensor(place):
    found = {}
    for per_channel in (False, True):
        arguments = [
            "+experiment=per_channel",
            f"quantization.per_channel={per_channel}",
            "model=pretrained",
            f"model.path={ASSETS / 'models' / 'minilm-sentiment'}",
            "dataset=labelled",
            f"dataset.path={ASSETS / 'data' / 'sentiment_test.jsonl'}",
            "dataset.data_keys.primary=text",
        ]
        result = run(place, *arguments)
        assert result.quality.rows == 3268
        found[per_channel] = result.quality
    flips = {name: quality.broken + quality.fixed for name, quality in found.items()}
    assert flips[False] > 1.5 * flips[True]
    assert found[False].drift.kl_mean > 2 * found[True].drift.kl_mean
    tensor, channel = (found[name].metrics[0] for name in (False, True))
    assert tensor.name == channel.name == "accuracy"
    assert tensor.baseline == channel.baseline
    assert channel.non_inferiority.outcome == "not worse"
    assert channel.non_inferiority.rows_needed is None
    assert channel.gate_interval.low > -0.01
    assert tensor.non_inferiority.outcome == "cannot tell"
    assert tensor.gate_interval.low <= -0.01 <= tensor.gate_interval.high
    assert tensor.non_inferiority.rows_needed > found[False].rows
