"""Two variants on the same rows: score and exact statistics for paired outcomes, and a bootstrap.

Everywhere `broken` counts the rows that only the baseline gets right, `fixed` those that only the
candidate gets right, and a difference is candidate minus baseline.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from optbench.records import Interval

FloatArray = NDArray[np.float64]
Outcome = Literal["not worse", "worse", "cannot tell"]
WeightedStatistic = Callable[..., FloatArray]
"""(weights [resamples, rows], *columns [rows]) to [resamples]: each row counts as often as its
weight says; NaN where undefined."""

GATE_LEVEL = 0.90
"""Two-sided level of the interval behind a gate: each of its ends is a one-sided 5% limit."""
POWER = 0.80
MOST_ROWS = 1e9
"""More rows than anybody labels: a number beyond is none."""

_CHUNK_WEIGHTS = 2_000_000
_MOST_UNDEFINED = 0.01
_NORMAL = NormalDist()


@dataclass(frozen=True)
class PairedCounts:
    """Rows in all, and those that one of two classifiers gets right and the other wrong."""

    rows: int
    broken: int
    fixed: int


def paired_counts(baseline: NDArray[np.bool_], candidate: NDArray[np.bool_]) -> PairedCounts:
    """Counts from which rows are right [rows]. Raises ValueError unless the lengths are equal."""
    if baseline.shape != candidate.shape or baseline.ndim != 1:
        raise ValueError(f"both must be [rows], got {baseline.shape} and {candidate.shape}")
    broken, fixed = np.sum(baseline & ~candidate), np.sum(~baseline & candidate)
    return PairedCounts(len(baseline), int(broken), int(fixed))


def tango_interval(broken: int, fixed: int, rows: int, level: float = 0.95) -> Interval:
    """Score interval of (fixed - broken) / rows; has a width even where no row is discordant.

    Raises ValueError for counts that no table can have. Source: Tango (1998), Statistics in
    Medicine 17, 891-908: all D with |fixed - broken - n D| <= z sqrt(n (2 q + D (1 - D))), where q
    is the maximum likelihood estimate of P(only the baseline is right) at difference D.
    """
    _check_table(broken, fixed, rows)
    z = _NORMAL.inv_cdf(upper_probability(level))
    if broken == fixed == 0:  # the general equation then has a second root at 0
        bound = z * z / (rows + z * z)
        return Interval(-bound, bound, level)
    low, high = -_upper_tango(fixed, broken, rows, z), _upper_tango(broken, fixed, rows, z)
    return Interval(low, high, level)


def _upper_tango(broken: int, fixed: int, rows: int, z: float) -> float:
    from scipy.optimize import brentq

    if fixed == rows:
        return 1.0
    if broken == rows:  # a second root at -1, as at 0 without discordant rows
        return (z * z - rows) / (z * z + rows)

    def excess(difference: float) -> float:
        linear = (2 * rows - fixed + broken) * difference - fixed - broken
        constant = -broken * difference * (1 - difference)
        root = math.sqrt(max(linear * linear - 8 * rows * constant, 0.0))
        only_baseline = (root - linear) / (4 * rows)
        variance = rows * (2 * only_baseline + difference * (1 - difference))
        return fixed - broken - rows * difference + z * math.sqrt(max(variance, 0.0))

    return float(brentq(excess, (fixed - broken) / rows, 1.0, xtol=1e-12))


def mcnemar_mid_p(broken: int, fixed: int) -> float:
    """Two-sided p of "as many broken as fixed"; 1 where no row is discordant.

    Raises ValueError for negative counts. Source: Fagerland, Lydersen & Laake (2013), BMC Medical
    Research Methodology 13:91: the exact conditional p less half the probability of the outcomes
    that are just as extreme as the observed one.
    """
    from scipy.stats import binom

    _check_table(broken, fixed, broken + fixed or 1)
    discordant = broken + fixed
    if discordant == 0:
        return 1.0
    point = float(binom.pmf(broken, discordant, 0.5))
    if broken == fixed:
        return 1 - point / 2
    return float(2 * binom.cdf(min(broken, fixed), discordant, 0.5) - point)


def wilson_interval(successes: int, rows: int, level: float = 0.95) -> Interval:
    """Score interval of one proportion. Raises ValueError unless 0 <= successes <= rows, rows > 0.

    Source: Wilson (1927), Journal of the American Statistical Association 22, 209-212.
    """
    _check_table(0, successes, rows)
    z = _NORMAL.inv_cdf(upper_probability(level))
    share = successes / rows
    scale = 1 + z * z / rows
    center = (share + z * z / (2 * rows)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows))
    low = 0.0 if successes == 0 else center - half
    return Interval(low, 1.0 if successes == rows else center + half, level)


def judge_margin(interval: Interval, margin: float, higher_is_better: bool = True) -> Outcome:
    """Whether `interval`, of candidate minus baseline, excludes a loss of `margin` or shows one."""
    low, high = interval.low, interval.high
    if not higher_is_better:
        low, high = -high, -low
    if low > -margin:
        return "not worse"
    return "worse" if high < -margin else "cannot tell"


def rows_needed(difference: float, variance: float, margin: float, level: float = GATE_LEVEL) -> int | None:
    """Rows that show a loss smaller than `margin` with 80% power; None if `difference` is no smaller loss.

    None says nothing about the true loss, which may be smaller than the one seen.

    n = variance (z_.95 + z_.80)^2 / (margin + difference)^2 with an interval of `level` 90%, where
    `variance` is that of one row's difference (discordant share minus difference^2); and never fewer than
    a table without any discordant row needs for its Tango limit z^2 / (n + z^2) to lie inside the margin.
    """
    if difference <= -margin:
        return None
    z = _NORMAL.inv_cdf(upper_probability(level))
    by_power = variance * ((z + _NORMAL.inv_cdf(POWER)) / (margin + difference)) ** 2
    return max(math.ceil(by_power), math.floor(z * z * (1 - margin) / margin) + 1)


def rows_to_tell(difference: float, bound: float, variance: float, level: float = 0.95) -> int | None:
    """Rows whose interval of `level` leaves out `bound` with 80% power; None from `MOST_ROWS` on.

    n = variance ((z_.975 + z_.80) / (difference - bound))^2, and never fewer than `rows_needed` tells for a
    table without any discordant row.
    """
    if difference == bound:
        return None
    z, distance = _NORMAL.inv_cdf(upper_probability(level)), abs(bound)
    ratio = (z + _NORMAL.inv_cdf(POWER)) / (difference - bound)
    by_power = variance * ratio * ratio
    if not by_power < MOST_ROWS:
        return None
    without_discordant = math.floor(z * z * (1 - distance) / distance) + 1 if 0 < distance < 1 else 1
    return max(math.ceil(by_power), without_discordant)


def paired_t_interval(differences: FloatArray, level: float = 0.95) -> Interval:
    """Student t interval of the mean of `differences` [rows]. Raises ValueError below two rows."""
    from scipy.special import stdtrit

    if len(differences) < 2:
        raise ValueError(f"a t interval needs at least two rows, got {len(differences)}")
    mean, rows = float(np.mean(differences)), len(differences)
    quantile = float(stdtrit(rows - 1, upper_probability(level)))
    half = quantile * float(np.std(differences, ddof=1)) / math.sqrt(rows)
    return Interval(mean - half, mean + half, level)


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """A bootstrap distribution: the observed value and the values [resamples] that are defined.

    acceleration: the BCa constant from the jackknife; null where it was not cheap or not defined,
    and the interval is then the percentile interval.
    """

    estimate: float
    values: FloatArray
    undefined: int
    acceleration: float | None

    def interval(self, level: float = 0.95) -> Interval | None:
        """BCa or percentile interval, widened to hold the estimate; None if over 1% is undefined.

        Source: Efron & Tibshirani (1993), An Introduction to the Bootstrap, ch. 13 and 14.3.
        """
        if self.undefined > _MOST_UNDEFINED * (self.undefined + len(self.values)):
            return None
        ends = [
            self._adjusted(1 - upper_probability(level)),
            self._adjusted(upper_probability(level)),
        ]
        low, high = (float(value) for value in np.quantile(self.values, ends))
        return Interval(min(low, self.estimate), max(high, self.estimate), level)

    def _adjusted(self, probability: float) -> float:
        noise = 1e-12 * max(1.0, abs(self.estimate))
        below = float(np.mean(self.values < self.estimate - noise))
        share = below + float(np.mean(np.abs(self.values - self.estimate) <= noise)) / 2
        if self.acceleration is None or not 0 < share < 1:
            return probability
        bias = _NORMAL.inv_cdf(share)
        shifted = bias + _NORMAL.inv_cdf(probability)
        stretch = 1 - self.acceleration * shifted
        return _NORMAL.cdf(bias + shifted / stretch) if stretch > 0 else probability


def paired_bootstrap(
    statistic: WeightedStatistic, *columns: NDArray[Any], resamples: int = 10_000, seed: int = 0
) -> Bootstrap:
    """Bootstrap distribution of `statistic` over rows; each of `columns` is [rows], kept together.

    Equal rows are drawn together: how often each distinct row occurs is multinomial, so the work
    depends on the distinct rows only. BCa where the jackknife adds at most a fifth of it. Raises
    ValueError without rows, or for columns of different lengths.
    """
    lengths = {len(column) for column in columns}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(f"columns must have one length of at least 1, got {sorted(lengths)}")
    distinct, counts = distinct_rows(*columns)
    rows, cells = int(counts.sum()), len(counts)
    rng = np.random.default_rng(seed)

    def draw(start: int, stop: int) -> FloatArray:
        return rng.multinomial(rows, counts / rows, size=stop - start).astype(np.float64)

    def leave_one_out(start: int, stop: int) -> FloatArray:
        return counts - np.eye(stop - start, cells, start)

    def values(total: int, weights: Callable[[int, int], FloatArray]) -> FloatArray:
        size = max(1, _CHUNK_WEIGHTS // cells)
        spans = ((start, min(start + size, total)) for start in range(0, total, size))
        return np.concatenate([statistic(weights(*span), *distinct) for span in spans])

    drawn = values(resamples, draw)
    defined = drawn[np.isfinite(drawn)]
    cheap = rows > 1 and cells <= resamples // 5
    jackknife = values(cells, leave_one_out) if cheap else np.array([math.nan])
    estimate = float(statistic(counts[None, :], *distinct)[0])
    acceleration = _acceleration(jackknife, counts)
    return Bootstrap(estimate, defined, resamples - len(defined), acceleration)


def distinct_rows(*columns: NDArray[Any]) -> tuple[list[NDArray[Any]], FloatArray]:
    """The distinct rows of `columns` (each [rows]), and how often each occurs: float [distinct]."""
    codes = np.stack([np.unique(column, return_inverse=True)[1] for column in columns], axis=1)
    _, first, counts = np.unique(codes, axis=0, return_index=True, return_counts=True)
    return [column[first] for column in columns], counts.astype(np.float64)


def _acceleration(jackknife: FloatArray, counts: FloatArray) -> float | None:
    if not np.isfinite(jackknife).all():
        return None
    influence = np.average(jackknife, weights=counts) - jackknife
    largest = float(np.max(np.abs(influence)))
    if largest == 0:
        return 0.0
    influence = influence / largest  # it has no unit, and cubes of tiny differences would underflow
    return float(np.sum(counts * influence**3) / (6 * np.sum(counts * influence**2) ** 1.5))


def _check_table(broken: int, fixed: int, rows: int) -> None:
    if rows < 1 or min(broken, fixed) < 0 or broken + fixed > rows:
        raise ValueError(f"counts must fit into the rows, got {broken} and {fixed} of {rows}")


def upper_probability(level: float) -> float:
    """Probability below the upper end of a two-sided interval. Raises ValueError outside (0, 1)."""
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level:g}")
    return 0.5 + level / 2
