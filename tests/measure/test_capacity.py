"""The search for the capacity on a virtual clock, against what theory says."""

from dataclasses import replace

import numpy as np
import pytest

from optbench.errors import WorkerError
from optbench.measure.capacity import (
    MOST_TRIALS,
    Offered,
    ServerPlan,
    StreamSearch,
    capacity,
    capacity_ratio,
    first_rate,
    luck,
    measure_capacity,
)
from optbench.measure.fake import FakeMachine, FakeRuntime
from optbench.measure.md1 import md1_capacity, md1_mean_wait
from optbench.measure.server import Trial, arrival_pattern

SERVICE = 0.005
CONSTANT = FakeRuntime(SERVICE, "constant")
VARIANTS = ("baseline", "candidate")


def offer(plan, baseline=CONSTANT, candidate=None, seed=0):
    runtimes = {"baseline": baseline, "candidate": candidate or baseline}
    machine = FakeMachine(runtimes, seed)
    return measure_capacity(machine.start_worker, VARIANTS, plan, Offered(), clock=machine.clock)


@pytest.mark.parametrize("factor", [2, 5, 10, 20])
def test_the_capacity_of_a_constant_server_is_what_md1_says(factor):
    found = capacity(offer(ServerPlan(factor * SERVICE)), "baseline").value
    assert found == pytest.approx(md1_capacity(SERVICE, factor * SERVICE), rel=0.05)


def test_equally_spaced_requests_are_taken_up_to_full_load():
    found = capacity(offer(ServerPlan(5 * SERVICE, arrivals="constant")), "baseline").value
    assert found == pytest.approx(1 / SERVICE, rel=0.02)


def test_the_ratio_is_paired_and_holds_the_truth():
    plan = ServerPlan(5 * SERVICE, seed=4)
    runtime = FakeRuntime(SERVICE, cv=0.03, offset_sd=0.01)
    offered = offer(plan, runtime, replace(runtime, call_seconds=SERVICE / 1.5), seed=4)
    truth = md1_capacity(SERVICE / 1.5, 5 * SERVICE) / md1_capacity(SERVICE, 5 * SERVICE)
    ratio = capacity_ratio(offered, *VARIANTS)
    assert ratio.interval.low <= truth <= ratio.interval.high
    assert ratio.value == pytest.approx(truth, rel=0.04)
    assert offered.stopped_by == "precision"


def test_both_variants_see_the_same_streams():
    offered = offer(ServerPlan(5 * SERVICE), seed=1)
    by_rate = {}
    for replicate, name, trial in offered.trials:
        gaps = np.diff(trial.intended_arrival_ns) * trial.rate_per_second / 1e9
        by_rate.setdefault(replicate, {}).setdefault(name, gaps)
    for streams in by_rate.values():
        assert streams["baseline"] == pytest.approx(streams["candidate"], abs=1e-5)
    assert by_rate[0]["baseline"] != pytest.approx(by_rate[1]["baseline"], abs=1e-5)


def test_a_stall_is_not_forgiven():
    """A stall of 1 s at 100 requests/s delays a hundred requests; a closed loop would show one."""
    plan = ServerPlan(5 * SERVICE, rates=(100.0,), requests=1000, replicates=2)
    stalling = replace(CONSTANT, stall_call=500, stall_seconds=1.0)
    offered = offer(plan, CONSTANT, stalling)
    calm, stalled = (offered.of(name, 100.0)[0] for name in VARIANTS)
    assert calm.percentile_seconds(0.95) < 0.02
    assert stalled.percentile_seconds(0.95) > 0.5
    late = np.sum(stalled.latency_seconds > 0.1)
    assert 90 <= late <= 220  # (1 s - 0.1 s) x 100/s, and the queue that takes as long again to drain


@pytest.mark.parametrize("rho", [0.5, 0.8])
def test_the_mean_wait_is_pollaczek_khinchines(rho):
    plan = ServerPlan(1.0, rates=(rho / SERVICE,), requests=20_000, replicates=3)
    trials = offer(plan).of("baseline")
    wait = np.mean([trial.counted_seconds.mean() for trial in trials]) - SERVICE
    assert wait == pytest.approx(md1_mean_wait(rho / SERVICE, SERVICE), rel=0.1)


def test_set_rates_are_offered_the_least_number_of_times_and_nothing_is_searched():
    plan = ServerPlan(0.02, rates=(50.0, 100.0), replicates=3)
    offered = offer(plan)
    assert [trial.rate_per_second for trial in offered.of("candidate")] == [50.0, 100.0] * 3
    assert offered.stopped_by == "fixed"
    assert capacity(offered, "baseline") is None


def test_a_bound_below_a_single_call_has_no_capacity_and_says_why():
    offered = offer(replace(ServerPlan(0.9 * SERVICE), replicates=2, max_replicates=2))
    assert capacity(offered, "baseline") is None
    assert capacity_ratio(offered, *VARIANTS) is None
    assert "the bound of 0.0045 s is not kept at" in offered.crossings["baseline"][0].reason


def test_one_stream_has_no_interval():
    estimate = capacity(offer(replace(ServerPlan(0.02), replicates=1, max_replicates=1)), "baseline")
    assert estimate.interval is None
    assert estimate.reason == "needs at least 2 streams"


def test_the_budget_ends_a_search_that_is_not_precise():
    noisy = FakeRuntime(SERVICE, cv=0.5, offset_sd=0.2)
    offered = offer(ServerPlan(5 * SERVICE, budget_seconds=60), noisy)
    assert offered.stopped_by == "budget"
    assert len(offered.crossings["baseline"]) == 5


def test_a_worker_that_dies_leaves_what_was_offered_and_all_are_closed():
    machine = FakeMachine({"baseline": CONSTANT, "candidate": CONSTANT})
    made = []

    def start(name):
        made.append(machine.start_worker(name))
        return made[-1]

    def broken(rate, pattern, worker_offer):
        if len(made) > 2:
            raise WorkerError("died")
        return worker_offer(rate, pattern)

    def start_fragile(name):
        worker = start(name)
        whole = worker.offer
        worker.offer = lambda rate, pattern: broken(rate, pattern, whole)
        return worker

    offered = Offered()
    with pytest.raises(WorkerError, match="died"):
        measure_capacity(start_fragile, VARIANTS, ServerPlan(0.02), offered, clock=machine.clock)
    assert len(offered.crossings["baseline"]) == 1
    assert offered.stopped_by is None
    assert all(worker.is_closed for worker in made)


def constant_trial(rate, seconds):
    """A hundred requests that all take so long."""
    intended = np.rint(np.arange(100) / rate * 1e9).astype(np.int64)
    done = intended + round(seconds * 1e9)
    return Trial(rate, intended, intended, intended, done)


def test_the_search_squares_its_steps_until_the_bound_is_passed_then_halves():
    search = StreamSearch(100.0, ServerPlan(0.01, requests=100), arrival_pattern(100))
    seen = []
    while (rate := search.next_rate()) is not None:
        seen.append(rate)
        search.add(constant_trial(rate, 0.02 if rate > 150 else 0.005))
    assert seen[:3] == pytest.approx([100, 115, 115 * 1.15**2])
    above = [rate for rate in seen if rate > 150]
    below = [rate for rate in seen if rate <= 150]
    assert min(above) / max(below) <= 1.08


def test_the_search_goes_down_no_further_than_makes_sense():
    search = StreamSearch(100.0, ServerPlan(0.001, requests=100), arrival_pattern(100))
    seen = []
    while (rate := search.next_rate()) is not None:
        seen.append(rate)
        search.add(constant_trial(rate, 0.005))
    assert len(seen) <= MOST_TRIALS
    assert min(seen) == pytest.approx(0.02 / 0.005)


def test_a_server_that_never_slows_down_ends_the_search():
    search = StreamSearch(100.0, ServerPlan(0.01, requests=100), arrival_pattern(100))
    while (rate := search.next_rate()) is not None:
        search.add(constant_trial(rate, 0.005))
    assert "and more" in search.crossing().reason


def test_the_first_search_starts_at_theory_and_later_ones_at_what_was_found():
    plan = ServerPlan(5 * SERVICE)
    assert first_rate(plan, [], SERVICE) == pytest.approx(md1_capacity(SERVICE, 5 * SERVICE))
    assert first_rate(plan, [100.0, None, 144.0], SERVICE) == pytest.approx(120)
    assert first_rate(ServerPlan(0.001), [], SERVICE) == pytest.approx(0.02 / SERVICE)


def test_luck_is_the_long_run_over_this_stream():
    plan = ServerPlan(5 * SERVICE)
    pattern = arrival_pattern(300, seed=2)
    early, late = luck(plan, pattern, SERVICE), luck(plan, pattern / 1.1, SERVICE)
    assert late == pytest.approx(1.1 * early, rel=1e-3)  # arrivals closer together cross at a lower rate
    assert luck(plan, pattern, 6 * SERVICE) == 1.0
