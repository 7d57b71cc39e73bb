"""Sweeps that cannot die: points that break are rows, and resume= measures only those again."""

from __future__ import annotations

import json
from pathlib import Path

from faults.bench import FAKE, Bench
from faults.matrix import case
from optbench.records import RESULT_FILE, Aggregate, Point

QUICK = ["measure=quick", "measure.replicate_seconds=0.3", "measure.warmup_seconds=1"]
QUICK += ["baseline=fake", "quant=none", "quality=none", "measure.cold_start=false"]
GRID = ["-m", *QUICK, "backend=faulty,onnxruntime", "batch_size=1,2,4", "input_length=8,12,16,24"]
BROKEN = {"1x8": "raise@15", "2x16": "kill@15", "4x24": "hang@15"}
TWO = ["-m", *FAKE, "quality=none", "batch_size=1,2"]


def at(rows: Aggregate, backend: str, shape: str) -> Point:
    """The row of a point."""
    for point in rows.points:
        axes = point.axes
        if (axes["backend"], f"{axes['batch_size']}x{axes['input_length']}") == (backend, shape):
            return point
    raise AssertionError(f"{backend} {shape} has no row")


@case("24 points: one raises, one is killed, one hangs; resume= mends them", "sweep", 0)
def twenty_four_points(bench: Bench) -> None:
    """Half of the points are real ones: the demo in ONNX Runtime."""
    bench.expect_end(bench.run(*QUICK, "backend=onnxruntime", "hydra.run.dir=first"), 0)
    limit = "run.timeout_seconds=60"
    ended = bench.run(*GRID, limit, "hydra.sweep.dir=sweep", faults=BROKEN)
    bench.expect_end(ended, 3)
    rows = bench.rows()
    bench.expect(len(rows.points) == 24, f"{len(rows.points)} rows instead of 24")
    bench.expect(rows.counts == {"ok": 21, "failed": 3}, f"the points are {rows.counts}")
    told = {"1x8": "told to break", "2x16": "SIGKILL", "4x24": "run.timeout_seconds=60"}
    for shape, words in told.items():
        row = at(rows, "faulty", shape)
        bench.expect(row.status == "failed", f"{shape} is {row.status}")
        bench.expect(words in (row.reason or ""), f"{shape}: {row.reason}")
        bench.expect(row.log is not None, f"{shape} has no log")
        bench.expect(row.reason and row.reason[:60] in ended.out, f"{shape}: its reason is not in the table")
    more = "run.timeout_seconds=240"
    again = bench.run(*GRID, more, "hydra.sweep.dir=again", "resume=sweep", faults={})
    bench.expect_end(again, 0)
    bench.expect(bench.rows("again").counts == {"ok": 24}, f"the points are {bench.rows('again').counts}")
    bench.expect(again.err.count("taken over from") == 21, f"{again.err.count('taken over from')} taken over")
    measured = [point for point in (bench.place / "again").glob(f"*/{RESULT_FILE}") if not taken_over(point)]
    bench.expect(len(measured) == 3, f"{len(measured)} points were measured again")


def taken_over(file: Path) -> bool:
    """Whether a result says that it was not measured again."""
    return "taken over from" in file.read_text()


@case("half-written result.json in a sweep", "sweep", 0)
def half_written(bench: Bench) -> None:
    """The row says that it is damaged, the table stands, and resume= measures that point alone."""
    bench.expect_end(bench.run(*TWO, "hydra.sweep.dir=sweep", faults={}), 0)
    file = bench.place / "sweep" / "1" / RESULT_FILE
    file.write_bytes(file.read_bytes()[:1000])
    shown = bench.tool("aggregate", "sweep")
    bench.expect_end(shown, 0)
    bench.expect("damaged" in shown.out, "the table does not say that it is damaged")
    bench.expect(bench.rows().counts == {"ok": 1, "unreadable": 1}, f"the points are {bench.rows().counts}")
    again = bench.run(*TWO, "hydra.sweep.dir=again", "resume=sweep", faults={})
    bench.expect_end(again, 0)
    bench.expect(again.err.count("taken over from") == 1, "not exactly the whole one was taken over")


@case("results of an older and of a newer schema", "sweep", 0)
def other_schemas(bench: Bench) -> None:
    """An older result is read, one of the future has a row that says what to do."""
    bench.expect_end(bench.run(*TWO, "hydra.sweep.dir=sweep", faults={}), 0)
    older, newer = (bench.place / "sweep" / name / RESULT_FILE for name in ("0", "1"))
    record = json.loads(older.read_bytes())
    needed = ["optbench_version", "status", "started_at", "command", "config", "config_hash", "environment"]
    needed += ["variants", "comparisons"]
    older.write_text(json.dumps({"schema_version": 1} | {key: record[key] for key in needed}))
    newer.write_text(json.dumps(json.loads(newer.read_bytes()) | {"schema_version": 99}))
    shown = bench.tool("aggregate", "sweep")
    bench.expect_end(shown, 0)
    bench.expect("upgrade optbench" in shown.out, "the table does not say to upgrade")
    bench.expect(bench.rows().counts == {"ok": 1, "unreadable": 1}, f"the points are {bench.rows().counts}")
