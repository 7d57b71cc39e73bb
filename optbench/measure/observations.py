"""Plain numbers about a measurement and its machine, from raw samples and counters: no judgement here."""

from __future__ import annotations

import statistics as stats
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optbench.measure.counters import (
    HostCounters,
    Neighbour,
    ProcessCounters,
    busiest_others,
    others_cpu_cores,
    probe_spread,
)
from optbench.measure.samples import Samples
from optbench.measure.statistics import drift, outlier_share, replicate_sd

SIGNIFICANT = 0.05
STALL_FACTOR = 5.0
"""A call that takes so many times the median has met something that is not the model."""


@dataclass(frozen=True)
class ReplicateCounters:
    """What was read around the timed blocks of one replicate."""

    before: HostCounters
    after: HostCounters
    own_pids: Collection[int]
    processes: Mapping[str, tuple[ProcessCounters, ProcessCounters]]


@dataclass(frozen=True)
class Observations:
    """Plain numbers behind the signals; null where the machine does not offer them.

    Shares are of one; drift is zero unless it is significant, and null below three replicates.
    """

    others_cpu_cores: float | None = None
    neighbours: tuple[Neighbour, ...] = ()
    psi_some_percent: float | None = None
    steal_percent: float | None = None
    involuntary_switches_per_second: float | None = None
    probe_spread: float | None = None
    wall_over_cpu: float | None = None
    drift: float | None = None
    replicate_sd: float | None = None
    frequency_change: float | None = None
    governor: str | None = None
    throttled_periods: int | None = None
    swap_pages: int | None = None
    clock_resolution_share: float | None = None
    outlier_share: float | None = None
    stall_share: float | None = None


def observe(
    samples: Samples,
    thetas: Sequence[float],
    counters: Sequence[ReplicateCounters],
    *,
    governor: str | None,
    clock_resolution_seconds: float,
    threads: int,
) -> Observations:
    """What the raw samples and the counters of each replicate show; the worse variant counts."""
    variants = samples.variants()
    seconds = [samples.counted_seconds(name) for name in variants]
    moved = drift(thetas)
    drifted = None
    if moved is not None:
        drifted = abs(moved.relative_change) if moved.p_value < SIGNIFICANT else 0.0
    neighbours = [
        neighbour
        for counted in counters
        for neighbour in busiest_others(counted.before, counted.after, counted.own_pids)
    ]
    return Observations(
        others_cpu_cores=mean_of(counters, others_of),
        neighbours=tuple(sorted(neighbours, key=lambda neighbour: -neighbour.cores)[:5]),
        psi_some_percent=mean_of(counters, psi_of),
        steal_percent=mean_of(counters, steal_of),
        involuntary_switches_per_second=mean_of(counters, switches_of),
        probe_spread=probe_spread([value for _, _, value in samples.probe_nanoseconds]),
        wall_over_cpu=max(waited(samples, name) for name in variants) if threads == 1 else None,
        drift=drifted,
        replicate_sd=replicate_sd(thetas) if len(thetas) > 1 else None,
        frequency_change=frequency_change(counters),
        governor=governor,
        throttled_periods=rise(counters, lambda host: host.throttled_periods),
        swap_pages=rise(counters, lambda host: host.swap_pages),
        clock_resolution_share=clock_resolution_seconds / min(float(np.median(each)) for each in seconds),
        outlier_share=max(outlier_share(samples, name) for name in variants),
        stall_share=max(map(stall_share, seconds)),
    )


def stall_share(seconds: NDArray[np.float64]) -> float:
    """Share of the time [calls] that went into calls of more than five times the median."""
    return float(seconds[seconds > STALL_FACTOR * np.median(seconds)].sum() / seconds.sum())


def waited(samples: Samples, variant: str) -> float:
    """Wall over CPU time of a variant; 1 for a thread that never waited for a core."""
    totals = samples.totals(variant)
    return sum(item.wall_seconds for item in totals) / max(1e-9, sum(item.cpu_seconds for item in totals))


def elapsed_seconds(counted: ReplicateCounters) -> float:
    """Wall clock between the two snapshots."""
    return max(1e-9, counted.after.monotonic_seconds - counted.before.monotonic_seconds)


def mean_of(
    counters: Sequence[ReplicateCounters], value: Callable[[ReplicateCounters], float | None]
) -> float | None:
    """Mean over replicates; null where the machine does not tell."""
    known = [found for counted in counters if (found := value(counted)) is not None]
    return stats.fmean(known) if known else None


def others_of(counted: ReplicateCounters) -> float | None:
    """Cores used by everything that is not ours."""
    return others_cpu_cores(counted.before, counted.after, counted.own_pids)


def psi_of(counted: ReplicateCounters) -> float | None:
    """Percent of the time in which some task waited for a CPU."""
    before, after = counted.before.psi_some_microseconds, counted.after.psi_some_microseconds
    if before is None or after is None:
        return None
    return 100 * (after - before) / 1e6 / elapsed_seconds(counted)


def steal_of(counted: ReplicateCounters) -> float | None:
    """Percent of one core's time that the hypervisor took."""
    before, after = counted.before.steal_seconds, counted.after.steal_seconds
    if before is None or after is None:
        return None
    return 100 * (after - before) / elapsed_seconds(counted)


def switches_of(counted: ReplicateCounters) -> float | None:
    """Involuntary switches per second of the variant that had more."""
    rates = [
        (after.involuntary_switches - before.involuntary_switches) / elapsed_seconds(counted)
        for before, after in counted.processes.values()
        if before.involuntary_switches is not None and after.involuntary_switches is not None
    ]
    return max(rates, default=None)


def rise(counters: Sequence[ReplicateCounters], value: Callable[[HostCounters], int | None]) -> int | None:
    """How far a counter rose over all replicates; null where the machine does not offer it."""
    pairs = [(value(counted.before), value(counted.after)) for counted in counters]
    known = [after - before for before, after in pairs if before is not None and after is not None]
    return sum(known) if known else None


def frequency_change(counters: Sequence[ReplicateCounters]) -> float | None:
    """Largest relative difference between the frequencies that were read."""
    read = [host.frequency_hertz for counted in counters for host in (counted.before, counted.after)]
    known = [value for value in read if value]
    return max(known) / min(known) - 1 if known else None
