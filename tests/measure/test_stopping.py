"""When it is enough."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optbench.measure.stopping import StopRule

RULE = StopRule(replicates=5, max_replicates=20, precision=0.02, budget_seconds=60)


@pytest.mark.parametrize(
    ("least", "most", "looks"),
    [
        (5, 20, (5, 7, 10, 14, 20)),
        (10, 60, (10, 14, 20, 30, 40, 50, 60)),
        (6, 18, (6, 7, 10, 14, 18)),
        (5, 24, (5, 7, 10, 14, 20, 24)),
        (2, 20, (5, 7, 10, 14, 20)),
        (2, 4, (4,)),
        (1, 1, (1,)),
        (8, 8, (8,)),
    ],
)
def test_looks_lie_between_the_least_and_the_most_replicates(least, most, looks):
    assert StopRule(least, most).looks() == looks


def test_a_narrow_interval_ends_it_at_a_look():
    assert RULE.decide(5, 0.02, 10) == "precision"
    assert RULE.decide(5, 0.0201, 10) is None
    assert RULE.decide(20, 0.01, 10) == "precision"


def test_between_looks_nobody_looks():
    assert RULE.decide(6, 0.0001, 10) is None
    assert RULE.decide(4, 0.0001, 10) is None
    assert RULE.decide(17, 0.0001, 10) is None


def test_the_last_look_ends_it_however_wide():
    assert RULE.decide(20, 0.5, 50) == "max_replicates"
    assert StopRule(2, 4).decide(4, 0.5, 1) == "max_replicates"


def test_it_ends_when_the_next_look_would_outlast_the_budget():
    # 10 replicates took 40 s, so 14 would take 56 s; 14 took 42.1 s, so 20 would take 60.1 s
    assert RULE.decide(10, 0.5, 40) is None
    assert RULE.decide(14, 0.5, 42.1) == "budget"


def test_the_least_replicates_are_measured_whatever_they_cost():
    assert RULE.decide(4, None, 1000) is None
    assert RULE.decide(5, 0.5, 1000) == "budget"


def test_a_budget_that_is_spent_between_looks_ends_it_there():
    assert RULE.decide(8, 0.5, 61) == "budget"
    assert RULE.decide(8, 0.5, 60) is None


def test_an_interval_narrow_enough_is_precision_also_when_the_budget_is_spent():
    assert RULE.decide(5, 0.01, 1000) == "precision"


def test_a_fixed_number_of_replicates_ignores_width_and_budget():
    fixed = StopRule(7, 7, precision=0.02, budget_seconds=1)
    assert fixed.decide(5, 0.0, 1000) is None
    assert fixed.decide(7, 0.0, 1000) == "fixed"
    assert StopRule(1, 1).decide(1, None, 0) == "fixed"


def test_without_precision_and_budget_only_the_number_ends_it():
    patient = StopRule(5, 10, precision=None, budget_seconds=None)
    assert patient.decide(7, 0.0, 1e9) is None
    assert patient.decide(10, 0.0, 1e9) == "max_replicates"


def test_seconds_left_follow_the_cost_of_a_replicate():
    assert RULE.seconds_left(0, 0) is None
    assert RULE.seconds_left(10, 20) == pytest.approx(20)  # ten more at 2 s each
    assert RULE.seconds_left(5, 50) == pytest.approx(10)  # the rest of the budget
    assert RULE.seconds_left(1, 70) == pytest.approx(280)  # the least number, over budget
    assert RULE.seconds_left(20, 30) == 0.0  # all are measured, whatever the budget leaves
    assert RULE.seconds_left(10, 100) == 0.0  # the budget is spent
    assert StopRule(8, 8).seconds_left(2, 20) == pytest.approx(60)
    assert StopRule(5, 10, budget_seconds=None).seconds_left(2, 20) == pytest.approx(80)


@settings(deadline=None)
@given(
    st.integers(1, 30),
    st.integers(1, 80),
    st.floats(0.001, 0.5),
    st.lists(st.floats(0, 1), min_size=120, max_size=120),
    st.floats(0, 20),
)
def test_every_run_ends_between_the_least_and_the_most(least, most, precision, widths, cost):
    rule = StopRule(least, most, precision, 60)
    done = 1
    while rule.decide(done, widths[done], done * cost) is None:
        done += 1
    assert least <= done <= max(least, most)
