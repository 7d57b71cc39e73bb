"""M/D/1 against its textbook values: Crommelin's alternating sum, Pollaczek-Khinchine, simulation."""

import math

import numpy as np
import pytest

from optbench.measure.md1 import md1_capacity, md1_latency_quantile, md1_mean_wait, md1_wait_probability
from optbench.measure.server import arrival_pattern, first_come_first_served


def crommelin(rate, service, seconds):
    """P(W <= t) as an alternating sum; its terms cancel at high load, so only for short waits."""
    terms = (
        (rate * (k * service - seconds)) ** k / math.factorial(k) * math.exp(-rate * (k * service - seconds))
        for k in range(math.floor(seconds / service) + 1)
    )
    return (1 - rate * service) * math.fsum(terms)


@pytest.mark.parametrize("rho", [0.1, 0.5, 0.8])
@pytest.mark.parametrize("seconds", [0.0, 0.0004, 0.001, 0.0015, 0.004, 0.0071])
def test_the_waiting_time_is_crommelins(rho, seconds):
    assert md1_wait_probability(rho * 1000, 0.001, seconds) == pytest.approx(
        crommelin(rho * 1000, 0.001, seconds), rel=1e-9
    )


def test_nobody_waits_less_than_nothing():
    assert md1_wait_probability(500, 0.001, -1e-9) == 0.0


def test_the_mean_wait_is_the_integral_of_those_who_still_wait():
    times = np.linspace(0, 0.05, 20_001)
    waiting = [1 - md1_wait_probability(800, 0.001, t) for t in times]
    assert md1_mean_wait(800, 0.001) == pytest.approx(np.trapezoid(waiting, times), rel=1e-3)
    assert md1_mean_wait(500, 0.001) == 0.0005


@pytest.mark.parametrize("q", [0.5, 0.95, 0.99])
@pytest.mark.parametrize("rho", [0.3, 0.7, 0.95])
def test_a_quantile_is_where_the_probability_reaches_it(rho, q):
    latency = md1_latency_quantile(rho * 1000, 0.001, q)
    if latency == 0.001:
        assert md1_wait_probability(rho * 1000, 0.001, 0.0) >= q
    else:
        assert md1_wait_probability(rho * 1000, 0.001, latency - 0.001) == pytest.approx(q, abs=1e-6)


def test_the_quantile_is_that_of_a_long_simulation():
    arrivals = arrival_pattern(400_000, seed=1) / 700
    latency = first_come_first_served(arrivals, np.full(len(arrivals), 0.001))[1] - arrivals
    assert md1_latency_quantile(700, 0.001, 0.95) == pytest.approx(np.quantile(latency, 0.95), rel=0.03)


def test_a_rare_request_takes_its_service_time():
    assert md1_latency_quantile(10, 0.001, 0.95) == 0.001


@pytest.mark.parametrize("factor", [1.5, 5, 20])
def test_the_capacity_is_the_rate_whose_quantile_is_the_bound(factor):
    rate = md1_capacity(0.002, factor * 0.002)
    assert md1_latency_quantile(rate, 0.002, 0.95) == pytest.approx(factor * 0.002, rel=1e-5)


def test_no_rate_keeps_a_bound_below_the_service_time():
    assert md1_capacity(0.002, 0.0019) == 0.0


def test_a_generous_bound_allows_almost_full_load():
    assert md1_capacity(0.001, 100.0) == pytest.approx(999)


@pytest.mark.parametrize("rate", [1000, 1500, -1])
def test_a_queue_that_never_empties_has_no_answer(rate):
    with pytest.raises(ValueError, match="must be >= 0 and < 1"):
        md1_mean_wait(rate, 0.001)
