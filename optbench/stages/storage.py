"""Raw timings on disk: calls (samples.parquet), their blocks, and the requests to a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optbench.measure.samples import Samples
from optbench.measure.server import Trial
from optbench.records import BLOCKS_FILE, REQUESTS_FILE, SAMPLES_FILE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def write_samples(directory: Path, samples: Samples) -> None:
    """Write both files; an interrupted write leaves the old ones.

    samples, a row a call: replicate, pair, block, position, index, variant, settling, nanoseconds, and
    first_token_nanoseconds where calls generate tokens, model_nanoseconds where they go from raw rows to
    answers.
    blocks: replicate, pair, block, position, variant, calls, settling_calls, wall_nanoseconds and
    cpu_nanoseconds of the counted calls, started_nanoseconds (monotonic clock), probe_nanoseconds of
    its pair.
    """
    probes = {(replicate, pair): value for replicate, pair, value in samples.probe_nanoseconds}
    parts = [name for name in PART_COLUMNS if any(getattr(one.block, name) for one in samples.blocks)]
    columns = SAMPLE_COLUMNS | {name: PART_COLUMNS[name] for name in parts}
    calls: dict[str, list[object]] = {name: [] for name in columns}
    blocks: dict[str, list[object]] = {name: [] for name in BLOCK_COLUMNS}
    for number, placed in enumerate(samples.blocks):
        block = placed.block
        place = (placed.replicate, placed.pair, number, placed.position, placed.variant)
        unknown: list[int | None] = [None] * len(block.nanoseconds)
        told = [getattr(block, name) or unknown for name in parts]
        for index, nanoseconds in enumerate(block.nanoseconds):
            row = (*place, index, index < block.settling, int(nanoseconds), *(one[index] for one in told))
            for name, value in zip(columns, row, strict=True):
                calls[name].append(value)
        totals = (
            len(block.nanoseconds),
            block.settling,
            block.counted_nanoseconds,
            block.cpu_nanoseconds,
            block.started_nanoseconds,
            probes.get((placed.replicate, placed.pair)),
        )
        for name, value in zip(BLOCK_COLUMNS, (*place, *totals), strict=True):
            blocks[name].append(value)
    write_table(directory / SAMPLES_FILE, calls, columns)
    write_table(directory / BLOCKS_FILE, blocks, BLOCK_COLUMNS)


def write_requests(directory: Path, trials: Sequence[tuple[int, str, Trial]]) -> None:
    """Write requests.parquet: one row a request, all times on one monotonic clock.

    replicate, variant, trial, rate_per_second, index, settling, intended_arrival_ns, sent_ns, start_ns,
    completion_ns.
    """
    columns: dict[str, list[object]] = {name: [] for name in REQUEST_COLUMNS}
    for number, (replicate, variant, trial) in enumerate(trials):
        times = (trial.intended_arrival_ns, trial.sent_ns, trial.start_ns, trial.completion_ns)
        for index, stamps in enumerate(zip(*(each.tolist() for each in times), strict=True)):
            place = (replicate, variant, number, trial.rate_per_second, index, index < trial.settling)
            for name, value in zip(REQUEST_COLUMNS, (*place, *stamps), strict=True):
                columns[name].append(value)
    write_table(directory / REQUESTS_FILE, columns, REQUEST_COLUMNS)


def write_table(file: Path, columns: Mapping[str, Sequence[object]], types: Mapping[str, str]) -> None:
    """Write a Parquet file with columns of the given pyarrow types, all of it or nothing."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays = [column_of(columns[name], kind) for name, kind in types.items()]
    staging = file.with_name(f".{file.name}.tmp")
    pq.write_table(pa.Table.from_arrays(arrays, names=list(types)), staging)
    staging.replace(file)


def column_of(values: Sequence[Any], kind: str) -> Any:
    """An Arrow array of whole numbers, reals, texts or truth values, some of which may be null.

    Laid out by hand (Arrow columnar format 1.5): `pyarrow.array` imports pandas, which takes 45 MB and 0.4 s
    of CPU time in the coordinator.
    """
    import numpy as np
    import pyarrow as pa

    known = np.array([value is not None for value in values], dtype=bool)
    validity = None if known.all() else bits(known)
    if kind == "string":
        texts = [b"" if value is None else value.encode() for value in values]
        offsets = np.cumsum([0, *map(len, texts)], dtype=np.int32)
        content = [pa.py_buffer(offsets.tobytes()), pa.py_buffer(b"".join(texts))]
    elif kind == "bool_":
        content = [bits(np.array([bool(value) for value in values], dtype=bool))]
    else:
        numbers = np.array([0 if value is None else value for value in values], dtype=kind)
        content = [pa.py_buffer(numbers.tobytes())]
    return pa.Array.from_buffers(getattr(pa, kind)(), len(values), [validity, *content])


def bits(values: NDArray[np.bool_]) -> Any:
    """Truth values as Arrow packs them, the first in the lowest bit."""
    import numpy as np
    import pyarrow as pa

    return pa.py_buffer(np.packbits(values, bitorder="little").tobytes())


SAMPLE_COLUMNS = {
    "replicate": "int32",
    "pair": "int32",
    "block": "int32",
    "position": "int32",
    "variant": "string",
    "index": "int32",
    "settling": "bool_",
    "nanoseconds": "int64",
}
PART_COLUMNS = {"first_token_nanoseconds": "int64", "model_nanoseconds": "int64"}
BLOCK_COLUMNS = {
    "replicate": "int32",
    "pair": "int32",
    "block": "int32",
    "position": "int32",
    "variant": "string",
    "calls": "int32",
    "settling_calls": "int32",
    "wall_nanoseconds": "int64",
    "cpu_nanoseconds": "int64",
    "started_nanoseconds": "int64",
    "probe_nanoseconds": "int64",
}
REQUEST_COLUMNS = {
    "replicate": "int32",
    "variant": "string",
    "trial": "int32",
    "rate_per_second": "float64",
    "index": "int32",
    "settling": "bool_",
    "intended_arrival_ns": "int64",
    "sent_ns": "int64",
    "start_ns": "int64",
    "completion_ns": "int64",
}
