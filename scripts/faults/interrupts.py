"""Ctrl-C at every stage, killed coordinators, and two runs at once."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable

import pyarrow.parquet as pq

from faults.bench import FAKE, Bench
from faults.matrix import case
from faults.workers import RUN, SPEED
from optbench.records import RESULT_FILE

STAGES = {
    "reading the model": None,
    "reading the rows": "reading the model",
    "preparing the models": "reading the rows",
    "the cold start of the baseline": "preparing the models",
    "the cold start of the candidate": "cold start of the baseline",
    "evaluating the baseline": "cold start of the candidate",
    "evaluating the candidate": "evaluating the baseline",
    "comparing the answers": "evaluating the candidate",
    "timing both": "comparing the answers",
}
"""Stage to the line that is said when the stage before it is over."""
SLOW = ["backend.call_seconds=0.05", "baseline.backend.call_seconds=0.05", "quality.reuse=false"]
LONG = ["measure.replicates=20", "measure.max_replicates=20", "measure.replicate_seconds=5"]
KEPT_FROM = list(STAGES).index("the cold start of the candidate")


def interrupting(stage: str, before: str | None) -> Callable[[Bench], None]:
    """Steps that press Ctrl-C in a stage."""

    def steps(bench: Bench) -> None:
        running = bench.start(*RUN, *SLOW, *LONG)
        directory = bench.place / "out"
        if before is None:
            running.wait_until((directory / ".hydra").is_dir)
        else:
            running.wait_for(before)
        running.interrupt()
        ended = bench.keep(running.end(60))
        bench.expect_end(ended, 130, "interrupted")
        if list(STAGES).index(stage) < KEPT_FROM:
            bench.expect(not directory.exists(), "an empty run directory is left")
        else:
            failure = bench.result().failure
            bench.expect(failure and failure.kind == "interrupted", f"the failure is {failure}")
            bench.expect(bench.result().variants["baseline"].cold_start, "the cold start is lost")

    return steps


for _stage, _before in STAGES.items():
    case(f"Ctrl-C while {_stage}", "interrupt", 130)(interrupting(_stage, _before))


SWEEP = ["-m", "quality=none", "hydra.sweep.dir=sweep", "batch_size=1,2,3"]


@case("Ctrl-C once in a sweep", "interrupt", 130)
def interrupted_once(bench: Bench) -> None:
    """The point is finished, the rest is missing."""
    running = bench.start(*SWEEP, *FAKE)
    running.wait_until(lambda: "".join(running.said).count("reading the model") == 2)
    running.interrupt()
    ended = bench.keep(running.end())
    bench.expect_end(ended, 130, "stopping after this point")
    statuses = sorted(point.status for point in bench.rows().points)
    bench.expect(statuses == ["missing", "ok", "ok"], f"{statuses}")
    bench.expect((bench.place / "sweep" / "results.csv").is_file(), "there is no table")


@case("Ctrl-C twice in a sweep", "interrupt", 130)
def interrupted_twice(bench: Bench) -> None:
    """The point is left at once, with what it has."""
    running = bench.start(*SWEEP, *FAKE[:4], *LONG)
    running.wait_for("cold start of the candidate")
    running.interrupt()
    running.wait_for("press Ctrl-C again")
    running.interrupt()
    ended = bench.keep(running.end(60))
    bench.expect_end(ended, 130)
    points = bench.rows().points
    statuses = sorted(point.status for point in points)
    bench.expect(statuses == ["failed", "missing", "missing"], f"{statuses}")
    bench.expect(any("interrupted" in (point.reason or "") for point in points), "no row says why")


@case("SIGTERM while preparing the models", "terminated", 143)
def terminated_early(bench: Bench) -> None:
    """Nothing is measured, so nothing is left."""
    running = bench.start(*RUN, *SLOW, *LONG)
    running.wait_for("reading the rows")
    running.terminate()
    ended = bench.keep(running.end(60))
    bench.expect_end(ended, 143, "terminated (SIGTERM)", "nothing is left")
    bench.expect(not (bench.place / "out").exists(), "an empty run directory is left")


@case("SIGTERM while timing both", "terminated", 143)
def terminated_late(bench: Bench) -> None:
    """What was measured is kept, with its page."""
    running = bench.start(*RUN, *SLOW, *LONG)
    running.wait_for("comparing the answers")
    running.terminate()
    ended = bench.keep(running.end(60))
    bench.expect_end(ended, 143, "failed: terminated (SIGTERM)")
    failure = bench.result().failure
    bench.expect(failure and failure.stage == "timing", f"the failure is {failure}")
    bench.expect(bench.result().quality is not None, "the quality is lost")
    bench.expect((bench.place / "out" / "report.html").is_file(), "there is no page")


@case("SIGTERM in a sweep, then resume=", "terminated", 143)
def terminated_sweep(bench: Bench) -> None:
    """The point that runs is left at once, the rest does not start, and the way on is told."""
    running = bench.start(*SWEEP, *FAKE[:4], *LONG)
    running.wait_for("cold start of the candidate")
    running.terminate()
    ended = bench.keep(running.end(60))
    bench.expect_end(ended, 143, f"resume={bench.place / 'sweep'}")
    points = bench.rows().points
    statuses = sorted(point.status for point in points)
    bench.expect(statuses == ["failed", "missing", "missing"], f"{statuses}")
    bench.expect(any("terminated" in (point.reason or "") for point in points), "no row says why")


@case("two runs in one directory", "host", 2)
def two_in_one_directory(bench: Bench) -> None:
    """The second one is refused and the first one is whole."""
    first = bench.start(*SPEED)
    first.wait_for("reading the model")
    second = bench.run(*SPEED)
    bench.expect_end(second, 2, f"pid {first.process.pid}")
    bench.expect_end(first.end(), 0)
    bench.expect(bench.result().status == "ok", "the first run is not whole")


@case("coordinator killed, then run again", "killed", 0)
def coordinator_killed(bench: Bench) -> None:
    """Its children die with it, the result is whole, and the same directory can be used again."""
    running = bench.start(*RUN, *LONG)
    running.wait_for("comparing the answers")
    running.process.send_signal(signal.SIGKILL)
    ended = bench.keep(running.end(60))
    bench.expect(ended.code == -signal.SIGKILL, f"it ended with {ended.code}")
    bench.expect(not bench.orphans(), "children outlive their coordinator")
    failure = bench.result().failure
    bench.expect(failure and "has not come to its end" in failure.message, f"the failure is {failure}")
    bench.expect(bench.result().quality is not None, "the quality is lost")
    bench.expect_end(bench.run(*RUN), 0)
    bench.expect(bench.result().status == "ok", "the second run is not whole")


@case("coordinator killed in a sweep, then a larger grid with resume=", "killed", 0)
def sweep_killed(bench: Bench) -> None:
    """What was finished is taken over, what was begun or failed is measured, and the grid may grow."""
    sweep = ["-m", *FAKE, "quality=none"]
    running = bench.start(
        *sweep, "hydra.sweep.dir=sweep", "batch_size=1,2,3,4", faults={"1x8": "kill@10", "2x8": "kill@10"}
    )

    def statuses(name: str = "sweep") -> list[str]:
        return sorted(point.status for point in bench.rows(name).points)

    directory = bench.place / "sweep"
    running.wait_until(lambda: len(list(directory.glob(f"*/{RESULT_FILE}"))) >= 3)
    running.process.send_signal(signal.SIGKILL)
    bench.keep(running.end(60))
    for work in directory.glob("*/.work"):
        shutil.rmtree(work)  # a killed process cannot tidy up
    before = bench.rows("sweep")
    bench.expect(len(before.points) == 4, f"{len(before.points)} rows instead of 4")
    done = before.counts.get("ok", 0)
    bench.expect(done and before.counts.get("failed", 0), f"the first sweep has {before.counts}")
    grown = [*sweep, "hydra.sweep.dir=again", "batch_size=1,2,3,4,5,6", "resume=sweep"]
    ended = bench.run(*grown, faults={})
    bench.expect_end(ended, 0)
    bench.expect(statuses("again") == ["ok"] * 6, f"the second sweep has {statuses('again')}")
    taken = ended.err.count("taken over from")
    bench.expect(taken == done, f"{taken} points were taken over, {done} were finished")


@case("two runs on one host at once", "host", 0)
def two_at_once(bench: Bench) -> None:
    """The host's lock keeps them from timing each other."""
    first = bench.start(*SPEED[:-1], "hydra.run.dir=one")
    second = bench.start(*SPEED[:-1], "hydra.run.dir=two")
    for running in (first, second):
        bench.expect_end(bench.keep(running.end()), 0)
    spans = sorted(timed_span(bench, name) for name in ("one", "two"))
    bench.expect(spans[0][1] <= spans[1][0], f"the timings overlap: {spans}")


def timed_span(bench: Bench, name: str) -> tuple[int, int]:
    """Start of the first block and end of the last one, on the monotonic clock that all processes share."""
    blocks = pq.read_table(bench.place / name / "blocks.parquet").to_pandas()
    ends = blocks.started_nanoseconds + blocks.wall_nanoseconds
    return int(blocks.started_nanoseconds.min()), int(ends.max())
