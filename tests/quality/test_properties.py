"""What holds of every comparison of answers, whatever the rows: ranges, symmetries, order."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optbench.quality import paired
from optbench.quality.compare import compare_predictions
from optbench.quality.metrics import METRICS

CLASS_METRICS = [metric for metric in METRICS.values() if metric.kind == "classification"]
quick = settings(deadline=None, max_examples=60)
few = settings(deadline=None, max_examples=15)
levels = st.floats(0.5, 0.98)
numbers = st.lists(st.floats(-100, 100), min_size=2, max_size=30)


@st.composite
def tables(draw):
    """Broken, fixed and all rows."""
    rows = draw(st.integers(1, 300))
    broken = draw(st.integers(0, rows))
    return broken, draw(st.integers(0, rows - broken)), rows


@st.composite
def answers(draw):
    """References and both variants' labels, of 4 to 40 rows with up to three labels."""
    count = draw(st.integers(4, 40))
    column = st.lists(st.integers(0, 2), min_size=count, max_size=count)
    return [np.array(draw(column)) for _ in range(3)]


def ends(interval):
    return interval.low, interval.high


@quick
@given(st.integers(1, 500), st.floats(0, 1), levels)
def test_wilsons_interval_holds_the_share_stays_in_range_and_widens_with_the_level(rows, share, level):
    successes = round(share * rows)
    low, high = ends(paired.wilson_interval(successes, rows, level))
    assert 0 <= low <= successes / rows + 1e-12
    assert successes / rows - 1e-12 <= high <= 1
    wider = paired.wilson_interval(successes, rows, level + 0.01)
    assert wider.low <= low + 1e-12
    assert wider.high >= high - 1e-12


@quick
@given(st.integers(1, 500), st.floats(0, 1))
def test_wilsons_interval_of_the_failures_is_the_mirror_image(rows, share):
    successes = round(share * rows)
    low, high = ends(paired.wilson_interval(successes, rows))
    assert ends(paired.wilson_interval(rows - successes, rows)) == pytest.approx(
        (1 - high, 1 - low), abs=1e-12
    )


@quick
@given(tables())
def test_a_p_of_mcnemar_is_a_probability_and_knows_no_side(table):
    broken, fixed, _ = table
    p = paired.mcnemar_mid_p(broken, fixed)
    assert 0 < p <= 1
    assert paired.mcnemar_mid_p(fixed, broken) == pytest.approx(p)


@quick
@given(st.integers(0, 60), st.integers(0, 60))
def test_the_more_one_sided_the_flips_the_smaller_is_p(smaller, larger):
    smaller, larger = sorted((smaller, larger))
    assert paired.mcnemar_mid_p(smaller, larger + 1) <= paired.mcnemar_mid_p(smaller, larger) + 1e-12


@quick
@given(tables())
def test_more_fixed_rows_move_both_ends_of_tangos_interval_up(table):
    broken, fixed, rows = table
    if broken + fixed < rows:
        before, after = (paired.tango_interval(broken, one, rows) for one in (fixed, fixed + 1))
        assert after.low >= before.low - 1e-9
        assert after.high >= before.high - 1e-9


@quick
@given(numbers, st.floats(0.1, 10), st.floats(-10, 10), levels)
def test_a_t_interval_moves_and_scales_with_its_rows(values, factor, shift, level):
    rows = np.array(values)
    low, high = ends(paired.paired_t_interval(rows, level))
    moved = paired.paired_t_interval(factor * rows + shift, level)
    assert ends(moved) == pytest.approx((factor * low + shift, factor * high + shift), abs=1e-6)
    assert low <= rows.mean() + 1e-9
    assert rows.mean() - 1e-9 <= high
    mirrored = paired.paired_t_interval(-rows[::-1], level)
    assert ends(mirrored) == pytest.approx((-high, -low), abs=1e-9)


@quick
@given(st.floats(-0.02, 0.02), st.floats(0, 0.2), st.floats(0.03, 0.2))
def test_a_wider_margin_never_needs_more_rows_and_more_flips_never_fewer(difference, variance, margin):
    needed = paired.rows_needed(difference, variance, margin)
    assert paired.rows_needed(difference, variance, margin + 0.01) <= needed
    assert paired.rows_needed(difference, variance + 0.01, margin) >= needed
    assert paired.rows_needed(difference + 0.001, variance, margin) <= needed


@quick
@given(tables(), st.floats(0.001, 0.5))
def test_an_outcome_agrees_with_its_interval_and_a_wider_margin_is_never_harder(table, margin):
    interval = paired.tango_interval(*table, paired.GATE_LEVEL)
    outcome = paired.judge_margin(interval, margin)
    assert (outcome == "not worse") == (interval.low > -margin)
    assert (outcome == "worse") == (interval.high < -margin)
    order = ["worse", "cannot tell", "not worse"]
    wider = paired.judge_margin(interval, min(0.99, margin + 0.05))
    assert order.index(wider) >= order.index(outcome)


def mean(weights, column):
    """The mean of a column for each resample."""
    return weights @ column / weights.sum(axis=1)


@few
@given(numbers, st.floats(0.5, 5), st.floats(-10, 10))
def test_a_bootstrap_moves_and_scales_with_its_rows(values, factor, shift):
    rows = np.round(np.array(values), 3)
    plain = paired.paired_bootstrap(mean, rows, resamples=200)
    moved = paired.paired_bootstrap(mean, factor * rows + shift, resamples=200)
    one, two = plain.interval(), moved.interval()
    assert ends(two) == pytest.approx(
        (factor * one.low + shift, factor * one.high + shift), rel=1e-6, abs=1e-5
    )


@few
@given(numbers, st.randoms(use_true_random=False))
def test_a_bootstrap_does_not_depend_on_the_order_of_the_rows(values, random):
    shuffled = random.sample(values, len(values))
    one, two = (paired.paired_bootstrap(mean, np.array(rows), resamples=200) for rows in (values, shuffled))
    assert ends(two.interval()) == pytest.approx(ends(one.interval()))


@few
@given(answers())
def test_metrics_of_labels_are_shares_and_differences_hold_their_value(columns):
    found = compare_predictions(
        *columns, [one for one in CLASS_METRICS if one.name != "f1"], "classification"
    )
    for metric in found.metrics:
        least = -1 if metric.name == "matthews_correlation" else 0
        for value in (metric.baseline, metric.candidate):
            assert value is None or least - 1e-12 <= value <= 1 + 1e-12
        interval = metric.difference.interval if metric.difference is not None else None
        if interval is not None:
            assert interval.low - 1e-9 <= metric.difference.value <= interval.high + 1e-9
    assert 0 <= found.agreement.interval.low <= found.agreement.value <= found.agreement.interval.high <= 1


@few
@given(answers())
def test_swapping_the_variants_mirrors_every_difference(columns):
    references, baseline, candidate = columns
    metrics = [METRICS["accuracy"]]
    there = compare_predictions(references, baseline, candidate, metrics, "classification")
    back = compare_predictions(references, candidate, baseline, metrics, "classification")
    assert (back.broken, back.fixed) == (there.fixed, there.broken)
    assert back.agreement == there.agreement
    one, two = there.metrics[0], back.metrics[0]
    assert two.difference.value == -one.difference.value
    assert ends(two.difference.interval) == pytest.approx(
        [-end for end in reversed(ends(one.difference.interval))], abs=1e-9
    )
    assert two.p_value == pytest.approx(one.p_value)


@few
@given(answers(), st.randoms(use_true_random=False))
def test_the_order_of_the_rows_changes_no_metric(columns, random):
    order = random.sample(range(len(columns[0])), len(columns[0]))
    metrics = [one for one in CLASS_METRICS if one.name != "f1"]
    one = compare_predictions(*columns, metrics, "classification")
    two = compare_predictions(*(column[order] for column in columns), metrics, "classification")
    assert (one.broken, one.fixed, one.agreement) == (two.broken, two.fixed, two.agreement)
    for first, second in zip(one.metrics, two.metrics, strict=True):
        assert second.baseline == pytest.approx(first.baseline)
        assert second.candidate == pytest.approx(first.candidate)
        assert math.isclose(second.difference.value, first.difference.value, abs_tol=1e-12)
