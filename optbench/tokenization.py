"""Text to model inputs, with the checkpoint's own tokenizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optbench.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Feed = Mapping[str, NDArray[np.generic]]


def load_tokenizer(directory: Path) -> Any:
    """The checkpoint's tokenizer. Raises DataError."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(directory)
    except Exception as error:  # tokenizers raise their own kinds for broken files
        raise DataError(
            f"{directory} holds no tokenizer that can be loaded: {error}; save it beside the model "
            "with tokenizer.save_pretrained"
        ) from error


def texts_of_columns(rows: Any, columns: Mapping[str, str]) -> list[tuple[str, ...]]:
    """(sentence,) or (sentence, second sentence) of each row. Raises DataError at the first that lacks."""
    roles = [role for role in ("primary", "secondary") if role in columns]
    parts = [rows[columns[role]][:] for role in roles]
    for role, part in zip(roles, parts, strict=True):
        for row, value in enumerate(part):
            if not isinstance(value, str):
                raise DataError(
                    f"dataset.data_keys.{role}={columns[role]} must hold text, found {value!r} in row {row}"
                )
    return list(zip(*parts, strict=True))


def random_feed(tokenizer: Any, shape: tuple[int, int], seed: int) -> Feed:
    """Uniform random ordinary tokens, no padding: int64 [batch, length] for each model input."""
    import numpy as np

    ordinary = np.setdiff1d(np.arange(len(tokenizer)), tokenizer.all_special_ids)
    ids = np.random.default_rng(seed).choice(ordinary, size=shape)
    fixed = {
        "input_ids": ids.astype(np.int64),
        "attention_mask": np.ones(shape, dtype=np.int64),
        "token_type_ids": np.zeros(shape, dtype=np.int64),
    }
    return {name: fixed[name] for name in tokenizer.model_input_names}


def batch_of(rows: Sequence[Feed], tokenizer: Any, length: int) -> Feed:
    """Unpadded rows as one batch, padded on the right to `length`: int64 [batch, length]."""
    import numpy as np

    batch: dict[str, NDArray[np.generic]] = {}
    for name in rows[0]:
        values = np.full((len(rows), length), padding_value(tokenizer, name), dtype=np.int64)
        for index, row in enumerate(rows):
            values[index, : len(row[name])] = row[name]
        batch[name] = values
    return batch


def padding_value(tokenizer: Any, name: str) -> int:
    """What fills the end of a shorter row, by input name."""
    if name == "input_ids":
        return int(tokenizer.pad_token_id or 0)
    return int(tokenizer.pad_token_type_id) if name == "token_type_ids" else 0


def by_length(lengths: Sequence[int]) -> list[str]:
    """Each row's quarter by length in characters, named by its range."""
    import numpy as np

    edges = np.unique(np.quantile(lengths, [0.25, 0.5, 0.75]))
    quarter = np.searchsorted(edges, lengths, side="left")
    values = np.asarray(lengths)
    ranges = {int(q): (values[quarter == q].min(), values[quarter == q].max()) for q in np.unique(quarter)}
    return [f"{ranges[q][0]} to {ranges[q][1]} characters" for q in quarter.tolist()]
