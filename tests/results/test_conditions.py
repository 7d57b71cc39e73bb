"""One condition against one measure: fail and pass beyond doubt only, and why neither."""

import pytest

from optbench.errors import ConfigError
from optbench.records import Estimate, Interval
from optbench.records.comparison import Judgement, Measure
from optbench.results.conditions import judge, parse

SLOWER = parse("speedup<0.97")
TEXT = "speedup<0.97"


def measure(value, low=None, high=None, **more):
    interval = None if low is None else Interval(low, high)
    return Measure(1.0, value, Estimate(value, interval), **more)


@pytest.mark.parametrize("known", [None, Measure(1.0, 2.0, None)])
def test_what_is_not_known_of_both_decides_nothing(known):
    expected = Judgement(TEXT, "inconclusive", None, "speedup is not known of both")
    assert judge(SLOWER, known, None, 0.0) == expected


@pytest.mark.parametrize(("value", "outcome"), [(0.9, "fail"), (0.97, "pass"), (1.2, "pass")])
def test_an_exact_number_is_held_against_the_bound_itself(value, outcome):
    exact = measure(value, exact=True)
    assert judge(SLOWER, exact, None, 0.0) == Judgement(TEXT, outcome, exact.change)


def test_a_change_without_interval_decides_nothing_and_says_why():
    bare = measure(0.5)
    assert judge(SLOWER, bare, None, 0.0) == Judgement(
        TEXT, "inconclusive", bare.change, "there is no interval"
    )
    told = Measure(1.0, 0.5, Estimate(0.5, reason="one replicate"))
    assert judge(SLOWER, told, None, 0.0) == Judgement(TEXT, "inconclusive", told.change, "one replicate")


@pytest.mark.parametrize(
    ("low", "high", "p", "floor", "outcome", "reason"),
    [
        (0.80, 0.90, None, 0.0, "fail", None),
        (0.80, 0.90, 0.05, 0.0, "fail", None),
        (
            0.80,
            0.90,
            0.051,
            0.0,
            "inconclusive",
            "p 0.051 against the bound, adjusted for the number of points",
        ),
        (0.80, 0.90, None, 0.2, "inconclusive", "a variant differs from itself by 20.0% on this machine"),
        (0.90, 0.98, None, 0.0, "inconclusive", "the interval holds the bound"),
        (0.98, 1.10, 0.5, 0.0, "pass", None),
        (0.97, 1.10, None, 0.0, "pass", None),
    ],
)
def test_an_interval_decides_where_it_lies_on_one_side(low, high, p, floor, outcome, reason):
    found = measure((low + high) / 2, low, high)
    assert judge(SLOWER, found, p, floor) == Judgement(TEXT, outcome, found.change, reason)


def test_the_noise_floor_is_one_of_speed_alone_and_counts_in_both_directions():
    faster = measure(1.15, 1.10, 1.20)
    assert judge(parse("speedup>1.05"), faster, None, 0.2).outcome == "inconclusive"
    assert judge(parse("cpu_speedup>1.05"), faster, None, 0.2).outcome == "inconclusive"
    assert judge(parse("p95_ratio>1.05"), faster, None, 0.2).outcome == "fail"
    assert judge(parse("speedup>1.05"), faster, None, 0.15).outcome == "fail"
    slower = measure(0.5, 0.4, 0.6)  # a floor of 1 reaches from one half to the double
    assert judge(SLOWER, slower, None, 1.01).outcome == "inconclusive"
    assert judge(SLOWER, slower, None, 1.0).outcome == "fail"


def test_a_condition_that_is_refused_lists_what_can_be_asked():
    with pytest.raises(ConfigError, match="METRIC is one of speedup, cpu_speedup, p50_ratio, p90_ratio, p95"):
        parse("speed<1")
