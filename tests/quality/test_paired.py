import inspect
import math
from functools import lru_cache
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats
from sklearn.metrics import f1_score
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

from optbench.quality.paired import (
    GATE_LEVEL,
    MOST_ROWS,
    Bootstrap,
    distinct_rows,
    judge_margin,
    mcnemar_mid_p,
    paired_bootstrap,
    paired_counts,
    paired_t_interval,
    rows_needed,
    rows_to_tell,
    tango_interval,
    wilson_interval,
)
from optbench.records import Interval


@st.composite
def tables(draw):
    rows = draw(st.integers(1, 3000))
    broken = draw(st.integers(0, rows))
    return broken, draw(st.integers(0, rows - broken)), rows


def weighted_mean(weights, column):
    return weights @ column / weights.sum(axis=1)


def test_counts_tell_broken_from_fixed_rows():
    baseline = np.array([True, True, True, False, False, True, True])
    candidate = np.array([True, False, False, True, False, True, True])
    counts = paired_counts(baseline, candidate)
    assert (counts.rows, counts.broken, counts.fixed) == (7, 2, 1)


def test_counts_refuse_arrays_of_different_lengths():
    with pytest.raises(ValueError, match=r"both must be \[rows\]"):
        paired_counts(np.array([True]), np.array([True, False]))


# Published: Tango (1998) tables of 32 and 44 patients; Agresti & Min (2005), 86 pairs; Fagerland,
# Lydersen & Laake (2014), airway hyper-responsiveness of 21 children (their signs are ours reversed).
@pytest.mark.parametrize(
    ("broken", "fixed", "rows", "level", "low", "high"),
    [
        (3, 9, 32, 0.95, -0.027, 0.390),
        (1, 0, 44, 0.90, -0.096, 0.037),
        (8, 16, 86, 0.95, -0.020, 0.207),
        (7, 1, 21, 0.95, -0.517, -0.026),
    ],
)
def test_tango_interval_agrees_with_published_examples(broken, fixed, rows, level, low, high):
    interval = tango_interval(broken, fixed, rows, level)
    assert (round(interval.low, 3), round(interval.high, 3)) == (low, high)


@pytest.mark.parametrize("table", [(3, 9, 32), (1, 0, 44), (0, 6, 40), (17, 17, 900), (2, 3, 7)])
def test_at_a_tango_limit_the_score_statistic_is_z(table):
    # The restricted likelihood is maximised numerically here, not by Tango's closed form.
    broken, fixed, rows = table
    interval = tango_interval(*table)
    for limit in (interval.low, interval.high):

        def negative_log_likelihood(only_baseline, limit=limit):
            shares = (only_baseline + limit, only_baseline, 1 - 2 * only_baseline - limit)
            return -sum(
                count * math.log(share)
                for count, share in zip((fixed, broken, rows - broken - fixed), shares, strict=True)
                if count
            )

        bounds = (max(0.0, -limit) + 1e-12, (1 - limit) / 2 - 1e-12)
        fit = optimize.minimize_scalar(
            negative_log_likelihood, bounds=bounds, method="bounded", options={"xatol": 1e-13}
        )
        variance = rows * (2 * fit.x + limit * (1 - limit))
        score = abs(fixed - broken - rows * limit) / math.sqrt(variance)
        assert score == pytest.approx(1.959964, abs=2e-4)


def test_tango_interval_without_discordant_rows_has_a_width():
    interval = tango_interval(0, 0, 200)
    assert interval.high == -interval.low == pytest.approx(1.959964**2 / (200 + 1.959964**2), rel=1e-6)


@pytest.mark.parametrize(("broken", "rows"), [(5, 5), (0, 5), (1, 1), (3, 10), (30, 30)])
def test_tango_interval_with_all_rows_discordant_is_wilsons(broken, rows):
    tango, wilson = tango_interval(broken, rows - broken, rows), wilson_interval(rows - broken, rows)
    assert tango.low == pytest.approx(2 * wilson.low - 1, abs=1e-9)
    assert tango.high == pytest.approx(2 * wilson.high - 1, abs=1e-9)


@pytest.mark.parametrize("level", [0.05, 0.1, 0.8])
def test_tango_interval_of_one_fixed_row_of_two_ends_where_wilsons_does(level):
    """Above 1/3 nothing is likeliest broken, and (1 - 2 D)^2 = 2 z^2 D (1 - D) has Wilson's root."""
    z = stats.norm.ppf(0.5 + level / 2)
    assert tango_interval(0, 1, 2, level).high == pytest.approx((1 + z / math.sqrt(2 + z * z)) / 2)


def test_tango_interval_says_its_level():
    assert tango_interval(3, 9, 32, 0.9).level == tango_interval(0, 0, 32, 0.9).level == 0.9
    assert tango_interval(3, 9, 32).level == 0.95


@given(tables())
def test_tango_interval_holds_the_difference_and_stays_in_range(table):
    broken, fixed, rows = table
    interval = tango_interval(*table)
    assert -1 <= interval.low <= (fixed - broken) / rows <= interval.high <= 1
    assert interval.low < interval.high


@given(tables())
def test_swapping_the_variants_mirrors_the_tango_interval(table):
    broken, fixed, rows = table
    one, other = tango_interval(broken, fixed, rows), tango_interval(fixed, broken, rows)
    assert one.low == pytest.approx(-other.high, abs=1e-9)


@given(tables(), st.floats(0.5, 0.94))
def test_a_higher_level_never_narrows_the_tango_interval(table, level):
    narrow, wide = tango_interval(*table, level), tango_interval(*table, 0.95)
    assert wide.low <= narrow.low + 1e-9
    assert narrow.high <= wide.high + 1e-9


@pytest.mark.parametrize("table", [(1, 1, 0), (-1, 2, 5), (3, 3, 5)])
def test_counts_that_no_table_can_have_are_refused(table):
    with pytest.raises(ValueError, match="counts must fit into the rows"):
        tango_interval(*table)


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0])
def test_a_level_outside_0_to_1_is_refused(level):
    with pytest.raises(ValueError, match="level must lie between 0 and 1"):
        wilson_interval(1, 2, level)


# Fagerland, Lydersen & Laake (2013), airway hyper-responsiveness (7 against 1): 0.039; and (2017),
# complete response (16 against 6): 0.035.
@pytest.mark.parametrize(("broken", "fixed", "p"), [(7, 1, 0.039), (1, 7, 0.039), (16, 6, 0.035)])
def test_mid_p_agrees_with_published_examples(broken, fixed, p):
    assert round(mcnemar_mid_p(broken, fixed), 3) == p


@given(st.integers(0, 200), st.integers(0, 200))
def test_mid_p_is_the_exact_p_less_half_the_equally_extreme_outcomes(broken, fixed):
    exact = mcnemar([[0, broken], [fixed, 0]], exact=True).pvalue if broken + fixed else 1.0
    point = stats.binom.pmf(broken, broken + fixed, 0.5)
    if broken + fixed == 0:
        assert mcnemar_mid_p(0, 0) == 1.0
    else:
        equally_extreme = point if broken == fixed else 2 * point
        assert mcnemar_mid_p(broken, fixed) == pytest.approx(exact - equally_extreme / 2)


@given(st.integers(1, 2000), st.floats(0, 1), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_wilson_interval_agrees_with_statsmodels(rows, share, level):
    successes = round(share * rows)
    low, high = proportion_confint(successes, rows, alpha=1 - level, method="wilson")
    interval = wilson_interval(successes, rows, level)
    assert (interval.low, interval.high) == (pytest.approx(low, abs=1e-9), pytest.approx(high, abs=1e-9))


@pytest.mark.parametrize(
    ("low", "high", "higher_is_better", "outcome"),
    [
        (-0.009, 0.005, True, "not worse"),
        (-0.03, -0.011, True, "worse"),
        (-0.03, -0.01, True, "cannot tell"),
        (-0.02, 0.0, True, "cannot tell"),
        (-0.01, 0.0, True, "cannot tell"),
        (-0.02, 0.009, False, "not worse"),
        (0.02, 0.03, False, "worse"),
    ],
)
def test_an_interval_is_judged_by_its_worse_end(low, high, higher_is_better, outcome):
    assert judge_margin(Interval(low, high, 0.9), 0.01, higher_is_better) == outcome


def outcome_at(margin, broken, fixed, rows):
    return judge_margin(tango_interval(broken, fixed, rows, GATE_LEVEL), margin)


@pytest.mark.parametrize(("share", "rows"), [(0.01, 619), (0.03, 1855), (0.05, 3092)])
def test_rows_needed_without_a_difference_follow_from_the_discordant_share(share, rows):
    assert rows_needed(0.0, share, 0.01) == rows


def test_rows_needed_never_fall_below_what_a_table_without_flips_needs():
    needed = rows_needed(0.0, 0.0, 0.01)
    assert outcome_at(0.01, 0, 0, needed) == "not worse"
    assert outcome_at(0.01, 0, 0, needed - 1) == "cannot tell"


def test_the_rows_that_would_tell_cannot_be_computed_when_the_observed_loss_reaches_the_margin():
    assert outcome_at(0.01, 30, 20, 1000) == "cannot tell"
    assert rows_needed(-0.01, 0.05 - 0.01**2, 0.01) is None
    assert rows_needed(-0.015, 0.055 - 0.015**2, 0.01) is None


def test_rows_needed_follow_from_what_was_observed():
    """Variance 0.07 - 0.05^2, so 0.0675 (1.644854 + 0.841621)^2 / (0.06 - 0.05)^2 = 4173.2."""
    assert rows_needed(-0.05, 0.07 - 0.05**2, 0.06) == 4174


def test_a_clear_loss_is_worse_and_a_clear_gain_is_not():
    assert outcome_at(0.01, 60, 10, 1000) == "worse"
    assert outcome_at(0.01, 10, 60, 1000) == "not worse"


def test_a_loss_of_exactly_the_margin_passes_as_not_worse_in_about_5_percent():
    rows, discordant, margin = 1000, 0.03, 0.01
    shares = [(discordant + margin) / 2, (discordant - margin) / 2, 1 - discordant]
    drawn = np.random.default_rng(1998).multinomial(rows, shares, size=40_000)[:, :2]
    seen, times = np.unique(drawn, axis=0, return_counts=True)
    passed = [outcome_at(margin, int(b), int(f), rows) == "not worse" for b, f in seen]
    assert 0.03 <= np.average(passed, weights=times) <= 0.065


def test_the_rows_needed_give_about_80_percent_power():
    rows = rows_needed(0.0, 0.03, 0.01)
    drawn = np.random.default_rng(7).multinomial(rows, [0.015, 0.015, 0.97], size=20_000)[:, :2]
    seen, times = np.unique(drawn, axis=0, return_counts=True)
    passed = [outcome_at(0.01, int(b), int(f), rows) == "not worse" for b, f in seen]
    assert np.average(passed, weights=times) == pytest.approx(0.80, abs=0.03)


@pytest.mark.parametrize(
    ("difference", "bound", "variance", "rows"),
    [
        (0.02, 0.05, 0.04, 349),  # 0.04 (1.959964 + 0.841621)^2 / 0.03^2 = 348.8
        (0.08, 0.05, 0.04, 349),
        (-0.02, 0.01, 0.04, 381),  # without a discordant row 1.959964^2 0.99 / 0.01 = 380.3
        (0.02, -0.01, 0.04, 381),
        (0.03, 0.0, 0.04, 349),
        (0.97, 1.0, 0.0, 1),
        (0.1, 0.05, 0.0, 73),
        (0.1, 1.5, 0.0, 1),
        (0.05, 0.05, 0.04, None),
    ],
)
def test_rows_that_would_leave_out_a_bound_follow_from_what_was_observed(difference, bound, variance, rows):
    assert rows_to_tell(difference, bound, variance) == rows


def test_rows_that_would_tell_depend_on_the_level_and_have_an_end():
    assert rows_to_tell(0.02, 0.05, 0.04, level=0.9) == 275  # 0.04 (1.644854 + 0.841621)^2 / 0.03^2 = 274.8
    distance = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)
    assert rows_to_tell(distance, 0.0, 10.0) == 10
    assert rows_to_tell(distance, 0.0, 0.999 * MOST_ROWS) == pytest.approx(0.999 * MOST_ROWS, abs=1)
    assert rows_to_tell(distance, 0.0, 1.001 * MOST_ROWS) is None
    assert rows_to_tell(NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(0.8), 0.0, MOST_ROWS) is None


def test_values_as_near_as_rounding_are_ties_of_a_large_estimate_too():
    values = np.array([1e6 - 1, 1e6 + 1e-7, 1e6 + 1e-7, 1e6 + 1])
    tied = Bootstrap(1e6, values, 0, 0.0).interval(0.5)
    assert (tied.low, tied.high) == pytest.approx((1e6 - 0.25, 1e6 + 0.25), abs=1e-3)


def test_wilsons_interval_ends_exactly_where_no_row_or_every_row_counts():
    for rows in range(1, 200):
        none, every = wilson_interval(0, rows, 0.9), wilson_interval(rows, rows, 0.9)
        assert (none.low, every.high, every.level) == (0.0, 1.0, 0.9)


def test_t_interval_agrees_with_scipy():
    differences = np.random.default_rng(0).normal(0.1, 1, size=25)
    expected = stats.ttest_1samp(differences, 0).confidence_interval(0.9)
    interval = paired_t_interval(differences, 0.9)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))
    assert interval.level == 0.9
    assert paired_t_interval(differences) == paired_t_interval(differences, 0.95)
    two = paired_t_interval(np.array([1.0, 3.0]))
    assert (two.low, two.high) == pytest.approx((2 - stats.t.ppf(0.975, 1), 2 + stats.t.ppf(0.975, 1)))


def test_t_interval_refuses_a_single_row():
    with pytest.raises(ValueError, match="at least two rows"):
        paired_t_interval(np.array([1.0]))


@lru_cache
def skewed():
    return np.random.default_rng(3).lognormal(0, 1, size=80)


def test_bootstrap_of_a_skewed_mean_agrees_with_scipys_bca():
    expected = stats.bootstrap(
        (skewed(),), np.mean, n_resamples=20_000, method="BCa", rng=np.random.default_rng(1)
    ).confidence_interval
    interval = paired_bootstrap(weighted_mean, skewed(), resamples=20_000).interval()
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), rel=0.02)


def test_bootstrap_falls_back_to_percentiles_when_the_jackknife_is_dear():
    assert paired_bootstrap(weighted_mean, skewed(), resamples=400).acceleration is not None
    drawn = paired_bootstrap(weighted_mean, skewed(), resamples=399)
    assert drawn.acceleration is None
    interval = drawn.interval(0.9)
    expected = np.quantile(drawn.values, [0.05, 0.95])
    assert (interval.low, interval.high) == pytest.approx(tuple(expected))
    assert interval.level == 0.9


@pytest.mark.parametrize(("values", "is_known"), [([1.0], False), ([1.0, 3.0], True)])
def test_a_jackknife_needs_a_row_that_stays(values, is_known):
    drawn = paired_bootstrap(lambda weights, column: weights @ column, np.array(values))
    assert (drawn.acceleration is not None) == is_known


def test_the_acceleration_of_a_mean_is_its_skewness_over_six_roots_of_the_rows():
    """One row of four is 1: skewness (1 - 2 p) / sqrt(p (1 - p)) at p = 1/4, however rows are grouped."""
    drawn = paired_bootstrap(weighted_mean, np.array([0.0, 0.0, 0.0, 1.0]))
    assert drawn.acceleration == pytest.approx(0.5 / math.sqrt(3 / 16) / (6 * 2))
    assert paired_bootstrap(weighted_mean, np.array([2.0, 2.0])).acceleration == 0.0


def test_drawing_equal_rows_together_changes_nothing_but_the_work():
    rng = np.random.default_rng(5)
    references, predictions = rng.integers(2, size=(2, 300))

    def f1(weights, right, predicted):
        true = weights @ (right * predicted)
        return 2 * true / (weights @ right + weights @ predicted)

    together = paired_bootstrap(f1, references, predictions, resamples=4000).interval()
    apart = np.random.default_rng(6).integers(300, size=(400, 300))
    single = [f1_score(references[rows], predictions[rows]) for rows in apart]
    assert (together.low, together.high) == pytest.approx(
        tuple(np.quantile(single, [0.025, 0.975])), abs=0.02
    )


def test_the_same_seed_gives_the_same_bootstrap_and_another_does_not():
    one, same, other = (paired_bootstrap(weighted_mean, skewed(), seed=s).interval() for s in (1, 1, 2))
    assert one == same
    assert one != other
    without = paired_bootstrap(weighted_mean, skewed()).interval()
    assert without == paired_bootstrap(weighted_mean, skewed(), seed=0).interval()


def test_drawing_in_pieces_gives_the_same_bootstrap(monkeypatch):
    whole = paired_bootstrap(weighted_mean, skewed(), resamples=500)
    monkeypatch.setattr(inspect.getmodule(paired_bootstrap), "_CHUNK_WEIGHTS", 30 * 80)  # 30 draws of 80 rows
    pieces = paired_bootstrap(weighted_mean, skewed(), resamples=500)
    assert pieces.values == pytest.approx(whole.values)
    assert pieces.acceleration == pytest.approx(whole.acceleration)


@settings(max_examples=30)
@given(st.lists(st.integers(-3, 3), min_size=1, max_size=30), st.integers(0, 99))
def test_bootstrap_interval_holds_the_estimate_and_widens_with_the_level(values, seed):
    drawn = paired_bootstrap(weighted_mean, np.array(values), resamples=500, seed=seed)
    narrow, wide = drawn.interval(0.8), drawn.interval(0.95)
    assert wide.low <= narrow.low <= drawn.estimate <= narrow.high <= wide.high


def test_a_statistic_that_is_often_undefined_has_no_interval():
    def ratio(weights, column):
        total = weights @ column
        return np.divide(total, total, out=np.full(len(total), np.nan), where=total > 0)

    drawn = paired_bootstrap(ratio, np.array([1] + [0] * 9))
    assert drawn.undefined == pytest.approx(0.9**10 * 10_000, rel=0.1)
    assert drawn.undefined + len(drawn.values) == 10_000
    assert drawn.interval() is None


@pytest.mark.parametrize(("undefined", "has_interval"), [(1, True), (2, False)])
def test_one_undefined_value_in_a_hundred_is_not_too_many(undefined, has_interval):
    drawn = Bootstrap(0.0, np.linspace(-1.0, 1.0, 99), undefined, acceleration=None)
    assert (drawn.interval() is not None) == has_interval


def test_an_extreme_acceleration_falls_back_to_the_percentile():
    values = np.linspace(-1.0, 1.0, 2001)
    steep = Bootstrap(0.0, values, 0, acceleration=0.6).interval()
    assert steep.high == pytest.approx(0.95)


def test_values_equal_to_the_estimate_count_half_for_the_bias():
    ties = 1 + np.repeat([-1e-13, 0.0, 1e-13], 100)  # equal but for rounding
    values = np.concatenate([np.linspace(0, 0.99, 200), ties, np.linspace(1.01, 2, 500)])
    bias, ends = stats.norm.ppf(0.2 + 0.3 / 2), stats.norm.ppf([0.1, 0.9])
    adjusted = stats.norm.cdf(bias + (bias + ends) / (1 - 0.1 * (bias + ends)))
    interval = Bootstrap(1.0, values, 0, acceleration=0.1).interval(0.8)
    assert (interval.low, interval.high) == pytest.approx(tuple(np.quantile(values, adjusted)))


@pytest.mark.parametrize(("estimate", "low", "high"), [(-2.0, -2.0, 0.95), (2.0, -0.95, 2.0)])
def test_an_estimate_outside_all_values_widens_the_percentile_interval(estimate, low, high):
    interval = Bootstrap(estimate, np.linspace(-1.0, 1.0, 2001), 0, acceleration=0.1).interval()
    assert (interval.low, interval.high) == pytest.approx((low, high))


@pytest.mark.parametrize("columns", [[], [np.array([])], [np.zeros(2), np.zeros(3)]])
def test_bootstrap_refuses_columns_without_rows_or_of_different_lengths(columns):
    with pytest.raises(ValueError, match="one length"):
        paired_bootstrap(weighted_mean, *columns)


def test_distinct_rows_keep_columns_together_and_count_repeats():
    columns, counts = distinct_rows(np.array(["a", "b", "a", "a"]), np.array([1, 1, 1, 2]))
    found = {(str(text), int(number)): count for text, number, count in zip(*columns, counts, strict=True)}
    assert found == {("a", 1): 2, ("b", 1): 1, ("a", 2): 1}


def test_the_acceleration_has_no_unit_and_tiny_differences_have_one_too():
    rows = np.array([0.0, 1.0, 5.0, 9.0])
    large, tiny = (
        paired_bootstrap(weighted_mean, rows * scale, resamples=100).acceleration for scale in (1.0, 1e-160)
    )
    assert tiny == pytest.approx(large)
    assert large != 0
