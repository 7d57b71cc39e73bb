"""Who computes when, and for how long."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optbench.measure.samples import Block, Samples
from optbench.measure.schedule import (
    MAX_CALLS_PER_BLOCK,
    BlockPlan,
    WarmupRule,
    counted_calls,
    is_settled,
    run_replicate,
    warm_call_seconds,
)

MS = 1_000_000
RULE = WarmupRule()


class ScriptedWorker:
    """Each call takes `milliseconds`; all workers write into one log and share one clock."""

    def __init__(self, name, milliseconds, log, clock, fails_at=None):
        self.name, self.milliseconds, self.log, self.clock = name, milliseconds, log, clock
        self.blocks_left = fails_at

    def time_block(self, first_input, settling, counted):
        if self.blocks_left == 0:
            raise RuntimeError("worker died")
        if self.blocks_left is not None:
            self.blocks_left -= 1
        self.log.append((self.name, first_input))
        calls = settling + counted
        self.clock[0] += calls * self.milliseconds / 1000
        return Block([self.milliseconds * MS] * calls, settling, 0, 0)


def replicate(plan, milliseconds=(10, 5), fails_at=None, probe=None, seed=0):
    log, clock, samples = [], [0.0], Samples()
    workers = {
        "baseline": ScriptedWorker("baseline", milliseconds[0], log, clock),
        "candidate": ScriptedWorker("candidate", milliseconds[1], log, clock, fails_at),
    }
    calls = {"baseline": 2, "candidate": 5}
    try:
        run_replicate(samples, 3, workers, calls, plan, random.Random(seed), lambda: clock[0], probe)
    except RuntimeError:
        log.append("died")
    return samples, log


def test_a_replicate_lasts_as_long_as_planned_and_not_a_pair_longer():
    samples, _ = replicate(BlockPlan(replicate_seconds=0.6))
    assert len(samples.blocks) == 2 * 10  # a pair takes 30 + 30 ms


def test_a_replicate_has_at_least_two_pairs_however_short():
    samples, _ = replicate(BlockPlan(replicate_seconds=0.0))
    assert [placed.pair for placed in samples.blocks] == [0, 0, 1, 1]


def test_every_pair_has_both_variants_in_an_order_that_varies():
    samples, _ = replicate(BlockPlan(replicate_seconds=3.0))
    firsts = [placed.variant for placed in samples.blocks if placed.position == 0]
    seconds = [placed.variant for placed in samples.blocks if placed.position == 1]
    assert all(first != second for first, second in zip(firsts, seconds, strict=True))
    assert 10 < firsts.count("baseline") < 40  # of 50


def test_the_same_seed_gives_the_same_order():
    plan = BlockPlan(replicate_seconds=1.0)
    assert replicate(plan, seed=4)[1] == replicate(plan, seed=4)[1]
    assert replicate(plan, seed=4)[1] != replicate(plan, seed=5)[1]


def test_both_variants_start_each_pair_with_the_same_input():
    _, log = replicate(BlockPlan(replicate_seconds=1.0))
    inputs = {name: [number for who, number in log if who == name] for name in ("baseline", "candidate")}
    assert inputs["baseline"] == inputs["candidate"] == list(range(len(log) // 2))


def test_each_block_has_one_settling_call_before_the_counted_ones():
    samples, _ = replicate(BlockPlan(replicate_seconds=0.0))
    for placed in samples.blocks:
        assert placed.block.settling == 1
        assert placed.block.counted_calls == {"baseline": 2, "candidate": 5}[placed.variant]


def test_a_replicate_can_last_until_every_variant_has_counted_enough():
    samples, _ = replicate(BlockPlan(counted_seconds=0.2), milliseconds=(10, 2))
    # 20 ms a pair for the baseline, 10 ms for the candidate: the slower to fill decides
    assert len(samples.blocks) == 2 * 20


def test_the_probe_is_taken_once_before_each_pair():
    samples, _ = replicate(BlockPlan(replicate_seconds=0.0), probe=iter([7, 8]).__next__)
    assert samples.probe_nanoseconds == [(3, 0, 7), (3, 1, 8)]


def test_a_dying_worker_leaves_the_complete_pairs_and_no_half_one():
    samples, log = replicate(BlockPlan(replicate_seconds=9.0), fails_at=4)
    assert log[-1] == "died"
    assert [placed.pair for placed in samples.blocks] == [0, 0, 1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize(
    ("call_seconds", "calls"),
    [
        (0.001, 24),
        (0.010, 2),
        (0.0199, 2),
        (0.020, 1),
        (0.3, 1),
        (0.0, MAX_CALLS_PER_BLOCK),
        (1e-9, MAX_CALLS_PER_BLOCK),
    ],
)
def test_settling_and_counted_calls_fill_a_block(call_seconds, calls):
    assert counted_calls(call_seconds, block_seconds=0.025) == calls


@settings(deadline=None)
@given(st.floats(1e-6, 10), st.floats(0.001, 1))
def test_a_block_is_at_least_as_long_as_asked_unless_its_calls_are_too_many(call, block):
    count = counted_calls(call, block)
    assert count == MAX_CALLS_PER_BLOCK or (count + 1) * call >= block * (1 - 1e-9)


def test_warm_up_ends_when_two_windows_agree_within_tolerance():
    assert not is_settled([10 * MS] * 19, RULE)
    assert is_settled([10 * MS] * 20, RULE)
    assert is_settled([10.4 * MS] * 10 + [10 * MS] * 10, RULE)
    assert not is_settled([11 * MS] * 10 + [10 * MS] * 10, RULE)


def test_warm_up_goes_on_while_calls_become_faster():
    times = [20 * MS] * 10 + [10 * MS] * 10
    assert not is_settled(times, RULE)
    assert is_settled(times + [10 * MS] * 10, RULE)


def test_warm_up_is_never_shorter_than_asked():
    assert not is_settled([10 * MS] * 49, WarmupRule(min_calls=50))
    assert is_settled([10 * MS] * 50, WarmupRule(min_calls=50))


def test_warm_up_ends_when_its_time_is_up_but_not_before_the_least_calls():
    restless = [20 * MS if n < 10 else 10 * MS for n in range(20)]
    assert not is_settled(restless, WarmupRule(max_seconds=0.301))
    assert is_settled(restless, WarmupRule(max_seconds=0.3))
    assert not is_settled(restless[:9], WarmupRule(max_seconds=0))
    assert not is_settled([], WarmupRule(min_calls=0, max_seconds=0))


@pytest.mark.parametrize(("call_ms", "calls"), [(50, 20), (100, 10), (240, 10), (501, 4), (2000, 4)])
def test_slow_calls_are_compared_over_shorter_windows(call_ms, calls):
    assert not is_settled([call_ms * MS] * (calls - 1), RULE)
    assert is_settled([call_ms * MS] * calls, RULE)


def test_slow_calls_that_become_faster_go_on():
    assert not is_settled([900 * MS, 900 * MS, 600 * MS, 600 * MS], RULE)
    assert is_settled([3000 * MS] * 4, WarmupRule(max_seconds=1))


def test_the_warm_call_is_the_median_of_the_last_window():
    assert warm_call_seconds([900 * MS] * 5 + [10 * MS] * 10, RULE) == pytest.approx(0.010)
    assert warm_call_seconds([], RULE) == 0.0
