"""What holds of every estimate, whatever was measured: ranges, symmetries, order."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optbench.measure import mover, statistics
from optbench.measure.percentiles import PERCENTILES, percentile
from optbench.measure.samples import Block, Placed, Samples
from optbench.records import Estimate, Interval

thetas = st.lists(st.floats(-1, 1), min_size=2, max_size=20)
times = st.lists(st.lists(st.integers(1_000, 10**9), min_size=1, max_size=8), min_size=2, max_size=8)
levels = st.floats(0.5, 0.98)
quick = settings(deadline=None, max_examples=60)


@st.composite
def estimates(draw, low=0.01, high=100.0):
    """A positive estimate with or without an interval about it."""
    below, value, above = sorted(draw(st.lists(st.floats(low, high), min_size=3, max_size=3)))
    return Estimate(value, draw(st.sampled_from([None, Interval(below, above)])))


def samples_of(factor=1, **variants):
    """One block of counted calls in each replicate: variant=[[nanoseconds, ...] of a replicate, ...]."""
    samples = Samples()
    for variant, replicates in variants.items():
        for replicate, calls in enumerate(replicates):
            scaled = [call * factor for call in calls]
            samples.extend([Placed(replicate, 0, 0, variant, Block(scaled, 0, sum(scaled), 0))])
    return samples


def ends(estimate):
    return [estimate.interval.low, estimate.value, estimate.interval.high]


def inverse(estimate):
    """One over an estimate and its interval, ascending."""
    return [1 / end for end in reversed(ends(estimate))]


@quick
@given(thetas, levels)
def test_the_interval_of_a_speedup_holds_it_and_widens_with_the_level(values, level):
    narrow, wide = (statistics.ratio_estimate(values, one) for one in (level, level + 0.01))
    assert ends(narrow) == sorted(ends(narrow))
    assert wide.interval.low <= narrow.interval.low * (1 + 1e-12)
    assert wide.interval.high >= narrow.interval.high * (1 - 1e-12)


@quick
@given(thetas, st.floats(0.1, 10))
def test_a_spread_scales_with_its_values(values, factor):
    scaled = [factor * value for value in values]
    assert statistics.replicate_sd(scaled) == pytest.approx(
        factor * statistics.replicate_sd(values), abs=1e-9
    )
    assert statistics.log_half_width(scaled) == pytest.approx(
        factor * statistics.log_half_width(values), abs=1e-9
    )


@quick
@given(times, times)
def test_swapping_the_variants_turns_every_log_ratio_around(one, two):
    there = statistics.log_ratios(samples_of(a=one, b=two), "a", "b")
    back = statistics.log_ratios(samples_of(a=one, b=two), "b", "a")
    assert back == pytest.approx([-theta for theta in there])


@quick
@given(times, times, st.sampled_from([2, 10, 1000]))
def test_log_ratios_know_no_unit(one, two, factor):
    plain = statistics.log_ratios(samples_of(a=one, b=two), "a", "b")
    scaled = statistics.log_ratios(samples_of(factor, a=one, b=two), "a", "b")
    assert scaled == pytest.approx(plain, abs=1e-9)


@quick
@given(times, st.randoms(use_true_random=False))
def test_latency_and_throughput_do_not_depend_on_the_order_of_calls_and_replicates(replicates, random):
    shuffled = [random.sample(calls, len(calls)) for calls in random.sample(replicates, len(replicates))]
    for found in (lambda s: statistics.latency(s, "a"), lambda s: statistics.throughput(s, "a", 4)):
        one, two = (found(samples_of(a=calls)) for calls in (replicates, shuffled))
        assert numbers_of(one) == pytest.approx(numbers_of(two), rel=1e-9)


def numbers_of(record):
    """All plain numbers of a latency or throughput."""
    if hasattr(record, "percentiles"):
        known = [item.seconds for item in record.percentiles if item.seconds is not None]
        return [record.calls, record.mean_seconds, record.std_seconds, record.min_seconds, *known]
    return [record.forwards_per_second, record.elapsed_seconds, *ends(record.samples_per_second)]


@quick
@given(times, st.sampled_from([2, 10, 1000]))
def test_seconds_scale_with_the_calls_and_rates_against_them(replicates, factor):
    plain, scaled = (samples_of(one, a=replicates) for one in (1, factor))
    one, two = (statistics.latency(samples, "a") for samples in (plain, scaled))
    assert two.mean_seconds == pytest.approx(factor * one.mean_seconds)
    assert two.std_seconds == pytest.approx(factor * one.std_seconds, abs=1e-12)
    assert two.cpu_seconds_per_call == pytest.approx(factor * one.cpu_seconds_per_call)
    rates = [statistics.throughput(samples, "a", 8).samples_per_second for samples in (plain, scaled)]
    assert ends(rates[1]) == pytest.approx([end / factor for end in ends(rates[0])])


@quick
@given(times)
def test_a_latency_lies_between_its_ends_and_its_percentiles_ascend(replicates):
    found = statistics.latency(samples_of(a=replicates), "a")
    known = [item.seconds for item in found.percentiles if item.seconds is not None]
    assert [found.min_seconds, *known, found.max_seconds] == sorted(
        [found.min_seconds, *known, found.max_seconds]
    )
    assert found.min_seconds <= found.mean_seconds * (1 + 1e-12)
    assert found.mean_seconds <= found.max_seconds * (1 + 1e-12)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.integers(5, 12), st.integers(20, 60), st.sampled_from(PERCENTILES))
def test_a_percentile_and_its_interval_lie_within_what_was_measured(seed, replicates, calls, q):
    drawn = list(np.random.default_rng(seed).lognormal(0, 0.5, (replicates, calls)))
    found = percentile(q, drawn)
    low, high = np.min(drawn), np.max(drawn)
    inside = [found.interval.low, found.seconds, found.interval.high] if found.interval else [found.seconds]
    assert found.seconds is None or [low, *inside, high] == sorted([low, *inside, high])
    assert (found.interval is None) == (found.reason is not None)


@quick
@given(thetas, thetas)
def test_comparing_two_runs_the_other_way_round_turns_the_ratio_over(first, second):
    there, back = statistics.welch(first, second), statistics.welch(second, first)
    assert ends(back.ratio) == pytest.approx(inverse(there.ratio))
    assert back.p_value == pytest.approx(there.p_value)
    assert back.degrees_of_freedom == pytest.approx(there.degrees_of_freedom)
    assert 0 <= there.p_value <= 1
    assert ends(there.ratio) == sorted(ends(there.ratio))


@quick
@given(thetas, thetas, st.floats(-1, 1))
def test_what_both_runs_have_in_common_is_no_difference(first, second, shift):
    plain = statistics.welch(first, second)
    moved = statistics.welch([one + shift for one in first], [one + shift for one in second])
    assert moved.ratio.value == pytest.approx(plain.ratio.value, rel=1e-6)


@quick
@given(thetas, thetas, levels)
def test_a_higher_level_never_narrows_the_comparison_of_two_runs(first, second, level):
    narrow, wide = (statistics.welch(first, second, one).ratio for one in (level, level + 0.01))
    assert wide.interval.low <= narrow.interval.low * (1 + 1e-12)
    assert wide.interval.high >= narrow.interval.high * (1 - 1e-12)


@quick
@given(st.lists(st.floats(-1, 1), min_size=3, max_size=20))
def test_a_drift_seen_backwards_is_the_opposite_drift(values):
    there, back = statistics.drift(values), statistics.drift(values[::-1])
    assert math.log1p(back.relative_change) == pytest.approx(-math.log1p(there.relative_change), abs=1e-9)
    assert 0 <= there.p_value <= 1


@quick
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_adjusted_p_values_keep_their_order_and_never_fall(p_values, random):
    adjusted = statistics.holm(p_values)
    assert all(raw <= found <= 1 for raw, found in zip(p_values, adjusted, strict=True))
    pairs = sorted(zip(p_values, adjusted, strict=True))
    assert [found for _, found in pairs] == sorted(adjusted)
    order = random.sample(range(len(p_values)), len(p_values))
    assert statistics.holm([p_values[place] for place in order]) == pytest.approx(
        [adjusted[place] for place in order]
    )


@quick
@given(times, st.sampled_from([2, 1000]))
def test_the_share_of_outliers_is_a_share_and_knows_no_unit(replicates, factor):
    shares = [statistics.outlier_share(samples_of(one, a=replicates), "a") for one in (1, factor)]
    assert 0 <= shares[0] <= 1
    assert shares[0] == pytest.approx(shares[1], abs=1e-9)


@quick
@given(estimates(), estimates())
def test_a_difference_holds_its_value_and_turns_around(one, two):
    there, back = mover.difference(one, two), mover.difference(two, one)
    assert back.value == -there.value
    assert (there.interval is None) == (one.interval is None or two.interval is None)
    if there.interval is not None:
        assert ends(there) == sorted(ends(there))
        assert ends(back) == pytest.approx([-end for end in reversed(ends(there))], abs=1e-9)


@quick
@given(estimates(), estimates(), st.floats(0.1, 10))
def test_a_ratio_turns_over_and_knows_no_unit(one, two, factor):
    there, back = mover.ratio(one, two), mover.ratio(two, one)
    assert back.value == pytest.approx(1 / there.value)
    scaled = mover.ratio(times_factor(one, factor), times_factor(two, factor))
    assert scaled.value == pytest.approx(there.value)
    if there.interval is not None:
        assert ends(back) == pytest.approx(inverse(there))
        assert ends(scaled) == pytest.approx(ends(there))


def times_factor(estimate, factor):
    """An estimate in another unit."""
    interval = estimate.interval
    scaled = None if interval is None else Interval(interval.low * factor, interval.high * factor)
    return Estimate(estimate.value * factor, scaled)
