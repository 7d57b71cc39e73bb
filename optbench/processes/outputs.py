"""Rows on their way through a model: as batches into it, and its outputs back in the order of the rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optbench.components import Task
from optbench.rows.ragged import Table, load_table


@dataclass(frozen=True)
class Evaluation:
    """Rows to run through a variant, and where its outputs go.

    padding: what fills the end of shorter rows in a batch, by input name.
    """

    task: Task
    rows: Path
    outputs: Path
    batch_size: int
    padding: dict[str, int]

    def output(self, part: int) -> Path:
        """The file of one part of the rows."""
        return self.outputs.with_name(f"{self.outputs.name}-{part}.npz")


HIDDEN = "_"
ROW = "row"
"""Name under which each kept output carries the number of its row."""


def load_outputs(evaluation: Evaluation, parts: int) -> Table:
    """What was kept of each row's outputs, in the order of the rows."""
    found = [output for part in range(parts) for output in load_table(evaluation.output(part))]
    found.sort(key=lambda output: int(output[ROW]))
    return [{name: array for name, array in output.items() if name != ROW} for output in found]


def stack(rows: Sequence[dict[str, Any]], padding: dict[str, int]) -> dict[str, Any]:
    """Rows as one batch, padded at the end of their first axis as far as the longest needs.

    Names that begin with an underscore stay behind.
    """
    import numpy as np

    batch = {}
    for name in (name for name in rows[0] if not name.startswith(HIDDEN)):
        arrays = [row[name] for row in rows]
        longest = max(len(array) for array in arrays)
        shape = (len(arrays), longest, *arrays[0].shape[1:])
        batch[name] = np.full(shape, padding.get(name, 0), dtype=arrays[0].dtype)
        for index, array in enumerate(arrays):
            batch[name][index, : len(array)] = array
    return batch


def longest(row: dict[str, Any]) -> int:
    """Size of a row's largest model input, by which rows are sorted."""
    return max(int(array.size) for name, array in row.items() if not name.startswith(HIDDEN))
