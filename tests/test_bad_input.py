"""Bad input: one clear message that names key, requirement, finding and remedy; exit 2; no trace left."""

import json
import shutil

import pytest

from optbench.cli import main

FAKE = ["baseline=fake", "backend=fake", "quant=none", "measure=quick"]


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(arguments, capfd):
    code = main(arguments)
    captured = capfd.readouterr()
    assert "Traceback" not in captured.err + captured.out
    assert "UserWarning" not in captured.err
    return code, captured.err


# Command line, and what its message must contain. None of these reads a model or a dataset.
CONFIG_MISTAKES = [
    (["quant=static", "quantization.calibration.num_samples=0"], ["calibration.num_samples must be >= 1"]),
    (["quant=dynamik"], ["quant/dynamik", "dynamic"]),
    (["bakend=onnxruntime"], ["bakend", "backend"]),
    (["batch_siz=1"], ["batch_siz", "Did you mean", "batch_size"]),
    (["batch_size=big"], ["batch_size", "big", "Integer"]),
    (["batch_size=0"], ["batch_size must be >= 1, got 0"]),
    (["batch_size=-3"], ["batch_size must be >= 1, got -3"]),
    (["input_length=0"], ["input_length must be >= 1"]),
    (["seed=-1"], ["seed must be >= 0"]),
    (["threads=0"], ["threads must be >= 1"]),
    (["threads=many"], ["threads must be a number or auto, got 'many'"]),
    (["baseline.threads=0"], ["baseline.threads must be >= 1"]),
    (["batch_sizes=[1,8]"], ["-m sweep=grid", "batch_size="]),
    (["input_lengths=[16]"], ["-m sweep=grid", "input_length="]),
    (["run.timeout_seconds=0"], ["run.timeout_seconds must be >= 1, got 0"]),
    (["resume=nowhere"], ["resume must be the directory of an earlier sweep, got nowhere"]),
    (["sweep=grid"], ["add -m"]),
    (["-m", "sweep=grid", "batch_sizes=[]"], ["needs its points", "batch_sizes"]),
    (["measure.precision=0"], ["measure.precision must lie between 0 and 1"]),
    (["measure.precision=2"], ["measure.precision must lie between 0 and 1"]),
    (["measure.replicates=0"], ["measure.replicates must be >= 1"]),
    (["measure.max_replicates=2"], ["measure.max_replicates must be >= replicates (5), got 2"]),
    (["measure.warmup_calls=0"], ["measure.warmup_calls must be >= 1"]),
    (["measure.budget_seconds=-1"], ["measure.budget_seconds must be >= 0"]),
    (["measure.duration_seconds=0"], ["measure.duration_seconds must be >="]),
    (["measure.inputs=real"], ["measure.inputs", "real", "random", "dataset"]),
    (["measure.start=fast"], ["measure.start", "fork", "spawn"]),
    (["quality.metrics=[]"], ["quality.metrics must name at least one"]),
    (["quality.margin=0"], ["quality.margin must lie between 0 and 1"]),
    (["quality.max_eval_samples=0"], ["quality.max_eval_samples must be >= 1"]),
    (["dataset.streaming=true"], ["quality.max_eval_samples must be set with dataset.streaming=true"]),
    (["quality.batch_size=0"], ["quality.batch_size must be >= 1"]),
    (["backend.opset=3"], ["backend.opset must lie between"]),
    (["backend.optimization_level=7"], ["backend.optimization_level must be one of", "99 (all)"]),
    (["quantization.weight_type=int3"], ["quantization.weight_type", "int3", "int8"]),
    (["quantization.per_channel=maybe"], ["quantization.per_channel", "maybe", "bool"]),
    (["quantization.operators_to_quantize=MatMul"], ["quantization.operators_to_quantize"]),
    (["graph.level=o9"], ["graph.level must be one of", "o9"]),
    (["model=pretrained"], ["model.path must be set"]),
    (["model.path="], ["model.path must be a directory or a hub name"]),
    (["dataset=labelled"], ["dataset.path must be set"]),
    (["dataset.eval_split="], ["dataset.eval_split must not be empty"]),
    (["artifact=somewhere"], ["artifact is measured as it is", "quantization must be none"]),
    (["task.is_regression=true", "+task.label_map={a: b}"], ["task.label_map must be empty"]),
    (["+experiment=none"], ["experiment/none"]),
    (["backend=fake", "quant=none", "backend.call_seconds=0"], ["backend.call_seconds must lie"]),
    (["backend=fake", "quant=none", "backend.shape=square"], ["backend.shape must be one of"]),
    (["backend=fake", "quant=none", "backend.cv=-1"], ["backend.cv must lie between"]),
    (["hydra.run.dir=/dev/null/x"], ["hydra.run.dir", "/dev/null", "is not a directory"]),
    (["-m", "quant=none,dynamik", "batch_size=1,8"], ["quant/dynamik"]),
    (["-m", "batch_size=1,x"], ["batch_size", "x"]),
    (["-m", "quant=none", "quant=none,dynamic"], ["quant is given more than once"]),
    (["-m", "hydra.sweep.dir=/dev/null/x", "batch_size=1,2"], ["hydra.sweep.dir", "/dev/null"]),
    (["-q", "-v"], ["-q and -v exclude each other"]),
    (["--config-name", "absent"], ["absent"]),
    (["--config-dir", "absent"], ["absent"]),
]


@pytest.mark.parametrize(
    ("arguments", "words"), CONFIG_MISTAKES, ids=[" ".join(a) for a, _ in CONFIG_MISTAKES]
)
def test_a_mistake_in_the_config_is_named(arguments, words, place, capfd):
    code, message = run(arguments, capfd)
    assert code == 2
    assert all(word in message for word in words), message
    assert list(place.iterdir()) == []


def test_all_mistakes_are_reported_together(place, capfd):
    code, message = run(["batch_size=0", "measure.precision=3", "quality.margin=0"], capfd)
    assert code == 2
    assert "3 problems" in message
    assert all(key in message for key in ("batch_size", "measure.precision", "quality.margin"))


def test_all_unknown_overrides_are_reported_together(place, capfd):
    code, message = run(["bogus=1", "batch_size=x", "quant=nope", "seed=1"], capfd)
    assert code == 2
    assert "3 problems" in message
    assert all(word in message for word in ("bogus", "'x'", "quant/nope"))
    assert "seed" not in message


def edit(file, **changes):
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def no_weights(model):
    (model / "model.safetensors").unlink()


def no_config(model):
    (model / "config.json").unlink()


def broken_config(model):
    (model / "config.json").write_text("{")


def no_tokenizer(model):
    for file in model.glob("tokenizer*"):
        file.unlink()


def three_labels(model):
    edit(model / "config.json", id2label={"0": "A", "1": "B", "2": "C"})


def one_label(model):
    edit(model / "config.json", id2label={"0": "A"})


# Further arguments, a change to the model, and what the message must contain.
INPUT_MISTAKES = [
    (["model.path=./none"], None, ["model.path=./none", "nothing there"]),
    (["model.path=rows.jsonl"], None, ["model.path=rows.jsonl", "a file"]),
    (["model.path=no-such/model"], None, ["model.path=no-such/model", "HF_HUB_OFFLINE"]),
    ([], no_weights, ["holds no weights"]),
    ([], no_config, ["is not a model", "config.json"]),
    ([], broken_config, ["config.json", "cannot be read"]),
    ([], no_tokenizer, ["no tokenizer"]),
    ([], one_label, ["task.is_regression=true"]),
    (["dataset.ref_keys=[text]"], three_labels, ["labels do not match", "A, B, C"]),
    (["task.is_regression=true"], None, ["task.is_regression=true needs a model with one output"]),
    (["input_length=33"], None, ["input_length must not exceed 32", "got 33"]),
    (["graph=all"], None, ["graph"]),
    (["quant=dynamic", "backend=pytorch"], None, ["quant=dynamic", "backend=pytorch", "onnxruntime"]),
    (["dataset.path=./none.csv"], None, ["dataset.path=./none.csv"]),
    (["dataset.path=no-such/data"], None, ["dataset.path=no-such/data", "hub"]),
    (["dataset.path=empty.csv"], None, ["is empty"]),
    (["dataset.path=broken.jsonl"], None, ["broken.jsonl", "cannot be read"]),
    (["dataset.path=headline.csv"], None, ["headline.csv", "no rows"]),
    (["dataset.data_keys.primary=body"], None, ["data_keys.primary=body", "text (string)"]),
    (
        ["dataset.data_keys.primary=text", "dataset.data_keys.secondary=body"],
        None,
        ["data_keys.secondary=body"],
    ),
    (["dataset.ref_keys=[gold]"], None, ["ref_keys=gold", "label (number)"]),
    (["dataset.path=odd_labels.jsonl"], None, ["labels do not match", "7", "NEGATIVE, POSITIVE"]),
    (["dataset.path=two_texts.jsonl"], None, ["data_keys.primary must name", "body (string)"]),
    (["quality.max_eval_samples=41"], None, ["quality.max_eval_samples", "40 rows", "got 41"]),
    (["quality.metrics=[acuracy]"], None, ["quality.metrics", "acuracy", "accuracy"]),
    (["quality.metrics=[pearson]"], None, ["quality.metrics=pearson", "regression"]),
    (["artifact=./none"], None, ["artifact=none", "must be a directory"]),
]


@pytest.mark.parametrize(
    ("arguments", "change", "words"),
    INPUT_MISTAKES,
    ids=[" ".join(a) or change.__name__ for a, change, _ in INPUT_MISTAKES],
)
def test_a_mistake_in_the_input_is_named(arguments, change, words, place, bare_model, rows_file, capfd):
    (place / "empty.csv").write_text("")
    (place / "headline.csv").write_text("text,label\n")
    (place / "broken.jsonl").write_text('{"text": "a"\n]]')
    (place / "odd_labels.jsonl").write_text('{"text": "a", "label": 7}\n')
    (place / "two_texts.jsonl").write_text('{"text": "a", "body": "b", "label": 0}\n')
    if change is not None:
        change(bare_model)
    base = [*FAKE, "model=pretrained", f"model.path={bare_model}", "dataset=labelled"]
    code, message = run([*base, f"dataset.path={rows_file}", *arguments], capfd)
    assert code == 2, message
    assert all(word in message for word in words), message
    assert not (place / "outputs").exists() or list((place / "outputs").iterdir()) == []
    shutil.rmtree(place / "outputs", ignore_errors=True)
