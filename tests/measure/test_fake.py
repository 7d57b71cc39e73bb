"""The made-up runtime is the ruler of the acceptance checks, so it is held against theory here."""

import math
import random
import statistics as plain
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optbench.measure.fake import Contention, FakeCalls, FakeMachine, FakeRuntime, VirtualClock
from optbench.measure.samples import Samples
from optbench.measure.schedule import BlockPlan, WarmupRule, run_replicate
from optbench.measure.statistics import throughput

MS = 1_000_000


def draw(runtime, count, seed=0):
    return FakeCalls(runtime, np.random.default_rng(seed)).draw(count)


def machine(runtime=None, seed=0, **settings):
    return FakeMachine({"a": runtime or FakeRuntime(shape="constant")}, seed, **settings)


# durations


@pytest.mark.parametrize("shape", ["constant", "lognormal", "ar1", "bimodal"])
def test_call_seconds_is_the_mean_of_every_shape(shape):
    calls = draw(FakeRuntime(call_seconds=0.02, shape=shape, cv=0.1), 50_000)
    assert calls.mean() == pytest.approx(0.02, rel=0.005)


def test_lognormal_calls_have_the_coefficient_of_variation_asked_for():
    calls = draw(FakeRuntime(cv=0.2), 50_000)
    assert calls.std() / calls.mean() == pytest.approx(0.2, rel=0.03)


def test_ar1_calls_keep_their_spread_and_have_the_correlation_asked_for():
    logs = np.log(draw(FakeRuntime(shape="ar1", cv=0.05, autocorrelation=0.5), 50_000))
    assert logs.std() == pytest.approx(0.05, rel=0.03)
    assert np.corrcoef(logs[:-1], logs[1:])[0, 1] == pytest.approx(0.5, abs=0.02)


def test_drifting_calls_become_slower_at_the_rate_asked_for():
    calls = draw(FakeRuntime(call_seconds=0.01, shape="drifting", cv=0.0, drift_per_call=0.001), 1001)
    assert calls[[0, 1000]] == pytest.approx([0.01, 0.01 * 1.001**1000])


def test_bimodal_calls_have_two_modes_with_the_share_and_distance_asked_for():
    calls = draw(FakeRuntime(shape="bimodal", cv=0.0, slow_share=0.1, slow_factor=3.0), 20_000)
    fast, slow = sorted(set(np.round(calls, 12)))
    assert slow / fast == pytest.approx(3)
    assert np.mean(calls > fast * 2) == pytest.approx(0.1, abs=0.01)


def test_offsets_differ_between_processes_and_stay_within_one():
    runtime = FakeRuntime(shape="constant", offset_sd=0.02)
    processes = [draw(runtime, 300, seed) for seed in range(2000)]
    assert all(len(set(calls)) == 1 for calls in processes[:5])
    logs = np.log([calls[0] for calls in processes])
    assert logs.std() == pytest.approx(0.02, rel=0.05)
    assert logs.mean() == pytest.approx(math.log(0.01), abs=0.002)


@settings(deadline=None)
@given(st.lists(st.integers(0, 200), max_size=8), st.sampled_from(["lognormal", "ar1", "drifting"]))
def test_calls_do_not_depend_on_how_they_are_fetched(counts, shape):
    runtime = FakeRuntime(shape=shape, offset_sd=0.02)
    piecewise = FakeCalls(runtime, np.random.default_rng(1))
    pieces = [piecewise.draw(count) for count in counts]
    assert np.array_equal(np.concatenate([np.empty(0), *pieces]), draw(runtime, sum(counts), 1))


# the machine


def test_a_virtual_clock_stands_still_until_told():
    clock = VirtualClock()
    clock.advance(2.5)
    assert clock() == clock() == 2.5


def test_nobody_slows_work_down_where_there_is_no_contention():
    ends = Contention(1.0, 0.1, np.random.default_rng(0)).ends(3.0, np.array([1.0, 2.0]))
    assert list(ends) == [4.0, 6.0]


def test_contention_slows_work_by_its_factor_half_of_the_time():
    contention = Contention(1.8, 0.2, np.random.default_rng(0))
    end = contention.ends(0.0, np.full(1000, 1.0))[-1]
    # half of the wall time runs at 1, half at 1 / 1.8
    assert end / 1000 == pytest.approx(2 / (1 + 1 / 1.8), rel=0.03)


def test_a_short_call_takes_between_its_time_and_the_factor_of_it():
    contention = Contention(1.8, 0.2, np.random.default_rng(0))
    walls = np.diff(contention.ends(0.0, np.full(5000, 0.01)), prepend=0.0)
    assert walls.min() == pytest.approx(0.01)
    assert walls.max() == pytest.approx(0.018)


def test_work_takes_the_same_time_whether_done_at_once_or_in_pieces():
    once = Contention(1.8, 0.02, np.random.default_rng(3)).ends(0.5, np.full(50, 0.01))
    contention, now, pieces = Contention(1.8, 0.02, np.random.default_rng(3)), 0.5, []
    for _ in range(50):
        now = contention.ends(now, np.array([0.01]))[-1]
        pieces.append(now)
    assert pieces == pytest.approx(list(once))


def test_everything_comes_from_the_seed():
    def times(seed):
        host = machine(FakeRuntime(offset_sd=0.02), seed, contention_factor=1.8, sojourn_seconds=0.1)
        return host.start_worker("a").time_block(0, 1, 20).nanoseconds

    assert times(1) == times(1)
    assert times(1) != times(2)


def test_a_block_takes_its_calls_and_a_switch_of_virtual_time():
    host = machine(start_seconds=0.2, switch_seconds=0.5)
    worker = host.start_worker("a")
    block = worker.time_block(0, 1, 3)
    assert host.clock() == pytest.approx(0.2 + 0.5 + 4 * 0.01)
    assert block.nanoseconds == [10 * MS] * 4
    assert (block.settling, block.counted_calls) == (1, 3)
    assert block.cpu_nanoseconds == 30 * MS
    assert block.started_nanoseconds == 200 * MS


def test_the_first_call_after_a_switch_can_be_slower_and_does_not_count():
    worker = machine(FakeRuntime(shape="constant", settling_factor=1.5)).start_worker("a")
    block = worker.time_block(0, 1, 2)
    assert block.nanoseconds == [15 * MS, 10 * MS, 10 * MS]
    assert block.cpu_nanoseconds == 20 * MS


def test_a_stall_hits_the_call_asked_for_and_burns_no_cpu():
    worker = machine(FakeRuntime(shape="constant", stall_call=4, stall_seconds=1)).start_worker("a")
    assert worker.time_block(0, 1, 2).nanoseconds == [10 * MS] * 3
    block = worker.time_block(0, 1, 2)
    assert block.nanoseconds == [10 * MS, 1010 * MS, 10 * MS]
    assert block.cpu_nanoseconds == 20 * MS


def test_contention_costs_wall_time_and_no_cpu_time():
    host = machine(contention_factor=1.8, sojourn_seconds=0.05)
    block = host.start_worker("a").time_block(0, 0, 500)
    assert block.cpu_nanoseconds == 5000 * MS
    assert block.counted_nanoseconds > 5500 * MS


def test_warming_up_follows_the_rule():
    assert len(machine().start_worker("a").warm_up(WarmupRule())) == 20
    slow = FakeRuntime(call_seconds=2, shape="constant")
    assert len(machine(slow).start_worker("a").warm_up(WarmupRule())) == 4


def test_the_probe_shows_the_contention():
    host = machine(contention_factor=2.0, sojourn_seconds=0.05)
    probes = [host.probe() for _ in range(1000)]
    assert plain.median(probes[:3]) in range(MS - 1, 2 * MS + 2)
    assert (min(probes), max(probes)) == (pytest.approx(MS, abs=2), pytest.approx(2 * MS, abs=2))


def test_a_closed_worker_is_closed():
    worker = machine().start_worker("a")
    worker.close()
    assert worker.is_closed


def test_throughput_shows_a_stall_to_a_thousandth():
    steady = FakeRuntime(shape="constant")
    stalling = replace(steady, stall_call=1, stall_seconds=1.0)
    host = FakeMachine({"a": steady, "b": stalling})
    workers = {name: host.start_worker(name) for name in ("a", "b")}
    samples = Samples()
    run_replicate(samples, 0, workers, {"a": 4, "b": 4}, BlockPlan(2.0), random.Random(0), host.clock)
    calls = len(samples.counted_seconds("b"))
    found = throughput(samples, "b", batch_size=16).samples_per_second.value
    assert found == pytest.approx(16 * calls / (calls * 0.01 + 1.0), rel=0.001)
    assert throughput(samples, "a", batch_size=16).samples_per_second.value == pytest.approx(1600)
