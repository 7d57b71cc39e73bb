"""Drift beneath the answers, against scipy and by hand."""

import math

import numpy as np
import pytest
from scipy import special, stats

from optbench.quality.drift import (
    calibration_error,
    drift_of,
    kl_divergence,
    rank_correlation,
    row_divergence,
    vector_drift,
)

RNG = np.random.default_rng(0)
ONE = RNG.normal(size=(50, 6))
TWO = ONE + RNG.normal(scale=0.3, size=(50, 6))


def test_kl_is_scipys():
    expected = stats.entropy(special.softmax(ONE, axis=1), special.softmax(TWO, axis=1), axis=1)
    assert kl_divergence(ONE, TWO) == pytest.approx(expected)
    assert kl_divergence(ONE, ONE).max() == 0.0


def test_huge_logits_overflow_nowhere():
    huge = np.array([[1e4, -1e4, 0.0]])
    assert np.isfinite(kl_divergence(huge, huge[:, ::-1])).all()


def test_rank_correlation_is_scipys_spearman_with_ties():
    tied = ONE.copy()
    tied[:, 1] = tied[:, 2]
    expected = [stats.spearmanr(one, two).statistic for one, two in zip(tied, TWO, strict=True)]
    assert rank_correlation(tied, TWO) == pytest.approx(expected)
    assert rank_correlation(np.ones((2, 3)), np.ones((2, 3))).tolist() == [1, 1]


def test_figures_are_over_all_positions_of_all_rows():
    rows_one, rows_two = [ONE[:10], ONE[10:]], [TWO[:10], TWO[10:]]
    drift = drift_of(rows_one, rows_two)
    assert drift.positions == 50
    assert drift.logit_difference_mean == pytest.approx(np.abs(TWO - ONE).mean())
    assert drift.logit_difference_max == pytest.approx(np.abs(TWO - ONE).max())
    spread = math.sqrt(ONE.var(axis=1).mean())
    assert drift.logit_difference_relative == pytest.approx(np.abs(TWO - ONE).max() / spread)
    assert drift.kl_mean == pytest.approx(kl_divergence(ONE, TWO).mean())
    assert drift.kl_p99 == pytest.approx(np.quantile(kl_divergence(ONE, TWO), 0.99))
    assert drift.same_first == np.mean(ONE.argmax(axis=1) == TWO.argmax(axis=1))


def test_an_identical_copy_does_not_drift():
    drift = drift_of([ONE], [ONE])
    assert (drift.kl_mean, drift.logit_difference_max, drift.same_first) == (0.0, 0.0, 1.0)
    assert drift.rank_correlation == pytest.approx(1.0)


def test_rows_of_different_widths_go_together():
    assert drift_of([ONE[:2], ONE[:2, :3]], [TWO[:2], TWO[:2, :3]]).positions == 4


def test_logits_that_are_not_finite_are_left_out_and_counted():
    broken = TWO.copy()
    broken[3, 0] = np.nan
    drift = drift_of([ONE], [broken])
    assert (drift.positions, drift.positions_not_finite) == (49, 1)
    assert math.isfinite(drift.kl_mean)


@pytest.mark.parametrize("rows", [[], [np.empty((0, 4))], [np.ones((3, 1))]])
def test_without_classes_there_is_no_drift(rows):
    assert drift_of(rows, rows) is None


def test_constant_logits_have_no_relative_difference():
    assert drift_of([np.ones((2, 3))], [np.zeros((2, 3))]).logit_difference_relative is None


def test_row_divergence_is_the_mean_of_its_positions():
    found = row_divergence([ONE[:2], ONE[2:3]], [TWO[:2], TWO[2:3]])
    assert found.tolist() == pytest.approx(
        [kl_divergence(ONE[:2], TWO[:2]).mean(), kl_divergence(ONE[2:3], TWO[2:3])[0]]
    )
    assert math.isinf(row_divergence([ONE[:1]], [np.full((1, 6), np.nan)])[0])


def test_cosines_of_embeddings():
    drift = vector_drift([np.array([1.0, 0]), np.array([0.0, 2])], [np.array([2.0, 0]), np.array([1.0, 1])])
    assert drift.cosine_mean == pytest.approx((1 + math.sqrt(0.5)) / 2)
    assert drift.cosine_min == pytest.approx(math.sqrt(0.5))
    assert vector_drift([], []) is None
    assert vector_drift([np.zeros(2)], [np.ones(2)]).cosine_mean == 0.0


def test_calibration_of_a_certain_and_right_model_is_perfect():
    logits = [np.array([[50.0, 0.0]])] * 10
    assert calibration_error(logits, np.ones(10, dtype=bool)) == pytest.approx(0.0, abs=1e-9)
    assert calibration_error(logits, np.zeros(10, dtype=bool)) == pytest.approx(1.0)


def test_calibration_is_the_weighted_gap_of_its_bins():
    sure, torn = np.log([[0.9, 0.1]]), np.log([[0.6, 0.4]])
    right = np.array([True] * 8 + [False] * 2 + [True] * 3 + [False] * 7)
    found = calibration_error([sure] * 10 + [torn] * 10, right)
    assert found == pytest.approx(0.5 * abs(0.8 - 0.9) + 0.5 * abs(0.3 - 0.6))


def test_calibration_needs_one_set_of_classes_for_each_row():
    assert calibration_error([ONE], np.array([True])) is None
    assert calibration_error([], np.array([], dtype=bool)) is None
