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
        (
            0.90,
            0.98,
            None,
            0.0,
            "inconclusive",
            "the interval holds the bound; more replicates in both runs narrow it (measure.replicates)",
        ),
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


LOST = parse("accuracy_change<-0.01")


def accuracy(value, low, high, rows, **flips):
    return Measure(0.9, 0.9 + value, Estimate(value, Interval(low, high)), rows=rows, **flips)


def test_an_undecided_change_of_answers_says_how_many_rows_would_settle_it():
    """Without a changed row Tango's limit is z^2 / (n + z^2): below 0.01 from 1.96^2 0.99 / 0.01 on."""
    judged = judge(LOST, accuracy(0.0, -0.025, 0.025, 150, broken=0, fixed=0), None, 0.0)
    assert (judged.outcome, judged.rows_needed) == ("inconclusive", 381)
    assert judged.reason == "the interval holds the bound; about 381 rows would settle it, 150 here"


def test_rows_that_changed_and_widths_of_intervals_tell_the_same_number_of_rows():
    """Variance of a row 6/200 - 0.01^2 = 0.0299; its interval is +-1.96 sqrt(0.0299 / 200)."""
    half = 1.959964 * (0.0299 / 200) ** 0.5
    counted = judge(LOST, accuracy(0.01, -0.02, 0.03, 200, broken=2, fixed=4), None, 0.0)
    measured = judge(LOST, accuracy(0.01, 0.01 - half, 0.01 + half, 200), None, 0.0)
    expected = 0.0299 * ((1.959964 + 0.841621) / 0.02) ** 2  # 586.7
    assert counted.rows_needed == measured.rows_needed == 587 == int(expected) + 1


def test_from_a_change_that_lies_on_the_bound_no_number_of_rows_is_computed():
    judged = judge(LOST, accuracy(-0.01, -0.03, 0.01, 200), None, 0.0)
    assert judged.rows_needed is None
    assert judged.reason == (
        "the interval holds the bound; more rows would tell, but a change that lies on it does not say "
        "how many"
    )


@pytest.mark.parametrize(
    ("low", "high", "rows"), [(-1e308, 1e308, 200), (-1e200, 1e200, 10**400), (-0.02, 0.02, 10**400)]
)
def test_numbers_that_no_run_has_lead_to_no_number_of_rows(low, high, rows):
    assert judge(LOST, accuracy(0.0, low, high, rows), None, 0.0).rows_needed is None
    assert (
        judge(parse("accuracy_change<1e-300"), accuracy(0.0, low, high, rows), None, 0.0).rows_needed is None
    )


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0])
def test_an_interval_at_an_impossible_level_leads_to_no_number_of_rows(level):
    odd = Measure(0.9, 0.9, Estimate(0.0, Interval(-0.1, 0.1, level)), rows=200)
    assert judge(LOST, odd, None, 0.0).rows_needed is None


def test_a_condition_on_neither_speed_nor_rows_says_only_that_the_bound_is_held():
    found = measure(1.0, 0.9, 1.2)
    assert judge(parse("p95_ratio>1.1"), found, None, 0.0).reason == "the interval holds the bound"
