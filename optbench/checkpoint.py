"""Reading what a checkpoint directory says about itself, without any deep-learning library."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from optbench.components import ModelSpec
from optbench.errors import DataError

WEIGHT_PATTERNS = ("*.safetensors", "pytorch_model*.bin")
POSITION_KEYS = ("max_position_embeddings", "n_positions", "max_sequence_length")
OFFSET_POSITION_FAMILIES = ("roberta", "xlm-roberta", "camembert", "mpnet", "longformer")
"""Families that number positions from pad_token_id + 1, so that two rows of the table are unused."""


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises DataError that names the file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} must hold a JSON object, found {type(content).__name__}")
    return content


def weight_files(directory: Path) -> list[Path]:
    """Files that hold the weights, safetensors preferred; empty where there are none."""
    for pattern in WEIGHT_PATTERNS:
        if files := sorted(directory.glob(pattern)):
            return files
    return []


def read_spec(directory: Path) -> ModelSpec:
    """The spec of the checkpoint in `directory`. Raises DataError if it is not a checkpoint."""
    config_file = directory / "config.json"
    if not config_file.is_file():
        raise DataError(
            f"model.path={directory} is not a model: a directory with config.json and weights is "
            f"required, found {describe(directory)}"
        )
    config = read_json(config_file)
    if "model_type" not in config:
        raise DataError(f"{config_file} names no model_type, so it is not a transformers model")
    return ModelSpec(
        directory=directory,
        model_type=str(config["model_type"]),
        labels=labels_of(config),
        vocab_size=config.get("vocab_size"),
        max_length=max_length_of(config, directory),
    )


def require_weights(directory: Path) -> None:
    """Raise DataError unless the checkpoint has weight files."""
    if not weight_files(directory):
        raise DataError(
            f"model.path={directory} holds no weights: one of {', '.join(WEIGHT_PATTERNS)} is "
            f"required, found {describe(directory)}"
        )


def require_all_weights(directory: Path, model_class: str, missing: Collection[str]) -> None:
    """Raise DataError if a checkpoint lacks weights of its model, which would be random then.

    The pooler of a bare encoder does not count: token vectors do not pass through it.
    """
    lacking = sorted(name for name in missing if not name.startswith("pooler."))
    if lacking:
        raise DataError(
            f"{directory} lacks {len(lacking)} weights for {model_class}, such as {lacking[0]}, which would "
            "be random; give a checkpoint that was trained for this task"
        )


def labels_of(config: dict[str, Any]) -> tuple[str, ...]:
    """Label names in the order of the model's outputs."""
    id2label = config.get("id2label")
    if id2label:
        return tuple(str(id2label[key]) for key in sorted(id2label, key=int))
    count = int(config.get("num_labels", 2))
    return tuple(f"LABEL_{index}" for index in range(count))


def max_length_of(config: dict[str, Any], directory: Path) -> int | None:
    """Longest input in tokens: the position table's, or the tokenizer's if that is shorter."""
    limits = [int(config[key]) for key in POSITION_KEYS if isinstance(config.get(key), int)]
    if limits and config["model_type"] in OFFSET_POSITION_FAMILIES:
        limits[0] -= int(config.get("pad_token_id") or 1) + 1
    tokenizer_file = directory / "tokenizer_config.json"
    if tokenizer_file.is_file():
        stated = read_json(tokenizer_file).get("model_max_length")
        if isinstance(stated, int) and stated < 1_000_000:
            limits.append(stated)
    return min(limits) if limits else None


def describe(directory: Path) -> str:
    """What is in a directory, in a few words, for error messages."""
    if not directory.is_dir():
        return "a file" if directory.exists() else "nothing there"
    names = sorted(entry.name for entry in directory.iterdir())
    if not names:
        return "an empty directory"
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def hash_files(files: list[Path]) -> str:
    """SHA-256 over names and contents of files, in the order of their names."""
    digest = hashlib.sha256()
    for file in sorted(files, key=lambda path: path.name):
        digest.update(file.name.encode() + b"\0")
        with file.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()
