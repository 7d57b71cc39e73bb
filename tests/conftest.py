"""Shared fixtures: tiny seeded models made on the spot, rows to judge them on, a private cache."""

import json
import os
import tempfile
from pathlib import Path

import pytest

WORDS = ["good", "bad", "great", "awful", "fine", "poor", "film", "plot", "cast", "a", "the", "is", "was"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


@pytest.fixture(autouse=True)
def private_cache(tmp_path_factory, monkeypatch):
    """One cache for the whole session, so that exports are shared, and never the user's own."""
    root = tmp_path_factory.getbasetemp() / "cache"
    monkeypatch.setenv("OPTBENCH_CACHE_DIR", str(root))
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
    (directory / "model.safetensors").write_bytes(b"weights")
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


def pytest_configure(config):
    """Nothing in the tests may wait for a hub."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["HF_MODULES_CACHE"] = tempfile.mkdtemp(prefix="optbench-test-modules-")
