"""Acceptance of the percentiles' intervals."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator

import numpy as np
from scipy.special import ndtri

from acceptance.figures import Figure, Options, procedure, share_figure
from optbench.measure.fake import FakeCalls, FakeRuntime, Shape
from optbench.measure.percentiles import interval_replicates, percentile

LEAST_COVERAGE = 0.93
LEAST_RUNS = 2000
"""A run takes a millisecond or two here, and the thresholds are close to what is true."""


@procedure
def percentiles(options: Options) -> Iterator[Figure]:
    """Intervals of percentiles: coverage over replicates with offsets; p99 only from 20 on."""
    shapes: tuple[Shape, ...] = ("lognormal", "ar1")
    for shape in shapes:
        for calls in (300, 1000, 5000):
            for replicates in (5, 10, 20):
                cell = f"{shape}, {calls} calls, R={replicates}"
                if options.includes(cell):
                    runtime = FakeRuntime(shape=shape, cv=0.03, offset_sd=0.02)
                    yield from percentile_figures(cell, runtime, calls, replicates, options)


def percentile_figures(
    cell: str, runtime: FakeRuntime, calls: int, replicates: int, options: Options
) -> Iterator[Figure]:
    """Coverage of each percentile in one cell, among the intervals that were given."""
    log_sd = math.sqrt(math.log1p(runtime.cv**2))
    both_sd = math.hypot(log_sd, runtime.offset_sd)
    held: dict[float, list[bool]] = {0.5: [], 0.9: [], 0.95: [], 0.99: []}
    runs = max(LEAST_RUNS, options.runs)
    for run in range(runs):
        rng = np.random.default_rng(options.random_state(cell, run))
        drawn = [FakeCalls(runtime, rng).draw(calls // replicates) for _ in range(replicates)]
        for q, hits in held.items():
            log_truth = math.log(runtime.call_seconds) - log_sd**2 / 2 + both_sd * ndtri(q)
            interval = percentile(q, drawn).interval
            if interval is not None:
                hits.append(interval.low <= math.exp(log_truth) <= interval.high)
    for q, hits in held.items():
        refused = 1 - len(hits) / runs
        yield percentile_figure(cell, q, hits, refused, must_refuse=replicates < interval_replicates(q))


def percentile_figure(cell: str, q: float, hits: list[bool], refused: float, *, must_refuse: bool) -> Figure:
    """One percentile: refused where it must be, else its coverage."""
    name = f"p{100 * q:g}"
    if must_refuse:
        return Figure(cell, f"{name} refused", refused, "100%", not hits)
    if not hits:
        return Figure(cell, f"{name} refused", refused, "reported", None)
    note = f"refused in {refused:.0%}" if refused else ""
    share = statistics.fmean(hits)
    return share_figure(cell, f"{name} coverage", share, len(hits), at_least=LEAST_COVERAGE, note=note)
