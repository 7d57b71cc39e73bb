"""Estimates and intervals against numbers by hand and from scipy and statsmodels."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from optbench.measure import statistics
from optbench.measure.samples import Block, Placed, Samples

MS = 1_000_000
THETAS = [0.10, 0.13, 0.08, 0.12, 0.11]
theta_lists = st.lists(st.floats(-1, 1), min_size=2, max_size=30)


def samples_of(cpu_share=1.0, **variants):
    """Samples from milliseconds: variant=[[block, ...] of replicate 0, ...]; the first call settles."""
    samples = Samples()
    for variant, replicates in variants.items():
        for replicate, blocks in enumerate(replicates):
            for pair, calls in enumerate(blocks):
                cpu = round(sum(calls) * MS * cpu_share)
                block = Block([999 * MS, *(round(call * MS) for call in calls)], 1, cpu, 0)
                samples.extend([Placed(replicate, pair, 0, variant, block)])
    return samples


# log ratios


def test_theta_is_the_log_of_total_times_per_call():
    samples = samples_of(
        baseline=[[[10, 30], [20]], [[10]]],
        candidate=[[[5, 5, 5, 5]], [[20, 20]]],
    )
    assert statistics.log_ratios(samples, "baseline", "candidate") == pytest.approx(
        [math.log(20 / 5), math.log(10 / 20)]
    )


def test_cpu_ratios_come_from_cpu_time():
    samples = samples_of(baseline=[[[10, 10]]], candidate=[[[5, 5]]])
    slower = samples_of(cpu_share=4.0, candidate=[[[5, 5]]])
    samples = Samples([samples.blocks[0], *slower.blocks])
    wall = statistics.log_ratios(samples, "baseline", "candidate")
    cpu = statistics.log_ratios(samples, "baseline", "candidate", clock="cpu")
    assert wall == pytest.approx([math.log(2)])
    assert cpu == pytest.approx([math.log(0.5)])


def test_a_replicate_without_one_of_the_variants_is_left_out():
    samples = samples_of(baseline=[[[10]], [[10]]], candidate=[[[5]]])
    assert statistics.log_ratios(samples, "baseline", "candidate") == pytest.approx([math.log(2)])


def test_a_cpu_clock_that_did_not_tick_gives_no_ratio():
    samples = samples_of(cpu_share=0.0, baseline=[[[10]]], candidate=[[[5]]])
    assert statistics.log_ratios(samples, "baseline", "candidate", clock="cpu") == []
    assert len(statistics.log_ratios(samples, "baseline", "candidate")) == 1


def test_cpu_time_of_calls_that_do_not_count_gives_no_ratio():
    only_settling = Placed(0, 1, 0, "candidate", Block([999 * MS], 1, 5 * MS, 0))
    samples = Samples([*samples_of(baseline=[[[10]]]).blocks, only_settling])
    assert statistics.log_ratios(samples, "baseline", "candidate", clock="cpu") == []


# the speed-up and its interval


def test_the_interval_is_students_at_the_calibrated_level():
    estimate = statistics.ratio_estimate(THETAS)
    low, high = stats.t.interval(0.97, 4, np.mean(THETAS), stats.sem(THETAS))
    assert estimate.value == pytest.approx(math.exp(0.108))
    assert estimate.interval.low == pytest.approx(math.exp(low))
    assert estimate.interval.high == pytest.approx(math.exp(high))
    assert estimate.interval.level == 0.95


def test_a_level_of_90_percent_is_calibrated_likewise():
    estimate = statistics.ratio_estimate(THETAS, level=0.90)
    low, _ = stats.t.interval(0.94, 4, np.mean(THETAS), stats.sem(THETAS))
    assert (estimate.interval.low, estimate.interval.level) == (pytest.approx(math.exp(low)), 0.90)


def test_one_replicate_gives_a_value_and_the_reason_for_no_interval():
    estimate = statistics.ratio_estimate([math.log(1.5)])
    assert estimate.value == pytest.approx(1.5)
    assert (estimate.interval, estimate.reason) == (None, "needs at least 2 replicates")


def test_no_replicate_is_an_error():
    with pytest.raises(ValueError, match=r"^a ratio needs at least 1 replicate, got 0$"):
        statistics.ratio_estimate([])


@pytest.mark.parametrize(
    "call",
    [
        statistics.half_width,
        statistics.replicate_sd,
        lambda thetas: statistics.replicates_needed(thetas, 0.02),
        lambda thetas: statistics.welch(thetas, THETAS),
        lambda thetas: statistics.welch(THETAS, thetas),
    ],
)
def test_a_spread_of_one_replicate_is_an_error(call):
    with pytest.raises(ValueError, match="at least 2 replicates, got 1"):
        call([0.1])


def test_half_width_is_relative():
    estimate = statistics.ratio_estimate(THETAS)
    assert statistics.half_width(THETAS) == pytest.approx(estimate.interval.high / estimate.value - 1)
    at_80 = statistics.ratio_estimate(THETAS, level=0.8)
    assert statistics.half_width(THETAS, 0.8) == pytest.approx(at_80.interval.high / at_80.value - 1)


def test_replicate_sd_divides_by_n_minus_1():
    assert statistics.replicate_sd([1.0, 2.0, 3.0]) == pytest.approx(1.0)


@settings(deadline=None)
@given(theta_lists)
def test_swapping_baseline_and_candidate_inverts_the_ratio(thetas):
    there = statistics.ratio_estimate(thetas)
    back = statistics.ratio_estimate([-theta for theta in thetas])
    assert back.value == pytest.approx(1 / there.value)
    assert back.interval.low == pytest.approx(1 / there.interval.high)
    assert back.interval.high == pytest.approx(1 / there.interval.low)


@settings(deadline=None)
@given(theta_lists, st.randoms(use_true_random=False))
def test_the_order_of_the_replicates_does_not_matter(thetas, random):
    shuffled = random.sample(thetas, len(thetas))
    assert statistics.ratio_estimate(shuffled).interval.low == pytest.approx(
        statistics.ratio_estimate(thetas).interval.low
    )


@settings(deadline=None)
@given(theta_lists, st.floats(-1, 1))
def test_a_common_factor_moves_the_interval_and_keeps_its_width(thetas, shift):
    moved = [theta + shift for theta in thetas]
    assert statistics.half_width(moved) == pytest.approx(statistics.half_width(thetas), rel=1e-9, abs=1e-9)


# how many more


@settings(deadline=None)
@given(st.lists(st.floats(-0.2, 0.2), min_size=2, max_size=12), st.floats(0.005, 0.2))
def test_replicates_needed_is_the_least_number_that_reaches_the_target(thetas, target):
    more = statistics.replicates_needed(thetas, target)
    spread, wanted = statistics.replicate_sd(thetas), math.log1p(target)

    def h(count):
        return stats.t.ppf(1 - 0.03 / 2, count - 1) * spread / math.sqrt(count)

    count = len(thetas) + more
    assert h(count) <= wanted * (1 + 1e-9)
    assert more == 0 or h(count - 1) > wanted * (1 - 1e-9)


def test_nothing_more_is_needed_once_it_is_narrow_enough():
    assert statistics.replicates_needed(THETAS, 0.5) == 0
    assert statistics.replicates_needed([0.1, 0.1], 0.0001) == 0


def test_a_target_of_nothing_is_an_error():
    with pytest.raises(ValueError, match="half_width_target must be > 0"):
        statistics.replicates_needed(THETAS, 0.0)


# drift


def test_drift_agrees_with_a_regression_on_time():
    thetas = [0.00, 0.01, 0.03, 0.02, 0.05, 0.04]
    expected = stats.linregress(range(6), thetas)
    found = statistics.drift(thetas)
    assert found.relative_change == pytest.approx(math.expm1(5 * expected.slope))
    assert found.p_value == pytest.approx(expected.pvalue)


def test_drift_needs_three_replicates():
    assert statistics.drift([0.0, 0.1]) is None
    assert statistics.drift([0.1, 0.1, 0.1]) == statistics.SpeedDrift(0.0, 1.0)


# outliers


def test_one_wild_call_among_many_is_one_outlier():
    calls = [10, 11, 9, 10, 11, 9, 10, 11, 9, 50]
    assert statistics.outlier_share(samples_of(a=[[calls]]), "a") == pytest.approx(1 / 10)


def test_slow_blocks_are_no_outliers():
    fast, slow = [10, 11, 9, 10, 11, 9], [20, 21, 19, 20, 21, 19]
    assert statistics.outlier_share(samples_of(a=[[fast, slow, fast]]), "a") == 0.0


def test_the_outlier_in_a_short_block_does_not_make_its_neighbour_one():
    blocks = [[10, 11], [9, 10], [50, 9], [10, 11], [9, 10]]
    assert statistics.outlier_share(samples_of(a=[blocks]), "a") == pytest.approx(1 / 10)


def test_calls_that_never_vary_have_no_outliers_and_an_unknown_variant_none():
    samples = samples_of(a=[[[10, 10, 10]]])
    assert statistics.outlier_share(samples, "a") == 0.0
    assert statistics.outlier_share(samples, "b") == 0.0


def test_what_lies_at_the_limit_is_no_outlier_and_the_limit_follows_the_spread():
    at_the_limit = samples_of(a=[[[8, 8, 8, 8, 10]]])
    assert statistics.outlier_share(at_the_limit, "a") == 0.0
    wide = [8, 9, 10, 11, 12, 9, 11, 8, 12, 14]  # a third above a median of 10.5, with a MAD of 14%
    assert statistics.outlier_share(samples_of(a=[[wide]]), "a") == 0.0


@pytest.mark.parametrize(
    ("blocks", "groups"), [([5, 5], [5, 5]), ([4, 1, 6], [5, 6]), ([5, 2], [7]), ([2, 1], [3]), ([0], [])]
)
def test_blocks_are_joined_until_they_have_five_calls(blocks, groups):
    found = statistics.neighbourhoods([np.ones(calls) for calls in blocks])
    assert [len(group) for group in found] == groups


# latency and throughput


def test_latency_pools_the_counted_calls():
    found = statistics.latency(samples_of(cpu_share=2.0, a=[[[1, 2]], [[3], [6]]]), "a")
    assert found.calls == 4
    assert found.mean_seconds == pytest.approx(0.003)
    assert found.std_seconds == pytest.approx(math.sqrt(14 / 3) / 1000)
    assert (found.min_seconds, found.max_seconds) == (0.001, 0.006)
    assert found.cpu_seconds_per_call == pytest.approx(0.006)
    assert [item.q for item in found.percentiles] == [0.5, 0.9, 0.95, 0.99, 0.999]
    assert [item.reason for item in found.percentiles][:2] == ["needs 1 more call", "needs 25 more calls"]


def test_one_call_has_no_spread_and_two_have():
    assert statistics.latency(samples_of(a=[[[5]]]), "a").std_seconds == 0.0
    assert statistics.latency(samples_of(a=[[[1, 3]]]), "a").std_seconds == pytest.approx(math.sqrt(2) / 1000)


@pytest.mark.parametrize("call", [statistics.latency, lambda s, v: statistics.throughput(s, v, 1)])
def test_no_counted_calls_are_an_error(call):
    with pytest.raises(ValueError, match="no counted calls of 'b'"):
        call(samples_of(a=[[[5]]]), "b")


def test_throughput_is_all_samples_over_all_seconds():
    found = statistics.throughput(samples_of(a=[[[10, 10]], [[20], [1000]]]), "a", batch_size=8)
    assert found.elapsed_seconds == pytest.approx(1.04)
    assert found.forwards_per_second == pytest.approx(4 / 1.04)
    assert found.samples_per_second.value == pytest.approx(32 / 1.04)


def test_throughput_has_students_interval_over_the_replicates():
    found = statistics.throughput(samples_of(a=[[[10]], [[11, 11]], [[12, 12, 12]]]), "a", batch_size=1)
    logs = [math.log(1000 / 10), math.log(1000 / 11), math.log(1000 / 12)]
    h = stats.t.ppf(1 - 0.03 / 2, 2) * stats.sem(logs)
    interval = found.samples_per_second.interval
    assert interval.low == pytest.approx(6000 / 68 * math.exp(-h))
    assert interval.high == pytest.approx(6000 / 68 * math.exp(h))
    assert interval.level == 0.95


def test_throughput_of_one_replicate_has_no_interval_and_of_two_one():
    found = statistics.throughput(samples_of(a=[[[10]]]), "a", batch_size=1).samples_per_second
    assert found.value == pytest.approx(100)
    assert (found.interval, found.reason) == (None, "needs at least 2 replicates")
    two = statistics.throughput(samples_of(a=[[[10]], [[11]]]), "a", batch_size=1).samples_per_second
    assert two.interval is not None


# two finished runs


def test_welch_agrees_with_scipy():
    first, second = THETAS, [0.2, 0.15, 0.22, 0.18, 0.3, 0.25]
    expected = stats.ttest_ind(second, first, equal_var=False)
    interval = expected.confidence_interval(0.95)
    found = statistics.welch(first, second)
    assert found.p_value == pytest.approx(expected.pvalue)
    assert found.degrees_of_freedom == pytest.approx(expected.df)
    assert found.ratio.value == pytest.approx(math.exp(np.mean(second) - np.mean(first)))
    assert found.ratio.interval.low == pytest.approx(math.exp(interval.low))
    assert found.ratio.interval.high == pytest.approx(math.exp(interval.high))
    assert found.ratio.interval.level == 0.95
    assert statistics.welch(first, second, 0.8).ratio.interval.level == 0.8


def test_welch_without_any_spread_finds_what_differs():
    assert statistics.welch([0.1, 0.1], [0.1, 0.1]).p_value == 1.0
    assert statistics.welch([0.1, 0.1], [0.2, 0.2]).p_value == 0.0
    assert statistics.welch([0.0, 0.0], [0.5, 0.5, 0.5]).degrees_of_freedom == 3.0


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_agrees_with_statsmodels(p_values):
    assert statistics.holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])


def test_holm_of_nothing_is_nothing():
    assert statistics.holm([]) == []
