"""Scales: where values lie, and which of them are worth a tick."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optbench.reports.html.scales import Scale, scale


def test_values_lie_between_the_ends_in_proportion():
    linear = Scale(0.0, 10.0, 100.0, 300.0)
    assert [linear(value) for value in (0.0, 2.5, 10.0, 99.0)] == [100.0, 150.0, 300.0, 300.0]
    log = Scale(1.0, 100.0, 0.0, 2.0, log=True)
    assert [log(value) for value in (1.0, 10.0, 100.0)] == pytest.approx([0.0, 1.0, 2.0])
    assert not log.holds(101.0)


@pytest.mark.parametrize(
    ("made", "ticks"),
    [
        (Scale(0.0, 10.0, 0, 1), [0, 2, 4, 6, 8, 10]),
        (Scale(-0.012, 0.011, 0, 1), [-0.01, -0.005, 0.0, 0.005, 0.01]),
        (Scale(0.9, 1.31, 0, 1, log=True), [0.9, 1.0, 1.1, 1.2, 1.3]),
        (Scale(0.001, 0.3, 0, 1, log=True), [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2]),
        (Scale(1e-9, 1e9, 0, 1, log=True), [1e-9, 1e-5, 1e-1, 1e3, 1e7]),
    ],
)
def test_ticks_are_round(made, ticks):
    assert made.ticks() == pytest.approx(ticks)


numbers = st.floats(allow_nan=True, allow_infinity=True)


@given(st.lists(numbers, max_size=6), st.booleans())
def test_any_values_give_a_scale_whose_places_and_ticks_are_finite(values, log):
    made = scale(values, 10.0, 20.0, log=log)
    ticks = made.ticks()
    assert 0 < len(ticks) <= 201
    for value in [*ticks, *(value for value in values if math.isfinite(value))]:
        assert value == 0 or math.isfinite(value)
        if value > 0 or not log:
            assert 10.0 - 1e-6 <= made(value) <= 20.0 + 1e-6
