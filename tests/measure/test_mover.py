"""Intervals of differences and ratios, by hand."""

import math

import pytest

from optbench.measure.mover import difference, logarithm, ratio
from optbench.records import Estimate, Interval

KNOWN = Estimate(1.0, Interval(0.5, 2.0))


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        (Estimate(3.0, reason="few"), Estimate(1.0, reason="none"), "few"),
        (KNOWN, Estimate(1.0, reason="none"), "none"),
        (Estimate(3.0), KNOWN, "one of both has no interval"),
        (KNOWN, Estimate(1.0), "one of both has no interval"),
    ],
)
def test_a_difference_without_an_interval_says_why(first, second, reason):
    assert difference(first, second) == Estimate(first.value - second.value, reason=reason)


def test_a_difference_has_the_level_of_its_parts():
    first, second = Estimate(10.0, Interval(7.0, 22.0, 0.9)), Estimate(7.0, Interval(2.0, 11.0, 0.9))
    assert difference(first, second) == Estimate(3.0, Interval(-2.0, 16.0, 0.9))


def test_a_logarithm_is_that_of_the_value_and_of_both_ends():
    found = logarithm(Estimate(0.5, Interval(0.25, 2.0, 0.9), "said"))
    assert (found.value, found.reason) == (pytest.approx(-math.log(2)), "said")
    assert (found.interval.low, found.interval.high) == pytest.approx((-2 * math.log(2), math.log(2)))
    assert found.interval.level == 0.9


@pytest.mark.parametrize(
    "estimate",
    [
        Estimate(0.0),
        Estimate(-1.0),
        Estimate(1.0, Interval(0.0, 2.0)),
        Estimate(1.0, Interval(2.0, 0.0)),
        Estimate(-1.0, Interval(1.0, 2.0)),
    ],
)
def test_what_is_not_positive_throughout_has_no_logarithm_and_no_ratio(estimate):
    assert logarithm(estimate) is None
    assert ratio(estimate, KNOWN) is None
    assert ratio(KNOWN, estimate) is None


def test_a_ratio_is_a_difference_on_the_log_scale():
    """In powers of two: 2 (1 to 4) less 1 (0 to 2) is 1, with ends 1 - sqrt(1 + 1) and 1 + sqrt(4 + 1)."""
    found = ratio(Estimate(4.0, Interval(2.0, 16.0, 0.9)), Estimate(2.0, Interval(1.0, 4.0, 0.9)))
    assert found.value == pytest.approx(2.0)
    ends = (2 ** (1 - math.sqrt(2)), 2 ** (1 + math.sqrt(5)))
    assert (found.interval.low, found.interval.high) == pytest.approx(ends)
    assert found.interval.level == 0.9


def test_a_ratio_without_an_interval_says_why():
    found = ratio(Estimate(3.0, reason="few"), KNOWN)
    assert (found.value, found.interval, found.reason) == (pytest.approx(3.0), None, "few")


def test_a_ratio_that_no_float_holds_is_none():
    assert ratio(Estimate(1e300), Estimate(1e-300)) is None
    wide = Estimate(1.0, Interval(1e-300, 1e300))
    assert ratio(wide, wide) is None
