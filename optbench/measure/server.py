"""The open loop: requests arrive when they will, whether or not the server is ready for them.

Latency counts from the *intended* arrival, so a server that stalls cannot hide it by making its
clients wait (Tene, "coordinated omission"). Latencies of one stream autocorrelate; every test here is
over replicates, each a fresh process with arrivals of its own. `md1` holds what theory says, `capacity`
looks for the rate that a latency bound allows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from optbench.measure.percentiles import earned_calls

Arrivals = Literal["poisson", "constant"]
Sustained = Literal["sustainable", "not", "unclear"]
Seconds = NDArray[np.float64]

SETTLING_SHARE = 0.1
"""First share of a trial's requests that never counts: they find the queue emptier than later ones."""
MIDDLE = (0.4, 0.6)
END = (0.8, 1.0)
LEVEL = 0.95
LEAST_GROWTH_REQUESTS = 1.0
"""A backlog that grows by less than one request does not grow."""


def arrival_pattern(count: int, kind: Arrivals = "poisson", seed: int | Sequence[int] = 0) -> Seconds:
    """Times at which requests arrive at a rate of one per second, ascending [count].

    Divided by a rate it is the same pattern at that rate, so that variants and rates are asked alike.
    Raises ValueError without a request.
    """
    if count < 1:
        raise ValueError(f"a stream needs at least 1 request, got {count}")
    gaps = np.ones(count)
    if kind == "poisson":
        gaps = np.random.default_rng(seed).standard_exponential(count)
    return gaps.cumsum()


def first_come_first_served(arrivals: Seconds, service: Seconds) -> tuple[Seconds, Seconds]:
    """Start and completion [requests] at one server, from arrival times and service times [requests].

    Source: Lindley 1952, "The theory of queues with a single server", unrolled.
    """
    done = service.cumsum()
    start = np.maximum.accumulate(arrivals - (done - service)) + (done - service)
    return start, start + service


@dataclass(frozen=True, eq=False)
class Trial:
    """What one process did with one stream of requests; all times on one monotonic clock [requests].

    intended_arrival_ns: when a request should have come. sent_ns: when the generator sent it.
    """

    rate_per_second: float
    intended_arrival_ns: NDArray[np.int64]
    sent_ns: NDArray[np.int64]
    start_ns: NDArray[np.int64]
    completion_ns: NDArray[np.int64]

    @property
    def latency_seconds(self) -> Seconds:
        """Completion minus intended arrival of every request, the settling ones included."""
        return (self.completion_ns - self.intended_arrival_ns) / 1e9

    @property
    def lateness_seconds(self) -> Seconds:
        """How much later than intended the generator sent each request: its own fault."""
        return (self.sent_ns - self.intended_arrival_ns) / 1e9

    @property
    def service_seconds(self) -> float:
        """Mean time from start to completion of the requests that count."""
        return float((self.completion_ns - self.start_ns)[self.settling :].mean() / 1e9)

    @property
    def queue_lengths(self) -> NDArray[np.int64]:
        """Requests that were not yet answered when each one should have arrived, itself excluded."""
        answered = np.searchsorted(self.completion_ns, self.intended_arrival_ns, side="right")
        return np.arange(len(self.intended_arrival_ns)) - answered

    @property
    def settling(self) -> int:
        """How many requests at the beginning never count."""
        return settling_requests(len(self.intended_arrival_ns))

    @property
    def counted_seconds(self) -> Seconds:
        """Latencies that count."""
        return self.latency_seconds[self.settling :]

    def percentile_seconds(self, percentile: float) -> float:
        """A percentile of the latencies that count."""
        return float(np.quantile(self.counted_seconds, percentile))

    @property
    def growth_requests(self) -> float:
        """Mean queue of the last fifth of the requests minus that of the fifth in the middle."""
        lengths, count = self.queue_lengths, len(self.intended_arrival_ns)
        middle, end = (lengths[round(a * count) : round(b * count)] for a, b in (MIDDLE, END))
        return float(end.mean() - middle.mean()) if len(middle) and len(end) else 0.0


def settling_requests(count: int) -> int:
    """How many of `count` requests at the beginning never count."""
    return math.ceil(SETTLING_SHARE * count)


def fewest_requests(percentile: float) -> int:
    """Requests of a stream of which enough count for a percentile."""
    return math.ceil(earned_calls(percentile) / (1 - SETTLING_SHARE))


def lower_and_upper(values: Sequence[float]) -> tuple[float, float]:
    """One-sided 95% Student t limits of the mean over replicates; infinite below two of them."""
    count = len(values)
    if count < 2:
        return -math.inf, math.inf
    half = float(stdtrit(count - 1, LEVEL)) * float(np.std(values, ddof=1)) / math.sqrt(count)
    centre = math.fsum(values) / count
    return centre - half, centre + half


def backlog_grows(trials: Sequence[Trial]) -> bool:
    """Whether the queue at the end exceeds that in the middle beyond chance, and by a request or more.

    A one-sided t test at 5% over replicates of the difference of window means; False below two.
    """
    growths = [trial.growth_requests for trial in trials]
    if len(growths) < 2 or float(np.mean(growths)) < LEAST_GROWTH_REQUESTS:
        return False
    return lower_and_upper(growths)[0] > 0


def is_sustainable(trials: Sequence[Trial], bound_seconds: float, percentile: float = 0.95) -> Sustained:
    """Whether trials at one rate show that the percentile of the latency stays within the bound.

    Sustainable if the upper limit over replicates (t on the logs: percentiles under load are skewed)
    is within the bound and the backlog does not grow; not if the lower limit is above the bound or
    the backlog grows; else unclear, as it is with one trial.
    """
    if backlog_grows(trials):
        return "not"
    logs = [math.log(trial.percentile_seconds(percentile)) for trial in trials]
    low, high = lower_and_upper(logs)
    if high <= math.log(bound_seconds):
        return "sustainable"
    return "not" if low > math.log(bound_seconds) else "unclear"
