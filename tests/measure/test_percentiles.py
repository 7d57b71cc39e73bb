"""Percentiles: when they are earned, and their intervals."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from optbench.measure import percentiles
from optbench.measure.percentiles import earned_calls, interval_replicates, percentile, woodruff

RNG = np.random.default_rng(0)


def replicates(number, calls, offset_sd=0.0, cv=0.03, seed=0):
    rng = np.random.default_rng(seed)
    return [0.01 * np.exp(offset_sd * rng.normal() + cv * rng.normal(size=calls)) for _ in range(number)]


@pytest.mark.parametrize(("q", "calls"), [(0.5, 5), (0.9, 29), (0.95, 59), (0.99, 299), (0.999, 2995)])
def test_a_percentile_is_earned_when_the_largest_call_is_very_likely_above_it(q, calls):
    assert earned_calls(q) == calls
    assert 1 - q**calls >= 0.95 > 1 - q ** (calls - 1)


def test_a_percentile_that_is_not_earned_says_how_many_calls_are_missing():
    short = percentile(0.99, replicates(5, 40))
    assert (short.seconds, short.interval, short.reason) == (None, None, "needs 99 more calls")
    assert percentile(0.95, [np.ones(58)]).reason == "needs 1 more call"
    assert percentile(0.999, []).reason == "needs 2,995 more calls"


def test_the_value_is_the_pooled_quantile():
    data = replicates(6, 50)
    assert percentile(0.9, data).seconds == pytest.approx(np.percentile(np.concatenate(data), 90))


@pytest.mark.parametrize(("q", "number"), [(0.5, 5), (0.9, 5), (0.95, 5), (0.99, 20), (0.999, 200)])
def test_an_interval_needs_replicates_the_more_the_rarer_the_tail(q, number):
    assert interval_replicates(q) == number
    few = percentile(q, replicates(number - 1, 1000))
    assert few.seconds is not None
    assert (few.interval, few.reason) == (None, "the interval needs 1 more replicate")
    assert percentile(q, replicates(number, 1000)).interval is not None


def test_an_interval_needs_calls_beyond_the_percentile():
    assert percentile(0.95, replicates(5, 17)).reason == "the interval needs 5 more calls"
    assert percentile(0.95, replicates(5, 18)).reason is None


def test_processes_that_differ_more_than_their_calls_give_no_tail_interval():
    far_apart = [np.full(100, 1.0 + n) + 1e-3 * RNG.normal(size=100) for n in range(5)]
    refused = percentile(0.95, far_apart)
    assert refused.interval is None
    assert refused.reason == (
        "processes differ by more than the calls within them; the interval needs 15 more replicates"
    )
    assert percentile(0.5, far_apart).interval is not None


def test_single_calls_per_process_are_no_reason_to_crash():
    assert percentile(0.5, [np.array([1.0 + n]) for n in range(9)]).interval is not None


def test_woodruff_follows_its_formula():
    data = [np.arange(1.0, 101) + shift for shift in (0, 10, 20, 30, 40)]
    pooled = np.sort(np.concatenate(data))
    centre = np.quantile(pooled, 0.5)
    shares = [np.mean(calls <= centre) for calls in data]
    h = stats.t.ppf(0.975, 4) * np.std(shares, ddof=1) / math.sqrt(5)
    interval = woodruff(0.5, data)
    assert interval.low == pytest.approx(np.quantile(pooled, 0.5 - h))
    assert interval.high == pytest.approx(np.quantile(pooled, 0.5 + h))


def test_woodruff_is_never_narrower_than_for_independent_calls():
    same = [np.arange(100.0)] * 5
    h = stats.t.ppf(0.975, 4) * math.sqrt(0.25 / 500)
    interval = woodruff(0.5, same)
    assert interval.low == pytest.approx(np.quantile(np.concatenate(same), 0.5 - h))


@settings(deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.5, 0.9, 0.95]), st.floats(1e-6, 1e3))
def test_the_interval_holds_the_value_and_scales_with_the_unit(seed, q, unit):
    data = replicates(5, 60, offset_sd=0.02, seed=seed)
    plain, scaled = percentile(q, data), percentile(q, [calls * unit for calls in data])
    if plain.interval is not None:
        assert plain.interval.low <= plain.seconds <= plain.interval.high
        if scaled.interval is not None:
            assert scaled.interval.high == pytest.approx(plain.interval.high * unit)


@pytest.mark.parametrize(("q", "z"), [(0.5, 0.0), (0.95, stats.norm.ppf(0.95))])
def test_intervals_over_replicates_cover_in_spite_of_offsets(q, z):
    truth = 0.01 * math.exp(math.hypot(0.03, 0.02) * z)
    hits = []
    for seed in range(400):
        interval = percentile(q, replicates(5, 60, offset_sd=0.02, seed=seed)).interval
        if interval is not None:
            hits.append(interval.low <= truth <= interval.high)
    assert len(hits) > 300
    assert np.mean(hits) > 0.91


def test_reported_percentiles_are_these_five():
    assert percentiles.PERCENTILES == (0.5, 0.9, 0.95, 0.99, 0.999)
