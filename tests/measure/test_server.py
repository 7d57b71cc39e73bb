"""The open loop's statistics on hand-made streams."""

import math

import numpy as np
import pytest

from optbench.measure.server import (
    Trial,
    arrival_pattern,
    backlog_grows,
    fewest_requests,
    first_come_first_served,
    is_sustainable,
    lower_and_upper,
)

MS = 1_000_000


def trial(latencies_ms, gap_ms=10.0, late_ms=0.0, service_ms=1.0):
    """A stream with a request every `gap_ms`, answered after so many milliseconds."""
    intended = np.arange(len(latencies_ms)) * round(gap_ms * MS)
    completion = intended + np.rint(np.asarray(latencies_ms) * MS).astype(np.int64)
    return Trial(
        1000 / gap_ms,
        intended,
        intended + round(late_ms * MS),
        completion - round(service_ms * MS),
        completion,
    )


def test_poisson_arrivals_have_exponential_gaps_of_mean_one():
    times = arrival_pattern(20_000, seed=3)
    gaps = np.diff(times)
    assert np.all(gaps > 0)
    assert gaps.mean() == pytest.approx(1, abs=0.03)
    assert gaps.std() == pytest.approx(1, abs=0.03)
    assert np.mean(gaps > 1) == pytest.approx(math.exp(-1), abs=0.01)


def test_a_seed_gives_one_pattern_and_another_seed_another():
    assert np.array_equal(arrival_pattern(50, seed=[1, 2]), arrival_pattern(50, seed=[1, 2]))
    assert not np.array_equal(arrival_pattern(50, seed=[1, 2]), arrival_pattern(50, seed=[1, 3]))


def test_constant_arrivals_are_equally_far_apart():
    assert arrival_pattern(4, "constant").tolist() == [1, 2, 3, 4]


def test_an_empty_stream_is_refused():
    with pytest.raises(ValueError, match="at least 1 request, got 0"):
        arrival_pattern(0)


def test_requests_wait_for_those_before_them():
    start, end = first_come_first_served(np.array([0.0, 1.0, 1.5, 9.0]), np.array([2.0, 1.0, 1.0, 1.0]))
    assert start.tolist() == [0, 2, 3, 9]
    assert end.tolist() == [2, 3, 4, 10]


def test_latency_counts_from_the_intended_arrival_however_late_it_was_sent():
    late = trial([30.0] * 10, late_ms=25.0)
    assert late.latency_seconds.tolist() == pytest.approx([0.03] * 10)
    assert late.lateness_seconds.tolist() == pytest.approx([0.025] * 10)


def test_the_first_tenth_never_counts():
    stream = trial([99.0] * 2 + [5.0] * 18)
    assert stream.settling == 2
    assert stream.percentile_seconds(1.0) == pytest.approx(0.005)
    assert stream.service_seconds == pytest.approx(0.001)


def test_the_queue_holds_who_came_before_and_is_not_answered():
    stream = trial([35.0, 25.0, 15.0, 5.0])  # all answered at 35 ms
    assert stream.queue_lengths.tolist() == [0, 1, 2, 3]


def test_a_server_that_falls_behind_has_a_growing_queue():
    falling = [trial(10.0 + 5.0 * np.arange(100)) for _ in range(3)]
    assert falling[0].growth_requests > 1
    assert not backlog_grows(falling[:1])
    growing = [trial(10.0 + (5.0 + 0.1 * seed) * np.arange(100)) for seed in range(3)]
    assert backlog_grows(growing)
    assert not backlog_grows([trial([3.0 + seed] * 100) for seed in range(3)])


@pytest.mark.parametrize(
    ("latencies", "bound", "expected"),
    [
        ((4.0, 4.1, 4.2), 0.005, "sustainable"),
        ((6.0, 6.1, 6.2), 0.005, "not"),
        ((4.0, 5.0, 6.0), 0.005, "unclear"),
        ((4.0,), 0.005, "unclear"),
    ],
)
def test_a_rate_is_judged_over_replicates(latencies, bound, expected):
    assert is_sustainable([trial([value] * 100) for value in latencies], bound) == expected


def test_a_growing_backlog_is_not_sustained_however_long_the_bound():
    growing = [trial(10.0 + (5.0 + 0.1 * seed) * np.arange(100)) for seed in range(3)]
    assert is_sustainable(growing, 100.0) == "not"


def test_limits_are_students_and_infinite_for_one():
    low, high = lower_and_upper([1.0, 2.0, 3.0])
    assert (low, high) == pytest.approx((2 - 2.919986 / math.sqrt(3), 2 + 2.919986 / math.sqrt(3)))
    assert lower_and_upper([1.0]) == (-math.inf, math.inf)


@pytest.mark.parametrize(("q", "fewest"), [(0.5, 6), (0.95, 66), (0.99, 333)])
def test_a_stream_must_earn_its_percentile(q, fewest):
    assert fewest_requests(q) == fewest
