"""Workers that die, hang or break, and points that take too long."""

from __future__ import annotations

from pathlib import Path

from faults.bench import FAKE, Bench, Unfit
from faults.matrix import case

RUN = [*FAKE, "quality.max_eval_samples=64", "hydra.run.dir=out"]
SPEED = [*FAKE, "quality=none", "hydra.run.dir=out"]
LATE = "@90"
"""A call of a timed worker that comes after its warm-up and some blocks."""


def breaks_while_timed(bench: Bench, fault: str, *words: str, options: tuple[str, ...] = ()) -> None:
    """A worker breaks in the middle of the timing: everything before is kept, the blocks too."""
    ended = bench.run(*RUN, *options, faults={"1x8": fault + LATE})
    bench.expect_end(ended, 3, *words)
    result = bench.result()
    bench.expect(result.status == "failed", f"the status is {result.status}")
    bench.expect(result.failure and result.failure.stage == "timing", f"the stage is {result.failure}")
    bench.expect(result.quality is not None, "the quality is lost")
    bench.expect(result.variants["baseline"].cold_start, "the cold start is lost")
    bench.expect(result.variants["baseline"].latency, "the latencies are lost")
    bench.expect((bench.place / "out" / "samples.parquet").is_file(), "the samples are lost")
    bench.expect(str(Path("out") / "result.json") in ended.err, "the result's path is not said")


@case("worker killed (SIGKILL)", "worker", 3)
def killed(bench: Bench) -> None:
    """As by an impatient user."""
    breaks_while_timed(bench, "kill", "candidate process", "SIGKILL", "lack of memory")


@case("worker crashed (SIGSEGV)", "worker", 3)
def crashed(bench: Bench) -> None:
    """A native library reads where nothing is."""
    breaks_while_timed(bench, "crash", "candidate process", "SIGSEGV", "crash inside a native library")


@case("worker out of memory (RLIMIT_AS)", "worker", 3)
def exhausted(bench: Bench) -> None:
    """An allocation is refused."""
    breaks_while_timed(bench, "exhaust", "candidate", "ran out of memory", "batch_size")


@case("worker killed by the kernel for memory (cgroup)", "worker", 3)
def killed_for_memory(bench: Bench) -> None:
    """A control group of 32 MiB."""
    try:
        breaks_while_timed(bench, "oom", "candidate process", "SIGKILL", "lack of memory")
    finally:
        remove_groups()
    log = (bench.place / "out" / "optbench.log").read_text()
    if any(word in log for word in ("Read-only file system", "Permission denied", "nothing refused")):
        raise Unfit("no control group can be made here")


def remove_groups() -> None:
    """Remove the control groups of dead workers."""
    for place in (Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")):
        for group in place.glob("optbench-fault-*"):
            if not (group / "cgroup.procs").read_text().strip():
                group.rmdir()


@case("worker hung (measure.timeout_seconds)", "worker", 3)
def hung(bench: Bench) -> None:
    """A call that never returns."""
    breaks_while_timed(
        bench,
        "hang",
        "candidate process",
        "did not answer within 2 s",
        "measure.timeout_seconds",
        options=("measure.timeout_seconds=2",),
    )


@case("worker raised", "worker", 3)
def raised(bench: Bench) -> None:
    """An error that nobody foresaw, with its traceback in the log only."""
    breaks_while_timed(bench, "raise", "RuntimeError: the runtime was told to break", "optbench.log")
    bench.expect("Traceback" in (bench.place / "out" / "optbench.log").read_text(), "no traceback in the log")


def times_out(bench: Bench, stage: str, *options: str, faults: dict[str, str], kept: bool = True) -> None:
    """The point is over its time: what it has is kept, and the message names stage and key."""
    ended = bench.run(*options, faults=faults)
    bench.expect_end(ended, 3, "run.timeout_seconds=", f"in its stage '{stage}'", "raise run.timeout_seconds")
    result = bench.result()
    bench.expect(result.status == "failed", f"the status is {result.status}")
    bench.expect(result.failure and result.failure.kind == "TimedOut", f"the failure is {result.failure}")
    bench.expect(bool(result.variants) == kept, f"variants: {list(result.variants)}")


@case("run.timeout_seconds while a worker hangs", "timeout", 3)
def timed_out_in_timing(bench: Bench) -> None:
    """The coordinator waits in a read."""
    limit = "run.timeout_seconds=30"
    times_out(bench, "timing", *SPEED, limit, faults={"1x8": "hang" + LATE})
    bench.expect(bench.result().variants["baseline"].latency, "the latencies are lost")


@case("run.timeout_seconds while evaluating", "timeout", 3)
def timed_out_in_evaluation(bench: Bench) -> None:
    """The coordinator waits for several workers."""
    limit = "run.timeout_seconds=30"
    times_out(bench, "evaluation of the candidate", *RUN, limit, faults={"evaluation": "hang"})


@case("run.timeout_seconds while preparing", "timeout", 3)
def timed_out_in_preparation(bench: Bench) -> None:
    """A preparation process that never ends."""
    limit = "run.timeout_seconds=6"
    times_out(bench, "preparation", *SPEED, "graph=stuck", limit, faults={}, kept=False)


@case("run.timeout_seconds while the coordinator hangs", "timeout", 3)
def timed_out_in_coordinator(bench: Bench) -> None:
    """A plug-in that waits for ever where no child can be ended."""
    limit = "run.timeout_seconds=2"
    times_out(bench, "configuration", *SPEED, limit, faults={"coordinator": "hang"}, kept=False)


@case("run.timeout_seconds while another run is timed", "timeout", 3)
def timed_out_at_the_lock(bench: Bench) -> None:
    """The host's lock is held by somebody else."""
    from filelock import FileLock

    bench.environment()
    with FileLock(bench.place / "tmp" / "optbench-timing.lock"):
        times_out(bench, "timing", *SPEED, "run.timeout_seconds=10", faults={})
