"""Full and read-only disks, damaged models and cache entries, a clock that jumps."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from faults.bench import Bench, Unfit, mounted
from faults.matrix import case
from faults.workers import RUN, SPEED
from optbench.artifacts.entries import FOLDER
from optbench.locations import package_file
from optbench.records import read_result

REAL = [
    "measure=quick",
    "measure.replicate_seconds=0.3",
    "measure.warmup_calls=2",
    "measure.warmup_seconds=0.5",
    "quality=none",
    "hydra.run.dir=out",
]
"""A short run of real runtimes on the demo's model."""
JUMPING_CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/time.h>
#include <time.h>

static double real_monotonic(void) {
    static int (*next)(clockid_t, struct timespec *);
    struct timespec now;
    if (!next) next = dlsym(RTLD_NEXT, "clock_gettime");
    next(CLOCK_MONOTONIC, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

/* Every second the time of day falls back by an hour. */
static long lag(void) { return 3600L * (long)real_monotonic(); }

int clock_gettime(clockid_t clock, struct timespec *into) {
    static int (*next)(clockid_t, struct timespec *);
    if (!next) next = dlsym(RTLD_NEXT, "clock_gettime");
    int done = next(clock, into);
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) into->tv_sec -= lag();
    return done;
}

int gettimeofday(struct timeval *into, void *zone) {
    static int (*next)(struct timeval *, void *);
    if (!next) next = dlsym(RTLD_NEXT, "gettimeofday");
    int done = next(into, zone);
    into->tv_sec -= lag();
    return done;
}

time_t time(time_t *into) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (into) *into = now.tv_sec;
    return now.tv_sec;
}
"""


@case("disk full in the output folder", "disk", 3)
def output_full(bench: Bench) -> None:
    """The raw samples no longer fit; the answer is kept, and the message says what to do."""
    with mounted(bench.place / "small", "size=100k") as small:
        ended = bench.run(*SPEED[:-1], *LONG_SAMPLES, f"hydra.run.dir={small / 'out'}", faults={})
        bench.expect_end(ended, 3, "No space left on device", "free space there", "hydra.run.dir=DIR")
        kept = [file for file in [small / "out" / "result.json", *rescued(bench)] if file.is_file()]
        results = [read_result(file) for file in kept]
        bench.expect(
            any(r.variants["candidate"].latency for r in results if r.variants), "the answer is lost"
        )


LONG_SAMPLES = ["backend.call_seconds=0.0002", "baseline.backend.call_seconds=0.0002"]
LONG_SAMPLES += ["measure.replicates=4", "measure.max_replicates=4", "measure.replicate_seconds=2"]


def rescued(bench: Bench) -> list[Path]:
    """Results that were written into the temporary folder."""
    return list((bench.place / "tmp").glob("optbench-result-*/result.json"))


@case("disk full in the cache folder", "disk", 2)
def cache_full(bench: Bench) -> None:
    """The export does not fit; no half entry is left."""
    with mounted(bench.place / "cache", "size=1m") as cache:
        ended = bench.run(*REAL, "baseline=fake", "quant=none")
        bench.expect_end(
            ended, 2, "disk of the artifact cache", "is full", "OPTBENCH_CACHE_DIR", "cache clear"
        )
        left = [path for path in (cache / FOLDER).iterdir() if path.suffix != ".lock"]
        bench.expect(not left, f"the cache holds {left}")


@contextlib.contextmanager
def read_only(place: Path) -> Iterator[Path]:
    """A folder that nothing can be written to, for root neither."""
    if hasattr(os, "geteuid") and os.geteuid() != 0:
        place.mkdir(mode=0o500)
        yield place
        place.chmod(0o700)
        return
    with mounted(place, "size=64k,ro"):
        yield place


@case("read-only output folder", "disk", 2)
def output_read_only(bench: Bench) -> None:
    """Refused before anything is done."""
    with read_only(bench.place / "closed") as place:
        ended = bench.run(*SPEED[:-1], f"hydra.run.dir={place / 'out'}")
        bench.expect_end(ended, 2, "hydra.run.dir", "is not writable", "choose another")


@case("read-only cache folder", "disk", 2)
def cache_read_only(bench: Bench) -> None:
    """What needs no entry runs; an export says where to go instead."""
    with read_only(bench.place / "cache"):
        bench.expect_end(bench.run(*RUN, faults={}), 0)
        shutil.rmtree(bench.place / "out")
        ended = bench.run(*REAL, "baseline=fake", "quant=none")
        bench.expect_end(ended, 2, "artifact cache", "cannot be written", "OPTBENCH_CACHE_DIR")


@case("time of day falls back again and again", "clock", 0)
def clock_jumps(bench: Bench) -> None:
    """Durations come from monotonic clocks, so nothing is negative and nothing waits for ever."""
    source, library = bench.place / "clock.c", bench.place / "clock.so"
    source.write_text(JUMPING_CLOCK)
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise Unfit("there is no C compiler to build a jumping clock with")
    built = subprocess.run(
        [compiler, "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"],
        capture_output=True,
        check=False,
    )
    if built.returncode:
        raise Unfit(f"the jumping clock does not compile: {built.stderr.decode()[:200]}")
    bench.own["LD_PRELOAD"] = str(library)
    bench.expect_end(bench.run(*RUN, "run.timeout_seconds=600", faults={}), 0)
    result = bench.result()
    bench.expect(min(result.stage_seconds.values()) >= 0, f"{result.stage_seconds}")
    bench.expect(result.timing and 0 < result.timing.measuring_seconds < 60, "the timing's seconds are wrong")
    speedup = result.comparison.speedup.value if result.comparison else 0
    bench.expect(0.5 < speedup < 2, f"two equal fakes differ by {speedup}")


@case("corrupt model file (safetensors)", "files", 2)
def corrupt_model(bench: Bench) -> None:
    """The file is named, and nothing is measured."""
    model = bench.place / "model"
    shutil.copytree(package_file("demo/tiny-sentiment"), model)
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    ended = bench.run(*REAL, "backend=pytorch", "quant=none", f"model.path={model}")
    bench.expect_end(ended, 2, "model.safetensors")


@case("truncated ONNX artifact", "files", 2)
def truncated_artifact(bench: Bench) -> None:
    """The file is named, and nothing is measured."""
    given = bench.place / "given"
    given.mkdir()
    (given / "model.onnx").write_bytes(b"\x08\x08\x12\x07pytorch" + b"\0" * 100)
    ended = bench.run(*REAL, "baseline=fake", "quant=none", f"artifact={given}")
    bench.expect_end(ended, 2, "model.onnx")


@case("poisoned cache entry", "files", 0)
def poisoned_entry(bench: Bench) -> None:
    """The entry is made anew, and the result says so."""
    arguments = [*REAL, "baseline=fake", "quant=none"]
    bench.expect_end(bench.run(*arguments), 0)
    (model,) = (bench.place / "cache" / FOLDER).glob("export-*/model.onnx")
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)
    bench.expect_end(bench.run(*arguments), 0)
    notes = " ".join(bench.result().notes)
    bench.expect("made anew: model.onnx has changed" in notes, f"the notes are {notes}")
    bench.expect(bench.tool("cache", "verify").code == 0, "the cache is not whole afterwards")
