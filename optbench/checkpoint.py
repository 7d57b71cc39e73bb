"""Reading what a checkpoint directory says about itself, without any deep-learning library."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from optbench.components import ModelSpec
from optbench.errors import DataError
from optbench.locations import MANIFEST

WEIGHT_PATTERNS = ("*.safetensors", "pytorch_model*.bin")
COMPANION_PATTERNS = (
    "*.json",
    "*.txt",
    "*.model",
    "*.jinja",
    "*.spm",
    "*.bpe",
    "*.codes",
    "*.tiktoken",
    "*_*/config.json",
)
"""Config, tokenizer (WordPiece, BPE, sentencepiece, Marian, PhoBERT, Qwen), image processor, chat template,
and the modules of sentence-transformers, such as 1_Pooling/config.json."""

TOKENIZER_PATTERNS = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    "vocab.json",
    *("*.model", "*.spm", "*.bpe", "*.bpe.codes", "*.tiktoken"),
)
"""Each is enough for some tokenizer."""
BYTE_FAMILIES = ("byt5", "canine", "perceiver")
"""Families whose tokenizer counts bytes or characters and needs no file."""
PAPER_PATTERNS = ("README.md", "LICENSE*", "NOTICE*")
CODE_FILES = ("config.json", "tokenizer_config.json", "preprocessor_config.json", "processor_config.json")
"""Files whose auto_map makes transformers import Python modules of the checkpoint."""
POSITION_KEYS = ("max_position_embeddings", "n_positions", "max_sequence_length")
OFFSET_POSITION_FAMILIES = ("roberta", "xlm-roberta", "camembert", "mpnet", "longformer")
"""Families that number positions from pad_token_id + 1, so that two rows of the table are unused."""

LFS_POINTER = b"version https://git-lfs"
"""What a file of Git LFS begins with where its content was not fetched."""

SETTLED_NANOSECONDS = 100_000_000
"""Several ticks of the clock that stamps files."""

_hashes: dict[tuple[int, ...], str] = {}


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises DataError that names the file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
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


def read_spec(directory: Path, trust_remote_code: bool = False) -> ModelSpec:
    """The spec of the checkpoint in `directory`.

    Raises DataError if it is not a checkpoint, or needs code of its own that is not trusted.
    """
    config_file = directory / "config.json"
    if not config_file.is_file():
        raise DataError(
            f"model.path={directory} is not a model: a directory with config.json and weights is "
            f"required, found {describe(directory)}"
        )
    config = read_json(config_file)
    if not isinstance(config.get("model_type"), str):
        raise DataError(f"{config_file} names no model_type, so it is not a transformers model")
    if not trust_remote_code:
        refuse_code(directory)
    try:
        return ModelSpec(
            directory=directory,
            model_type=config["model_type"],
            labels=labels_of(config),
            vocab_size=whole(config, "vocab_size"),
            max_length=max_length_of(config, directory),
            trust_remote_code=trust_remote_code,
        )
    except ValueError as error:
        raise DataError(f"{config_file}: {error}; compare it with the model's original") from error


def whole(config: Mapping[str, Any], key: str) -> int | None:
    """A whole number of a config; null where it has none. Raises ValueError for anything else."""
    found = config.get(key)
    if found is not None and (isinstance(found, bool) or not isinstance(found, int)):
        raise ValueError(f"{key} must be a whole number, found {found!r}")
    return found


def refuse_code(directory: Path) -> None:
    """Raise DataError if a checkpoint asks for Python code of its own to be run, from what its files say."""
    for name in CODE_FILES:
        file = directory / name
        if file.is_file() and read_json(file).get("auto_map"):
            raise DataError(
                f"{file} names Python code of its own (auto_map) that loading would run; read that code, "
                "and if you trust it, set model.trust_remote_code=true"
            )


def require_weights(directory: Path) -> None:
    """Raise DataError unless the checkpoint has weight files that are whole, as far as a glance can tell."""
    files = weight_files(directory)
    for file in files:
        if damage := damage_of(file):
            raise DataError(f"{file} {damage}")
    if not files:
        raise DataError(
            f"model.path={directory} holds no weights: one of {', '.join(WEIGHT_PATTERNS)} is "
            f"required, found {describe(directory)}"
        )


def unloadable(directory: Path, error: Exception) -> DataError:
    """Why PyTorch cannot load a checkpoint, with the files that may be damaged, which transformers hides."""
    told = f"{directory} cannot be loaded by PyTorch: {error}"
    if type(error).__name__ == "SafetensorError":
        names = ", ".join(file.name for file in weight_files(directory))
        told += f"; {names} must be whole safetensors files and one is damaged or cut short: fetch them again"
    return DataError(told)


def damage_of(file: Path) -> str | None:
    """None, or why a weight file cannot be whole, from its length and its first bytes alone."""
    if not file.is_file():
        found = "a directory" if file.is_dir() else "a link to nothing"
        return f"must be a file, found {found}; fetch or save the model again"
    size = file.stat().st_size
    with file.open("rb") as stream:
        begin = stream.read(len(LFS_POINTER))
        if begin == LFS_POINTER:
            return "is a Git LFS pointer and not the weights; fetch them with git lfs pull"
        stream.seek(0)
        reason = "is empty" if size == 0 else None
        if size and file.suffix == ".safetensors":
            reason = safetensors_damage(stream, size)
    return None if reason is None else f"{reason}; fetch or save the model again"


def safetensors_damage(stream: BinaryIO, size: int) -> str | None:
    """None, or why a safetensors file of `size` bytes cannot be whole.

    It is 8 bytes (length of the header, little endian), the header (JSON), the values.
    Source: the safetensors README, "Format".
    """
    length = int.from_bytes(stream.read(8), "little")
    if size < 8 + length:
        return f"is no safetensors file, or is cut off at {size:,} bytes"
    try:
        header = json.loads(stream.read(length))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        end = 8 + length + max(ends, default=0)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return "is no safetensors file: its header cannot be read"
    return None if size >= end else f"is cut off at {size:,} of {end:,} bytes"


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
    """Label names in the order of the model's outputs. Raises ValueError for what names none."""
    id2label = config.get("id2label")
    if id2label:
        if not isinstance(id2label, dict) or not all(str(key).isdecimal() for key in id2label):
            raise ValueError(f"id2label must map numbers to names, found {str(id2label)[:80]}")
        return tuple(str(id2label[key]) for key in sorted(id2label, key=int))
    count = whole(config, "num_labels")
    return tuple(f"LABEL_{index}" for index in range(2 if count is None else count))


def max_length_of(config: dict[str, Any], directory: Path) -> int | None:
    """Longest input in tokens: the position table's, or the tokenizer's if that is shorter."""
    limits = [int(config[key]) for key in POSITION_KEYS if isinstance(config.get(key), int)]
    if limits and config["model_type"] in OFFSET_POSITION_FAMILIES:
        limits[0] -= (whole(config, "pad_token_id") or 1) + 1
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


def require_tokenizer(directory: Path, model_type: str) -> None:
    """Raise DataError where a checkpoint has no file of any tokenizer, and its family needs one."""
    if model_type in BYTE_FAMILIES or any(any(directory.glob(pattern)) for pattern in TOKENIZER_PATTERNS):
        return
    raise DataError(
        f"model.path={directory} holds no tokenizer: {', '.join(TOKENIZER_PATTERNS[:4])} or the like is "
        f"required, found {describe(directory)}; save it beside the model with tokenizer.save_pretrained"
    )


def companions(directory: Path) -> list[Path]:
    """Files that belong to a model beside its weights; a link counts as what it points to."""
    return [
        file
        for file in matching(directory, COMPANION_PATTERNS)
        if file.name != MANIFEST and not file.name.endswith(".index.json")
    ]


def papers(directory: Path) -> list[Path]:
    """The model's own README, licence and notices."""
    return matching(directory, PAPER_PATTERNS)


def matching(directory: Path, patterns: Sequence[str]) -> list[Path]:
    """Files below `directory` that match any pattern, sorted. Raises DataError on a link astray."""
    files = {file for pattern in patterns for file in directory.glob(pattern) if file.is_file()}
    for file in files:
        refuse_astray(directory, file)
    return sorted(files)


def refuse_astray(directory: Path, file: Path) -> None:
    """Raise DataError if a file is a link out of its folder to something of another name.

    What belongs to a model is copied and handed on: notes.txt -> ~/.ssh/id_rsa must not be. Links of the
    hub cache into its own blobs are no such thing.
    """
    home, target = directory.resolve(), file.resolve()
    if target.is_relative_to(home) or target.name == file.name:
        return
    if home.parent.name == "snapshots" and target.parent == home.parent.parent / "blobs":
        return
    raise DataError(f"{file} is a link to {target}, outside its folder; put a copy of the file in its place")


def hash_file(file: Path) -> str:
    """SHA-256 of a file's content, as `sha256sum` prints it.

    Computed once per process as long as the file's inode, size and times stay what they are. A file that
    was touched a moment ago is not remembered: a change within one tick of the clock would not show.
    """
    with file.open("rb") as stream:
        found = os.fstat(stream.fileno())
        stamp = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        if stamp in _hashes:
            return _hashes[stamp]
        settled = time.time_ns() - max(stamp[-2:]) > SETTLED_NANOSECONDS
        digest = hashlib.sha256()
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    if settled:
        _hashes[stamp] = digest.hexdigest()
    return digest.hexdigest()


def hash_files(files: Iterable[Path]) -> str:
    """SHA-256 over names and contents of files, see `combined_hash`."""
    return combined_hash({file.name: hash_file(file) for file in files})


def combined_hash(hashes: Mapping[str, str]) -> str:
    """SHA-256 over files given as {name: SHA-256}, in the order of their names.

    `sha256sum NAME ... | sha256sum` in their directory prints the same, names sorted as in LC_ALL=C.
    """
    lines = (f"{hashes[name]}  {name}\n" for name in sorted(hashes))
    return hashlib.sha256("".join(lines).encode()).hexdigest()
