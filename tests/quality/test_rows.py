"""Metrics from what each row contributes, and their paired comparison."""

import numpy as np
import pytest

from optbench.quality.paired import mcnemar_mid_p, tango_interval
from optbench.quality.rare import rare_change_interval
from optbench.quality.row_metric import RowMetric, mean_of_rows, ratio
from optbench.quality.rows import compare_rows, largest_effect, right_rows
from optbench.quality.tagging import ENTITY_METRICS

F1 = ENTITY_METRICS["seqeval_f1"]
RIGHT = RowMetric("exact_match", True, "right or wrong", is_binary=True)
MEAN = RowMetric("overlap", True, "mean")


def binary(values):
    return np.array([(value, 1) for value in values], dtype=np.float64)


def counts(rng, rows, quality):
    actual = rng.integers(0, 5, size=rows)
    right = rng.binomial(actual, quality)
    return np.stack([right, right + rng.integers(0, 2, size=rows), actual], axis=1).astype(np.float64)


def test_a_metric_is_a_function_of_the_sums():
    assert F1.of(np.array([[1.0, 2, 2], [3, 3, 4]])) == pytest.approx(2 * 4 / (5 + 6))
    assert MEAN.of(binary([1, 0, 0.5])) == 0.5
    assert MEAN.of(np.zeros((3, 2))) is None
    assert ratio(np.array([1.0, 1.0]), np.array([2.0, 0.0]))[0] == 0.5
    assert np.isnan(mean_of_rows(np.array([[1.0, 0.0]])))[0]


def test_right_and_wrong_rows_get_tangos_interval_and_mcnemars_p():
    baseline, candidate = binary([1] * 90 + [0] * 10), binary([1] * 80 + [0] * 16 + [1] * 4)
    result, note = compare_rows(RIGHT, baseline, candidate, 0)
    assert (result.baseline, result.candidate) == (0.9, 0.84)
    assert result.difference.value == pytest.approx(-0.06)
    assert result.difference.interval == tango_interval(10, 4, 100)
    assert result.gate_interval == tango_interval(10, 4, 100, 0.90)
    assert result.p_value == mcnemar_mid_p(10, 4)
    assert note is None


def test_an_identical_copy_changes_nothing_and_keeps_a_width():
    rows = counts(np.random.default_rng(0), 500, 0.8)
    result, note = compare_rows(F1, rows, rows.copy(), 0)
    assert result.difference.value == 0.0
    assert result.difference.interval.low < 0 < result.difference.interval.high
    assert "0 of 500 rows changed" in note


def test_few_changed_rows_get_the_poisson_limit_times_the_largest_effect():
    rng = np.random.default_rng(1)
    baseline = counts(rng, 300, 0.9)
    candidate = baseline.copy()
    candidate[0, 0] = 0.0
    result, _ = compare_rows(F1, baseline, candidate, 0)
    expected = rare_change_interval(result.difference.value, 1, 300, largest_effect(F1, baseline), 0.95)
    assert result.difference.interval == expected


def test_the_largest_effect_is_that_of_the_row_that_can_lose_most():
    rows = np.array([[1.0, 1, 1], [9, 9, 9], [0, 0, 5]])
    without = F1.of(np.array([[1.0, 1, 1], [0, 9, 9], [0, 0, 5]]))
    assert largest_effect(F1, rows) == pytest.approx(3 * (F1.of(rows) - without))


def test_the_interval_holds_the_true_loss_of_paired_rows():
    held, found = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        baseline = counts(rng, 400, 0.9)
        candidate = baseline.copy()
        candidate[:, 0] = rng.binomial(baseline[:, 0].astype(int), 0.9)
        result, _ = compare_rows(F1, baseline, candidate, seed)
        truth = F1.of(np.array([[0.81 * 2, 0.9 * 2 + 0.5, 2]])) - F1.of(
            np.array([[0.9 * 2, 0.9 * 2 + 0.5, 2]])
        )
        interval = result.difference.interval
        held.append(interval.low <= truth <= interval.high)
        found.append(interval.high < 0)
    assert all(found)
    assert np.mean(held) >= 0.85


def test_the_bootstrap_is_seeded_and_close_to_normal_theory():
    rng = np.random.default_rng(3)
    one, two = rng.random(2000), rng.random(2000)
    result, _ = compare_rows(MEAN, binary(one), binary(two), 7)
    again, _ = compare_rows(MEAN, binary(one), binary(two), 7)
    assert result == again
    difference = two - one
    half = 1.96 * difference.std(ddof=1) / np.sqrt(2000)
    assert result.difference.interval.low == pytest.approx(difference.mean() - half, abs=0.1 * half)
    assert result.difference.interval.high == pytest.approx(difference.mean() + half, abs=0.1 * half)


def test_an_undefined_metric_says_whose():
    empty, full = np.zeros((5, 2)), binary([1] * 5)
    assert compare_rows(MEAN, full, empty, 0)[0].reason == "candidate: overlap is undefined: it is 0/0"
    assert compare_rows(MEAN, empty, full, 0)[0].reason == "baseline: overlap is undefined: it is 0/0"


def test_right_rows_come_from_the_first_metric_that_tells():
    statistics = {"overlap": binary([0.5, 1]), "exact_match": binary([0, 1])}
    assert right_rows([MEAN, RIGHT], statistics).tolist() == [False, True]
    assert right_rows([MEAN], statistics) is None
    assert right_rows([RIGHT], {}) is None
