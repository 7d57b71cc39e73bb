"""Text to model inputs, with the checkpoint's own tokenizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optbench.checkpoint import companions
from optbench.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Feed = Mapping[str, NDArray[np.generic]]


INTERNALS = (TypeError, AttributeError, LookupError, NameError, AssertionError)
"""What libraries raise where a file lacks that they expect; the message is about their code then."""


def load_tokenizer(directory: Path, trust_remote_code: bool = False) -> Any:
    """The checkpoint's tokenizer. Raises DataError."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(directory, trust_remote_code=trust_remote_code)
    except Exception as error:  # tokenizers raise their own kinds for broken files
        told = str(error)
        if isinstance(error, INTERNALS) or not told:
            names = ", ".join(file.name for file in companions(directory) if file.name != "config.json")
            told = f"{names or 'no file beside config.json'} do not make one"
        raise DataError(
            f"{directory} holds no tokenizer that can be loaded: {told}; save it beside the model "
            "with tokenizer.save_pretrained"
        ) from error


def load_fast_tokenizer(directory: Path, trust_remote_code: bool = False) -> Any:
    """The checkpoint's tokenizer, which must know where its pieces come from. Raises DataError."""
    tokenizer = load_tokenizer(directory, trust_remote_code)
    if not tokenizer.is_fast:
        raise DataError(
            f"{directory} has a slow tokenizer, which does not tell where its pieces come from; this task "
            "needs a tokenizer.json (AutoTokenizer.from_pretrained(...).save_pretrained writes one)"
        )
    return tokenizer


def padding_of(tokenizer: Any) -> dict[str, int]:
    """What fills the end of shorter rows, by input name."""
    return {name: padding_value(tokenizer, name) for name in tokenizer.model_input_names}


def texts_of_columns(rows: Any, columns: Mapping[str, str]) -> list[tuple[str, ...]]:
    """(sentence,) or (sentence, second sentence) of each row."""
    roles = [role for role in ("primary", "secondary") if role in columns]
    return list(zip(*(rows[columns[role]][:] for role in roles), strict=True))


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


def padded(rows: Sequence[Feed], tokenizer: Any) -> Feed:
    """Unpadded rows as one batch, padded on the right to the longest: int64 [batch, length]."""
    return batch_of(rows, tokenizer, max(len(row["input_ids"]) for row in rows))


def encode_batch(tokenizer: Any, texts: Sequence[Any], max_length: int | None, **options: Any) -> Any:
    """Texts, pairs or lists of words as one batch, as a pipeline encodes them: arrays [batch, length].

    One call of the tokenizer, padded on the right to the longest row, which is cut to `max_length`.
    Raises DataError where rows must be padded and the tokenizer cannot.
    """
    if len(texts) > 1 and tokenizer.pad_token is None:
        raise DataError(
            f"{tokenizer.name_or_path} has a tokenizer without a padding token, so rows cannot be answered "
            "together; set batch_size=1, or measure.scope=model"
        )
    limit = {"truncation": True, "max_length": max_length} if max_length else {}
    return tokenizer(
        list(texts),
        padding=len(texts) > 1,
        padding_side="right",
        return_tensors="np",
        **limit,
        **options,
    )


def arrays_of(encoding: Any) -> Feed:
    """The model inputs of an encoded batch: int64 [batch, length] by input name."""
    import numpy as np

    return {name: np.asarray(array, dtype=np.int64) for name, array in encoding.items()}


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


def column_kinds(rows: Any) -> dict[str, str]:
    """Column name to 'string', 'number', 'class' or 'other', from the table's own schema."""
    kinds = {}
    for name, feature in rows.features.items():
        dtype = str(getattr(feature, "dtype", ""))
        if type(feature).__name__ == "ClassLabel":
            kinds[name] = "class"
        elif dtype in {"string", "large_string", "string_view"}:
            kinds[name] = "string"
        elif dtype.startswith(("int", "uint", "float", "double", "bool")):
            kinds[name] = "number"
        else:
            kinds[name] = "other"
    return kinds


def encode(tokenizer: Any, parts: Sequence[Sequence[str]], max_length: int | None) -> list[Feed]:
    """Token ids of each row, unpadded: int64 [length] by input name.

    parts: one column of sentences, or two of pairs. Longer rows are cut to `max_length`.
    """
    import numpy as np

    limit = {"truncation": True, "max_length": max_length} if max_length else {}
    if max_length and len(parts) == 2 and tokenizer.is_fast:
        pairs = [cut_pair(tokenizer, *pair, max_length) for pair in zip(parts[0], parts[1], strict=True)]
        parts = [[one for one, _ in pairs], [two for _, two in pairs]]
    encoding = tokenizer(*map(list, parts), **limit)
    names = list(encoding.keys())
    return [
        {name: np.asarray(encoding[name][row], dtype=np.int64) for name in names}
        for row in range(len(parts[0]))
    ]


LONG_PAIR = 16
"""Characters for each token of the model's maximum from which on both texts of a pair are cut beforehand."""


def cut_pair(tokenizer: Any, one: str, two: str, max_length: int) -> tuple[str, str]:
    """Two texts without the words that truncation to `max_length` tokens drops anyway, if both are long.

    A fast tokenizer builds every piece that it cuts off, and of a pair every combination of two: two texts
    of 100 kB would take it minutes. Which text is longer stays as it was, as it gets the odd token.
    """
    if min(len(one), len(two)) <= LONG_PAIR * max_length:
        return one, two
    sides = [tokenizer(text, add_special_tokens=False, verbose=False).encodings[0] for text in (one, two)]
    swapped = len(sides[0]) > len(sides[1])
    (short, short_text), (long, long_text) = sorted(
        zip(sides, (one, two), strict=True), key=lambda side: len(side[0])
    )
    short_tokens, short_text = whole_words(short, short_text, max_length)
    _, long_text = whole_words(long, long_text, short_tokens + 1)
    return (long_text, short_text) if swapped else (short_text, long_text)


def whole_words(encoding: Any, text: str, tokens: int) -> tuple[int, str]:
    """The fewest words from the beginning that make at least so many tokens: their tokens and their text."""
    count, words = len(encoding), encoding.word_ids
    end = tokens
    while end < count and words[end] == words[end - 1]:
        end += 1
    return (count, text) if end >= count else (end, text[: encoding.offsets[end - 1][1]])
