"""Tables of arrays on disk: rows of different lengths, by name, in one .npz file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Table = list[dict[str, NDArray[np.generic]]]
else:
    Table = list


def save_table(path: Path, rows: Sequence[Mapping[str, NDArray[np.generic]]]) -> None:
    """Write rows that share their names and numbers of dimensions; each array keeps its shape."""
    import numpy as np

    columns: dict[str, NDArray[np.generic]] = {}
    for name in rows[0]:
        arrays = [np.asarray(row[name]) for row in rows]
        columns[f"{name}/shapes"] = np.asarray([array.shape for array in arrays], dtype=np.int64)
        columns[f"{name}/values"] = np.concatenate([array.reshape(-1) for array in arrays])
    np.savez(path, **columns)  # type: ignore[arg-type]


def load_table(path: Path) -> Table:
    """The rows that `save_table` wrote."""
    import numpy as np

    with np.load(path, allow_pickle=False) as stored:
        names = [key.removesuffix("/shapes") for key in stored.files if key.endswith("/shapes")]
        columns = {}
        for name in names:
            shapes, values = stored[f"{name}/shapes"], stored[f"{name}/values"]
            ends = np.cumsum(np.prod(shapes, axis=1, dtype=np.int64))
            parts = np.split(values, ends[:-1])
            columns[name] = [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
