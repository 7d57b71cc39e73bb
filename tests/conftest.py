"""Shared fixtures: tiny seeded models made on the spot, rows to judge them on, a private cache."""

import json
import math
import os
import tempfile
from pathlib import Path

import pytest

WORDS = ["good", "bad", "great", "awful", "fine", "poor", "film", "plot", "cast", "a", "the", "is", "was"]
HEADER = b'{"x":{"dtype":"F32","shape":[7],"data_offsets":[0,28]}}'
STRAY_WEIGHTS = len(HEADER).to_bytes(8, "little") + HEADER + bytes(28)
"""A whole safetensors file of 28 bytes of weights that belong to no model."""
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


@pytest.fixture(autouse=True)
def private_cache(tmp_path_factory, monkeypatch):
    """One cache for the whole session, so that exports are shared, and never the user's own."""
    root = tmp_path_factory.getbasetemp() / "cache"
    monkeypatch.setenv("OPTBENCH_CACHE_DIR", str(root))
    monkeypatch.setenv("OPTBENCH_LOCK_DIR", str(tmp_path_factory.getbasetemp()))
    monkeypatch.delenv("OPTBENCH_VERBOSITY", raising=False)
    return root


def save_tokenizer(directory, lowercase=True):
    """A WordPiece tokenizer over WORDS, as transformers saves it."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    vocabulary = {word: index for index, word in enumerate([*SPECIAL, *WORDS])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    tokenizer.save(str(directory / "tokenizer.json"))
    names = dict(zip(("pad", "unk", "cls", "sep", "mask"), SPECIAL, strict=True))
    config = {f"{name}_token": token for name, token in names.items()}
    config |= {"tokenizer_class": "BertTokenizerFast", "model_max_length": 32}
    (directory / "tokenizer_config.json").write_text(json.dumps(config))


def save_model_config(directory, labels=("NEGATIVE", "POSITIVE")):
    """config.json of a tiny BERT classifier."""
    config = {
        "architectures": ["BertForSequenceClassification"],
        "model_type": "bert",
        "vocab_size": len(SPECIAL) + len(WORDS),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 32,
        "initializer_range": 0.5,
        "id2label": {str(index): label for index, label in enumerate(labels)},
        "label2id": {label: index for index, label in enumerate(labels)},
    }
    if len(labels) == 1:
        config["problem_type"] = "regression"
    (directory / "config.json").write_text(json.dumps(config))


@pytest.fixture(scope="session")
def write_tokenizer():
    """Write the tokenizer over WORDS into a directory; gives the size of its vocabulary."""

    def write(directory):
        save_tokenizer(directory)
        return len(SPECIAL) + len(WORDS)

    return write


@pytest.fixture(scope="session")
def write_plain_tokenizer():
    """Write a tokenizer over WORDS that adds nothing, or a start token; gives its vocabulary's size."""

    def write(directory, start):
        from tokenizers import Tokenizer

        save_tokenizer(directory)
        file = directory / "tokenizer.json"
        tokenizer = json.loads(file.read_text())
        tokenizer["post_processor"] = None
        if start:
            begin = [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
            special = {"[CLS]": {"id": "[CLS]", "ids": [SPECIAL.index("[CLS]")], "tokens": ["[CLS]"]}}
            tokenizer["post_processor"] = {
                "type": "TemplateProcessing",
                "single": begin,
                "pair": [*begin, {"Sequence": {"id": "B", "type_id": 1}}],
                "special_tokens": special,
            }
        Tokenizer.from_str(json.dumps(tokenizer)).save(str(file))
        names = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 64}
        named = json.loads((directory / "tokenizer_config.json").read_text())
        (directory / "tokenizer_config.json").write_text(json.dumps({**named, **names}))
        return len(SPECIAL) + len(WORDS)

    return write


CAUSAL = {
    "gpt2": (
        "GPT2LMHeadModel",
        {"n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 2, "initializer_range": 0.4},
    ),
    "llama": (
        "LlamaForCausalLM",
        {
            "max_position_embeddings": 64,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "initializer_range": 0.4,
        },
    ),
}


@pytest.fixture(scope="session")
def build_causal(tmp_path_factory, write_plain_tokenizer):
    """Make a tiny causal language model of a family; Llama's tokenizer begins with a start token."""

    def build(family):
        directory = tmp_path_factory.mktemp("models") / family
        directory.mkdir()
        start = family == "llama"
        size = write_plain_tokenizer(directory, start)
        architecture, config = CAUSAL[family]
        ids = {"bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0, "tie_word_embeddings": not start}
        whole = {"model_type": family, "vocab_size": size, "architectures": [architecture], **config, **ids}
        (directory / "config.json").write_text(json.dumps(whole))
        import torch
        import transformers

        torch.manual_seed(0)
        read = transformers.AutoConfig.from_pretrained(directory)
        getattr(transformers, architecture)(read).eval().save_pretrained(directory)
        return directory

    return build


@pytest.fixture
def bare_model(tmp_path):
    """A checkpoint without real weights: enough for everything that does not run it."""
    directory = tmp_path / "bare"
    directory.mkdir()
    save_tokenizer(directory)
    save_model_config(directory)
    (directory / "model.safetensors").write_bytes(STRAY_WEIGHTS)
    return directory


def build_model(directory, labels, seed=0):
    """A tiny BERT classifier with seeded random weights, saved as transformers saves it."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    directory.mkdir(parents=True)
    save_tokenizer(directory)
    save_model_config(directory, labels)
    torch.manual_seed(seed)
    config = BertConfig.from_pretrained(directory)
    BertForSequenceClassification(config).save_pretrained(directory)
    return directory


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """A seeded classifier with two labels; small enough to export in a moment."""
    return build_model(tmp_path_factory.mktemp("models") / "classifier", ("NEGATIVE", "POSITIVE"))


@pytest.fixture(scope="session")
def tiny_regressor(tmp_path_factory):
    """A seeded model with one output."""
    return build_model(tmp_path_factory.mktemp("models") / "regressor", ("SCORE",))


@pytest.fixture(scope="session")
def tiny_onnx(tmp_path_factory):
    """A directory with model.onnx: tokens [batch, length] int64, two matrix products, logits."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    sizes = {"embeddings": (12, 32), "first": (32, 64), "second": (64, 8)}
    values = {name: rng.normal(size=size).astype(np.float32) for name, size in sizes.items()}
    nodes = [
        helper.make_node("Gather", ["embeddings", "input_ids"], ["a"], "/embed"),
        helper.make_node("MatMul", ["a", "first"], ["b"], "/layer.0/MatMul"),
        helper.make_node("Relu", ["b"], ["c"], "/layer.0/Relu"),
        helper.make_node("MatMul", ["c", "second"], ["logits"], "/layer.1/MatMul"),
    ]
    inputs = [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "length"])]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", "length", 8])]
    weights = [numpy_helper.from_array(value, name) for name, value in values.items()]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    directory = tmp_path_factory.mktemp("onnx") / "tiny"
    directory.mkdir()
    onnx.save(model, directory / "model.onnx")
    return directory


@pytest.fixture
def rows_file(tmp_path):
    """Forty labelled rows of made-up text."""
    return write_rows(tmp_path / "rows.jsonl", 40)


def write_rows(path: Path, count: int) -> Path:
    """`count` rows with a text of a few known words and a label."""
    with path.open("w") as file:
        for number in range(count):
            text = " ".join(WORDS[(number * step) % len(WORDS)] for step in range(1, 4 + number % 5))
            file.write(json.dumps({"text": text, "label": number % 2}) + "\n")
    return path


@pytest.fixture(scope="session")
def made_run():
    """Makes the result of a run whose candidate is `speedup` times as fast; fields can be replaced."""
    from optbench import records

    def variant(backend, quantization, mean, size):
        percentiles = [records.Percentile(q, mean * (1 + q)) for q in (0.5, 0.9, 0.95, 0.99)]
        percentiles.append(records.Percentile(0.999, None, reason="needs 2,000 more calls"))
        return records.VariantResult(
            backend,
            quantization,
            "default",
            2,
            artifact=records.ArtifactRecord("somewhere", "onnx", backend, size),
            cold_start=records.ColdStart(1.0, 0.5, 0.25, peak_memory_bytes=10 * size),
            latency=records.Latency(100, mean, 0.001, mean / 2, 2 * mean, percentiles, 2 * mean),
            throughput=records.Throughput(records.Estimate(1 / mean), 1 / mean, 10.0),
        )

    def make(batch=1, length=32, quantization="dynamic", speedup=2.0, spread=0.01, replicates=10, **changes):
        signs = [spread if number % 2 else -spread for number in range(replicates)]
        thetas = [math.log(speedup) + sign for sign in signs]
        estimate = records.Estimate(speedup, records.Interval(0.99 * speedup, 1.01 * speedup))
        accuracy = records.MetricResult(
            "accuracy", True, 0.9, 0.89, records.Estimate(-0.01, records.Interval(-0.02, 0.005))
        )
        sides = {
            "baseline": {"backend": "pytorch", "quantization": "none"},
            "candidate": {"backend": "onnxruntime", "quantization": quantization},
        }
        config = {"model": {"path": "tiny"}, "chosen": sides, "batch_size": batch, "input_length": length}
        made = records.RunResult(
            optbench_version="0",
            status="ok",
            started_at="2026-01-01T00:00:00+00:00",
            command=[],
            config={**config, "quantization": {"kind": quantization}},
            config_hash=f"{quantization}-{batch}-{length}",
            environment={"machine": "m1", "versions": {"torch": "2.0", "numpy": "2.1"}},
            variants={
                "baseline": variant("pytorch", "none", 0.010, 5_000_000),
                "candidate": variant("onnxruntime", quantization, 0.010 / speedup, 2_000_000),
            },
            timing=records.TimingRecord(
                "latency",
                1,
                batch,
                length,
                "random",
                0,
                replicates,
                "fork",
                "runtime",
                {},
                "precision",
                1.0,
                1.0,
            ),
            comparisons={
                "candidate": records.Comparison(
                    estimate,
                    records.Estimate(1.5),
                    size_ratio=0.4,
                    replicate_log_ratios=thetas,
                    replicate_cpu_log_ratios=thetas,
                )
            },
            quality=records.QualityResult(
                200, [accuracy], records.Estimate(0.975, records.Interval(0.95, 0.99)), 4, 2
            ),
            trust=records.Trust("good", [], []),
        )
        return records.replace(made, **changes)

    return make


@pytest.fixture
def write_run():
    """Writes a result and the overrides that made it into a run directory, as a sweep leaves them."""
    from optbench.records import write_result

    def write(directory, result=None, overrides=()):
        (directory / ".hydra").mkdir(parents=True)
        (directory / ".hydra" / "overrides.yaml").write_text("".join(f"- {item}\n" for item in overrides))
        (directory / "optbench.log").write_text("")
        if result is not None:
            write_result(directory, result)
        return directory

    return write


def pytest_configure(config):
    """Nothing in the tests may wait for a hub."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["HF_MODULES_CACHE"] = tempfile.mkdtemp(prefix="optbench-test-modules-")


@pytest.fixture
def torch_load():
    """Load a checkpoint with a PyTorch backend; the modes that sessions enter are left in the end."""
    from optbench.components import Artifact, LoadOptions, WaitPolicy

    sessions = []

    def load(
        backend, directory, quantization=None, threads=1, model_class="AutoModelForSequenceClassification"
    ):
        artifact = Artifact(directory, "transformers", "0" * 64, 1)
        model_class = "AutoModelForSequenceClassification"
        options = LoadOptions(1, WaitPolicy.runtime, "default", model_class, quantization=quantization)
        sessions.append(backend.load(artifact, options))
        return sessions[-1]

    yield load
    while sessions:
        leave_modes(sessions.pop())


@pytest.fixture
def leave_torch_modes():
    """Leave the modes that a PyTorch session entered for good; the last session first."""
    return leave_modes


def leave_modes(session):
    """Leave the modes that a PyTorch session entered for good; the last session first."""
    if session._autocast:
        session._casting.__exit__(None, None, None)
    session._guard.__exit__(None, None, None)
