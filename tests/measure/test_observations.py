"""Plain numbers from raw samples and counters."""

from dataclasses import replace

import numpy as np
import pytest

from optbench.measure.counters import HostCounters, ProcessCounters
from optbench.measure.observations import ReplicateCounters, observe, stall_share
from optbench.measure.samples import Block, Placed, Samples

MS = 1_000_000
START = HostCounters(0.0, 10.0, 1.0, 1_000_000, 5, 2, 2e9, {1: ("we", 1.0), 2: ("they", 3.0)})
END = HostCounters(2.0, 13.0, 1.1, 1_400_000, 8, 3, 2.5e9, {1: ("we", 3.0), 2: ("they", 4.0)})
SWITCHES = {
    "a": (ProcessCounters(5, 10), ProcessCounters(9, 30)),
    "b": (ProcessCounters(0, 0), ProcessCounters(0, 6)),
}
COUNTED = ReplicateCounters(START, END, {1}, SWITCHES)


def samples(calls=((10,) * 3, (5,) * 3), cpu_share=1.0):
    found = Samples()
    for replicate in range(4):
        for position, (name, milliseconds) in enumerate(zip(("a", "b"), calls, strict=True)):
            nanoseconds = [MS, *(value * MS for value in milliseconds)]
            block = Block(nanoseconds, 1, round(cpu_share * sum(nanoseconds[1:])), 0)
            found.extend([Placed(replicate, 0, position, name, block)])
    return found


def seen(counters=(COUNTED,), thetas=(0.7,) * 4, threads=2, calls=((10,) * 3, (5,) * 3), cpu_share=1.0):
    options = {"governor": "performance", "clock_resolution_seconds": 1e-9, "threads": threads}
    return observe(samples(calls, cpu_share), thetas, counters, **options)


def test_counters_become_rates():
    found = seen()
    assert found.others_cpu_cores == pytest.approx((3.0 - 2.0) / 2)
    assert found.psi_some_percent == pytest.approx(20.0)
    assert found.steal_percent == pytest.approx(5.0)
    assert found.involuntary_switches_per_second == 10.0
    assert found.swap_pages == 3
    assert found.throttled_periods == 1
    assert found.frequency_change == pytest.approx(0.25)
    assert found.governor == "performance"
    assert [(one.pid, one.cores) for one in found.neighbours] == [(2, 0.5)]


def test_what_no_replicate_tells_is_null():
    blind = HostCounters(0.0, None, None, None, None, None, None, {})
    counted = ReplicateCounters(blind, replace(blind, monotonic_seconds=1.0), {1}, {})
    found = seen([counted])
    for name in ("others_cpu_cores", "psi_some_percent", "steal_percent", "swap_pages", "throttled_periods"):
        assert getattr(found, name) is None
    assert found.involuntary_switches_per_second is None
    assert found.frequency_change is None


def test_rates_are_means_over_replicates_and_counts_their_sum():
    quiet = ReplicateCounters(START, replace(START, monotonic_seconds=2.0), {1}, {})
    found = seen([COUNTED, quiet])
    assert found.psi_some_percent == pytest.approx(10.0)
    assert found.swap_pages == 3


def test_waiting_for_a_core_is_told_for_one_thread_only():
    assert seen(threads=1, cpu_share=0.5).wall_over_cpu == pytest.approx(2.0)
    assert seen(threads=2, cpu_share=0.5).wall_over_cpu is None


def test_drift_counts_only_where_it_is_significant():
    assert seen().drift == 0.0
    assert seen(thetas=(0.1, 0.2, 0.3, 0.4001)).drift == pytest.approx(np.expm1(0.3), rel=1e-3)
    assert seen(thetas=(0.1, 0.3, 0.1, 0.3)).drift == 0.0


def test_two_replicates_tell_no_drift():
    assert seen(thetas=(0.1, 0.3)).drift is None


def test_the_spread_needs_two_replicates():
    assert seen(thetas=(0.7,)).replicate_sd is None
    assert seen(thetas=(0.7, 0.9)).replicate_sd == pytest.approx(np.std([0.7, 0.9], ddof=1))


def test_the_clock_is_held_against_the_faster_variant():
    assert seen().clock_resolution_share == pytest.approx(1e-9 / 0.005)


def test_stalls_are_the_share_of_time_in_calls_of_five_medians():
    assert stall_share(np.array([1.0, 1, 1, 1, 6])) == pytest.approx(0.6)
    assert stall_share(np.array([1.0, 1, 1, 1, 5])) == 0.0
    assert seen(calls=((1, 1, 1), (1, 1, 1))).stall_share == 0.0


def test_the_probe_comes_from_the_samples():
    found = samples()
    found.probe_nanoseconds = [(0, number, value) for number, value in enumerate((100, 102, 98, 100, 100))]
    numbers = observe(found, [0.7] * 4, [COUNTED], governor=None, clock_resolution_seconds=1e-9, threads=2)
    assert numbers.probe_spread == 0.0
    assert seen().probe_spread is None
