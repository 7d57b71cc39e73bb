"""Small factories for the files of a row; each makes one thing in the directory it is given."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bad_input.row import Make

WORDS = ("good", "bad", "great", "awful", "film", "plot", "the", "is")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def named(make: Make, name: str) -> Make:
    """A factory under a name that the catalogue can print."""
    make.__name__ = name
    return make


def text(name: str, content: str | bytes) -> Make:
    """A file with this content, its folders made as needed."""

    def make(place: Path) -> None:
        file = place / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())

    return named(make, name)


def folder(name: str) -> Make:
    """An empty directory."""
    return named(lambda place: (place / name).mkdir(parents=True), f"{name}/")


def without(name: str) -> Make:
    """Takes a file or directory away."""

    def make(place: Path) -> None:
        target = place / name
        shutil.rmtree(target) if target.is_dir() else target.unlink()

    return named(make, f"no {name}")


def edited(name: str, **changes: Any) -> Make:
    """Changes keys of a JSON file; None takes a key away."""

    def make(place: Path) -> None:
        file = place / name
        content = {**json.loads(file.read_text()), **changes}
        file.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))

    return named(make, f"{name} with {', '.join(changes)}")


def model(place: Path) -> None:
    """A BERT classifier's directory; its weights are whole, but not those of any model."""
    directory = place / "model"
    directory.mkdir()
    config = {
        "architectures": ["BertForSequenceClassification"],
        "model_type": "bert",
        "vocab_size": len(SPECIAL) + len(WORDS),
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 32,
        "id2label": {"0": "NEGATIVE", "1": "POSITIVE"},
        "label2id": {"NEGATIVE": 0, "POSITIVE": 1},
    }
    (directory / "config.json").write_text(json.dumps(config))
    (directory / "model.safetensors").write_bytes(safetensors({"w": [2, 2]}))
    tokenizer(directory)


def tokenizer(directory: Path) -> None:
    """A WordPiece tokenizer over WORDS."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocabulary = {word: index for index, word in enumerate([*SPECIAL, *WORDS])}
    made = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.save(str(directory / "tokenizer.json"))
    tokens = dict(zip(("pad", "unk", "cls", "sep", "mask"), SPECIAL, strict=True))
    settings = {f"{name}_token": token for name, token in tokens.items()}
    whole = {**settings, "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 32}
    (directory / "tokenizer_config.json").write_text(json.dumps(whole))


def safetensors(shapes: Mapping[str, list[int]]) -> bytes:
    """A whole safetensors file of float32 zeros: length of the header, header, values."""
    header: dict[str, Any] = {}
    end = 0
    for name, shape in shapes.items():
        begun, end = end, end + 4 * shape[0] * shape[1]
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begun, end]}
    packed = json.dumps(header).encode()
    return struct.pack("<Q", len(packed)) + packed + bytes(end)


def truncated(name: str, count: int) -> Make:
    """Keeps only so many bytes of a file."""

    def make(place: Path) -> None:
        (place / name).write_bytes((place / name).read_bytes()[:count])

    return named(make, f"{name}[:{count}]")


def rows(place: Path) -> None:
    """Forty labelled texts in rows.jsonl."""
    lines = [{"text": f"{WORDS[n % 8]} {WORDS[n * 3 % 8]} {n}", "label": n % 2} for n in range(40)]
    (place / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def jsonl(*lines: Mapping[str, Any]) -> Make:
    """data.jsonl with these rows."""
    return text("data.jsonl", "".join(json.dumps(line) + "\n" for line in lines))


def finished(name: str, **changes: Any) -> Make:
    """A finished run's result.json in the directory `name`; None takes a key away."""

    def make(place: Path) -> None:
        (place / name).mkdir(parents=True)
        content = {
            "schema_version": 1,
            "optbench_version": "0.1.0",
            "status": "ok",
            "started_at": "2026-01-01T00:00:00+00:00",
            "command": ["optbench"],
            "config": {"model": {"path": "tiny"}, "batch_size": 1, "input_length": 32},
            "config_hash": "0" * 64,
            "environment": {"machine": "m1"},
            **changes,
        }
        kept = {key: value for key, value in content.items() if value is not None}
        (place / name / "result.json").write_text(json.dumps(kept))

    return named(make, f"{name}/result.json")
