"""A seeded sample of rows that are too many for the memory: one pass, every row as likely as any other."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 1000
"""Rows that are read at a time."""


class Reservoir:
    """Decides which rows of a stream of unknown length stay in a sample of `capacity` rows.

    Algorithm L of Li 1994 (ACM TOMS 20): as uniform as drawing without replacement from the whole stream,
    with random numbers only for the rows that enter, so a long stream costs no more than counting it.
    """

    def __init__(self, capacity: int, seed: int) -> None:
        import numpy as np

        self.seen = 0
        self._capacity = capacity
        self._random = np.random.default_rng(seed)
        self._weight = 1.0
        self._next = capacity
        self._skip()

    def offer(self, rows: int) -> list[tuple[int, int]]:
        """(slot, row) of those of the next `rows` rows that enter the sample; a later one evicts."""
        first, end = self.seen, self.seen + rows
        self.seen = end
        entered = [(position, position - first) for position in range(first, min(end, self._capacity))]
        while self._next < end:
            slot = int(self._random.integers(self._capacity))
            entered.append((slot, self._next - first))
            self._skip()
            self._next += 1
        return entered

    def _skip(self) -> None:
        """Move on to the next row that enters."""
        self._weight *= math.exp(self._log_uniform() / self._capacity)
        self._next += math.floor(self._log_uniform() / math.log1p(-self._weight))

    def _log_uniform(self) -> float:
        return math.log(1.0 - self._random.random())


@dataclass(frozen=True)
class StreamSample:
    """Rows drawn from a stream, in the order of the stream, as one pyarrow table; and how many it held."""

    table: pa.Table | None
    seen: int


def sample_tables(tables: Iterable[pa.Table], count: int, seed: int) -> StreamSample:
    """`count` rows of a stream of tables, or all of them if they are fewer.

    Never holds more than one of the tables, and twice `count` rows and one.
    """

    reservoir = Reservoir(count, seed)
    parts: list[pa.Table] = []
    held = 0
    places: dict[int, tuple[int, int]] = {}
    for table in tables:
        before = reservoir.seen
        for slot, row in reservoir.offer(table.num_rows):
            if held > 2 * count:
                parts, places = compacted(parts, places)
                held = count
            parts.append(table.take([row]))
            places[slot] = (before + row, held)
            held += 1
    if not parts:
        return StreamSample(None, reservoir.seen)
    return StreamSample(compacted(parts, places)[0][0], reservoir.seen)


def compacted(
    parts: list[pa.Table], places: dict[int, tuple[int, int]]
) -> tuple[list[pa.Table], dict[int, tuple[int, int]]]:
    """Only the rows that `places` names (slot to position in the stream and row held), as one table.

    They are brought into the order of the stream.
    """
    import pyarrow as pa

    ordered = sorted((position, held, slot) for slot, (position, held) in places.items())
    whole = pa.concat_tables(parts, promote_options="permissive")
    table = whole.take([held for _, held, _ in ordered]).combine_chunks()
    return [table], {slot: (position, row) for row, (position, _, slot) in enumerate(ordered)}


def sample_stream(stream: Any, count: int, seed: int) -> tuple[Any, int]:
    """`count` rows of a `datasets.IterableDataset` as a `datasets.Dataset`, and how many rows it held.

    Rows keep the order of the stream. The dataset has no rows, and no columns, where the stream has none.
    """
    import datasets

    found = sample_tables(stream.with_format("arrow").iter(batch_size=BATCH_ROWS), count, seed)
    if found.table is None:
        return datasets.Dataset.from_dict({}), 0
    rows = datasets.Dataset(found.table)
    return rows.cast(stream.features) if stream.features is not None else rows, found.seen
