"""M/D/1: Poisson arrivals at one server that always takes equally long. What a server must come to.

The waiting time's distribution is Crommelin's, P(W <= t) = (1 - rho) sum over k of
[rate (k s - t)]^k / k! exp(-rate (k s - t)), whose terms alternate and cancel at high load. It is
computed in Franx's form, a sum of positive terms over the probabilities of the queue's length.
Sources: Crommelin 1932, "Delay probability formulae when the holding times are constant"; Franx 2001,
"A simple solution for the M/D/c waiting time distribution".
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import pdtrc

BISECTIONS = 60
MOST_LOAD = 0.999
"""Capacities are looked for up to this load."""


def md1_mean_wait(rate_per_second: float, service_seconds: float) -> float:
    """Mean seconds a request waits before service: rho s / (2 (1 - rho)).

    Source: Pollaczek 1930, Khinchine 1932. Raises ValueError unless 0 <= rho < 1.
    """
    rho = load(rate_per_second, service_seconds)
    return rho * service_seconds / (2 * (1 - rho))


def md1_wait_probability(rate_per_second: float, service_seconds: float, seconds: float) -> float:
    """P(W <= seconds), the wait before service. Raises ValueError unless 0 <= rho < 1."""
    rho = load(rate_per_second, service_seconds)
    if seconds < 0:
        return 0.0
    services = math.floor(seconds / service_seconds)
    return _waits_at_most(_at_most(rho, services), rho, seconds / service_seconds)


def md1_latency_quantile(rate_per_second: float, service_seconds: float, q: float) -> float:
    """The q-quantile of wait plus service, in seconds. Raises ValueError unless 0 <= rho < 1."""
    rho = load(rate_per_second, service_seconds)
    if q <= 1 - rho:
        return service_seconds
    size = 16
    at_most = _at_most(rho, size)
    while _waits_at_most(at_most, rho, size) < q:
        size *= 2
        at_most = _at_most(rho, size)
    low, high = 0.0, float(size)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (low, middle) if _waits_at_most(at_most, rho, middle) >= q else (middle, high)
    return (1 + high) * service_seconds


def md1_capacity(service_seconds: float, bound_seconds: float, q: float = 0.95) -> float:
    """The highest requests per second at which the q-quantile of the latency keeps the bound.

    0 where the bound is below the service time.
    """
    if bound_seconds < service_seconds:
        return 0.0
    low, high = 0.0, MOST_LOAD / service_seconds
    if md1_latency_quantile(high, service_seconds, q) <= bound_seconds:
        return high
    for _ in range(BISECTIONS // 2):
        middle = (low + high) / 2
        keeps = md1_latency_quantile(middle, service_seconds, q) <= bound_seconds
        low, high = (middle, high) if keeps else (low, middle)
    return low


def load(rate_per_second: float, service_seconds: float) -> float:
    """rho = rate x service time. Raises ValueError unless 0 <= rho < 1."""
    rho = rate_per_second * service_seconds
    if not 0 <= rho < 1:
        raise ValueError(f"rate x service time must be >= 0 and < 1, got {rho:g}")
    return rho


def _at_most(rho: float, longest: int) -> NDArray[np.float64]:
    """P(at most n requests wait) for n = 0..longest, the one in service not among them.

    The number in the system, from the balance of crossings between n - 1 and n at departures: p_n P(no
    arrival) = p_0 P(>= n arrivals) + sum over i = 1..n-1 of p_i P(> n - i arrivals), all positive.
    """
    more = pdtrc(np.arange(longest + 2), rho)  # P(more than k arrivals during one service)
    system = np.empty(longest + 2)
    system[0] = 1 - rho
    for n in range(1, longest + 2):
        flow = system[0] * more[n - 1] + system[1:n] @ more[n - 1 : 0 : -1]
        system[n] = flow * math.exp(rho)
    at_most: NDArray[np.float64] = np.minimum(1.0, system.cumsum()[1:])
    return at_most


def _waits_at_most(at_most: NDArray[np.float64], rho: float, services: float) -> float:
    """P(W <= services x s) = sum over j of P(at most m - j wait) Poisson(j; rho (m + 1 - services)).

    m = floor(services), one less than Franx's k; needs `at_most` up to m.
    """
    whole = min(math.floor(services), len(at_most) - 1)
    mean = rho * (whole + 1 - services)
    terms = np.ones(whole + 1)
    if whole:
        terms[1:] = mean / np.arange(1, whole + 1)
    weights = np.cumprod(terms) * math.exp(-mean)
    return float(at_most[whole::-1] @ weights)
