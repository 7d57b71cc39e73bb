"""Raw timings on disk: samples.parquet, one row a call, and blocks.parquet, one row a block."""

from __future__ import annotations

from pathlib import Path

from optbench.measure.samples import Samples

SAMPLES_FILE = "samples.parquet"
BLOCKS_FILE = "blocks.parquet"


def write_samples(directory: Path, samples: Samples) -> None:
    """Write both files; an interrupted write leaves the old ones.

    samples: replicate, pair, block, position, index, variant, settling, nanoseconds,
    intended_arrival_ns (null in closed loop). blocks: replicate, pair, block, position, variant,
    calls, settling_calls, wall_nanoseconds and cpu_nanoseconds of the counted calls,
    started_nanoseconds (monotonic clock), probe_nanoseconds of its pair.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    probes = {(replicate, pair): value for replicate, pair, value in samples.probe_nanoseconds}
    calls: dict[str, list[object]] = {name: [] for name in SAMPLE_COLUMNS}
    blocks: dict[str, list[object]] = {name: [] for name in BLOCK_COLUMNS}
    for number, placed in enumerate(samples.blocks):
        block = placed.block
        place = (placed.replicate, placed.pair, number, placed.position, placed.variant)
        for index, nanoseconds in enumerate(block.nanoseconds):
            row = (*place, index, index < block.settling, int(nanoseconds), None)
            for name, value in zip(SAMPLE_COLUMNS, row, strict=True):
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
    for file, columns, types in (
        (SAMPLES_FILE, calls, SAMPLE_COLUMNS),
        (BLOCKS_FILE, blocks, BLOCK_COLUMNS),
    ):
        schema = pa.schema([(name, getattr(pa, kind)()) for name, kind in types.items()])
        staging = directory / f".{file}.tmp"
        pq.write_table(pa.table(columns, schema=schema), staging)
        staging.replace(directory / file)


SAMPLE_COLUMNS = {
    "replicate": "int32",
    "pair": "int32",
    "block": "int32",
    "position": "int32",
    "variant": "string",
    "index": "int32",
    "settling": "bool_",
    "nanoseconds": "int64",
    "intended_arrival_ns": "int64",
}
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
