"""The open loop: requests arrive when they will, and a rate is sustained or it is not.

Latency counts from the *intended* arrival, so a server that stalls cannot hide it by making its
clients wait (Tene, "coordinated omission"). Latencies of one stream autocorrelate; every test here is
over replicates, each a fresh process with arrivals of its own. `md1` holds what theory says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from optbench.measure.percentiles import earned_calls

Arrivals = Literal["poisson", "constant"]
Sustained = Literal["sustainable", "not", "unclear"]

SETTLING_SHARE = 0.1
"""First share of a trial's requests that never counts: they find the queue emptier than later ones."""
MIDDLE = (0.4, 0.6)
END = (0.8, 1.0)
LEVEL = 0.95
"""One-sided; what the repeated looks at a rate make of it stands in `CapacitySearch`."""
LEAST_GROWTH_REQUESTS = 1.0
"""A backlog that grows by less than one request does not grow."""
FIRST_STEP = 1.16
"""Factor of the first step of the bracketing: two bisections bring it below 4%."""


def arrivals(
    rate_per_second: float, duration_seconds: float, kind: Arrivals = "poisson", seed: int | Sequence[int] = 0
) -> NDArray[np.int64]:
    """Nanoseconds from the start at which requests arrive within the duration, ascending [requests].

    The same seed gives the same pattern at every rate, only faster or slower, so that variants are
    asked alike. Raises ValueError unless both numbers are positive.
    """
    if min(rate_per_second, duration_seconds) <= 0:
        raise ValueError(
            f"rate and duration must be > 0, got {rate_per_second:g}/s and {duration_seconds:g} s"
        )
    expected = rate_per_second * duration_seconds
    if kind == "constant":
        gaps = np.ones(math.floor(expected))
    else:
        rng = np.random.default_rng(seed)
        gaps = np.empty(0)
        while gaps.sum() < expected:
            gaps = np.concatenate([gaps, rng.standard_exponential(1024)])
    times = gaps.cumsum()
    return np.rint(times[times <= expected] / rate_per_second * 1e9).astype(np.int64)


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
    def latency_seconds(self) -> NDArray[np.float64]:
        """Completion minus intended arrival of every request, the settling ones included."""
        return (self.completion_ns - self.intended_arrival_ns) / 1e9

    @property
    def lateness_seconds(self) -> NDArray[np.float64]:
        """How much later than intended the generator sent each request: its own fault."""
        return (self.sent_ns - self.intended_arrival_ns) / 1e9

    @property
    def queue_lengths(self) -> NDArray[np.int64]:
        """Requests that were not yet answered when each one should have arrived, itself excluded."""
        answered = np.searchsorted(self.completion_ns, self.intended_arrival_ns, side="right")
        return np.arange(len(self.intended_arrival_ns)) - answered

    @property
    def settling(self) -> int:
        """How many requests at the beginning never count."""
        return math.ceil(SETTLING_SHARE * len(self.intended_arrival_ns))

    @property
    def counted_seconds(self) -> NDArray[np.float64]:
        """Latencies that count."""
        return self.latency_seconds[self.settling :]

    @property
    def growth_requests(self) -> float:
        """Mean queue of the last fifth of the requests minus that of the fifth in the middle."""
        lengths, count = self.queue_lengths, len(self.intended_arrival_ns)
        middle, end = (lengths[round(a * count) : round(b * count)] for a, b in (MIDDLE, END))
        return float(end.mean() - middle.mean()) if len(middle) and len(end) else 0.0


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


def log_percentiles(trials: Sequence[Trial], percentile: float) -> list[float]:
    """Log of each trial's latency percentile in log seconds; empty if a trial is too short for it."""
    if any(len(trial.counted_seconds) < earned_calls(percentile) for trial in trials):
        return []
    return [math.log(float(np.quantile(trial.counted_seconds, percentile))) for trial in trials]


def is_sustainable(trials: Sequence[Trial], bound_seconds: float, percentile: float = 0.95) -> Sustained:
    """Whether trials at one rate show that the percentile of the latency stays within the bound.

    Sustainable if the upper limit over replicates (t on the logs: percentiles under load are skewed)
    is within the bound and the backlog does not grow; not if the lower limit is above the bound or
    the backlog grows; else unclear, as it is with one trial.
    """
    if backlog_grows(trials):
        return "not"
    low, high = lower_and_upper(log_percentiles(trials, percentile))
    if high <= math.log(bound_seconds):
        return "sustainable"
    return "not" if low > math.log(bound_seconds) else "unclear"


@dataclass(frozen=True)
class OfferedRate:
    """One rate, its trials, the percentile over them (geometric mean), and what they show."""

    rate_per_second: float
    trials: int
    percentile_seconds: float | None
    sustained: Sustained
    leans_sustainable: bool


@dataclass(frozen=True)
class FoundCapacity:
    """The rate at which the percentile meets the bound; all in requests per second.

    low: highest rate shown to be sustainable. high: lowest rate shown not to be. Either is null where
    nothing was shown, and `requests_per_second` where no rate below or above the bound was found.
    """

    requests_per_second: float | None
    low: float | None
    high: float | None
    reason: str | None = None


@dataclass
class CapacitySearch:
    """Proposes rates until the bound is bracketed to `tolerance`: steps that square, then bisection.

    start_rate: requests per second to begin with. replicates, max_replicates: trials at a rate; more
    than the fewest only while the rate stays unclear, then the side its percentile lies on counts.
    min_rate: no rate below this is tried.

    Looks at 3 to 6 trials call a rate at capacity sustainable in 6 to 8% and not sustainable in 5 to
    8% of cases (`scripts/check_instrument.py server_looks`).
    """

    start_rate: float
    bound_seconds: float
    percentile: float = 0.95
    replicates: int = 3
    max_replicates: int = 6
    tolerance: float = 0.04
    min_rate: float = 0.0
    trials: dict[float, list[Trial]] = field(default_factory=dict)

    def add(self, rate: float, trial: Trial) -> None:
        """Take note of a trial at a rate that was proposed."""
        self.trials.setdefault(rate, []).append(trial)

    def offered(self) -> list[OfferedRate]:
        """Everything tried so far, by ascending rate."""
        return [self._judge(rate) for rate in sorted(self.trials)]

    def next_rate(self) -> float | None:
        """The rate to try next, in requests per second; null when the search is over."""
        if not self.trials:
            return max(self.start_rate, self.min_rate)
        current = list(self.trials)[-1]
        judged = self._judge(current)
        if judged.trials < self.replicates:
            return current
        if judged.sustained == "unclear" and judged.trials < self.max_replicates:
            return current
        below, above = self._bracket()
        if below is not None and above is not None:
            low, high = below.rate_per_second, above.rate_per_second
            return None if high <= low * (1 + self.tolerance) else math.sqrt(low * high)
        step: float = FIRST_STEP ** (2.0 ** (len(self.trials) - 1))
        if below is not None:
            return current * step
        return None if current <= self.min_rate else max(self.min_rate, current / step)

    def found(self) -> FoundCapacity:
        """The capacity as far as it is known: log percentile interpolated over log rate."""
        offered = self.offered()
        high = min((o.rate_per_second for o in offered if o.sustained == "not"), default=None)
        limit = math.inf if high is None else high
        shown = (o.rate_per_second for o in offered if o.sustained == "sustainable")
        low = max((rate for rate in shown if rate < limit), default=None)
        below, above = self._bracket()
        if below is None:
            return FoundCapacity(None, low, high, "no rate that was tried keeps the bound")
        if above is None:
            return FoundCapacity(None, low, high, "every rate that was tried keeps the bound")
        share = crossing(below.percentile_seconds, above.percentile_seconds, self.bound_seconds)
        ratio = above.rate_per_second / below.rate_per_second
        return FoundCapacity(below.rate_per_second * ratio**share, low, high)

    def _judge(self, rate: float) -> OfferedRate:
        trials = self.trials[rate]
        logs = log_percentiles(trials, self.percentile)
        sustained = is_sustainable(trials, self.bound_seconds, self.percentile)
        seconds = math.exp(math.fsum(logs) / len(logs)) if logs else None
        leans = sustained != "not" and seconds is not None and seconds <= self.bound_seconds
        return OfferedRate(rate, len(trials), seconds, sustained, leans)

    def _bracket(self) -> tuple[OfferedRate | None, OfferedRate | None]:
        """The lowest rate that leans to failing, and the highest one below it that does not."""
        offered = self.offered()
        above = next((o for o in offered if not o.leans_sustainable), None)
        limit = math.inf if above is None else above.rate_per_second
        passing = [o for o in offered if o.rate_per_second < limit]
        return (passing[-1] if passing else None), above


def crossing(below_seconds: float | None, above_seconds: float | None, bound_seconds: float) -> float:
    """Where between two rates (0 to 1) the log percentile meets the bound; 0.5 where it cannot tell."""
    if below_seconds is None or above_seconds is None or above_seconds <= below_seconds:
        return 0.5
    share = math.log(bound_seconds / below_seconds) / math.log(above_seconds / below_seconds)
    return min(1.0, max(0.0, share))
