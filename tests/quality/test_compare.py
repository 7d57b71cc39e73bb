import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import f1_score

from optbench.errors import ConfigError, DataError
from optbench.quality.compare import compare_predictions, largest_effect, rare_change_interval
from optbench.quality.metrics import METRICS, Metric
from optbench.quality.paired import mcnemar_mid_p, tango_interval, wilson_interval
from optbench.records import QualityResult, to_json

CLASS_METRICS = [metric for metric in METRICS.values() if metric.kind == "classification"]
NUMBER_METRICS = [metric for metric in METRICS.values() if metric.kind == "regression"]


def flipped(values, share, seed):
    rng = np.random.default_rng(seed)
    return np.where(rng.random(len(values)) < share, 1 - values, values)


@pytest.fixture
def labels():
    references = np.random.default_rng(0).integers(2, size=600)
    baseline = flipped(references, 0.1, 1)
    return references, baseline, flipped(baseline, 0.05, 2)


@pytest.fixture
def numbers():
    rng = np.random.default_rng(0)
    references = rng.integers(0, 11, size=120) / 2
    baseline = references + rng.normal(0, 0.8, size=120)
    return references, baseline, baseline + rng.normal(0, 0.2, size=120)


def test_accuracy_comes_with_tango_interval_flips_and_mid_p(labels):
    result = compare_predictions(*labels, [METRICS["accuracy"]], "classification")
    references, baseline, candidate = labels
    broken = int(np.sum((baseline == references) & (candidate != references)))
    fixed = int(np.sum((baseline != references) & (candidate == references)))
    (accuracy,) = result.metrics
    assert (result.rows, result.broken, result.fixed) == (600, broken, fixed)
    assert accuracy.difference.value == (fixed - broken) / 600
    assert accuracy.difference.interval == tango_interval(broken, fixed, 600, 0.95)
    assert accuracy.gate_interval == tango_interval(broken, fixed, 600, 0.90)
    assert accuracy.p_value == mcnemar_mid_p(broken, fixed)


def test_agreement_comes_with_wilsons_interval(labels):
    same = int(np.sum(labels[1] == labels[2]))
    agreement = compare_predictions(*labels, [], "classification").agreement
    assert agreement.value == same / 600
    assert agreement.interval == wilson_interval(same, 600)


def test_f1_differences_agree_with_a_plain_bootstrap_by_scikit_learn(labels):
    references, baseline, candidate = labels
    drawn = np.random.default_rng(9).integers(600, size=(500, 600))
    plain = [
        f1_score(references[rows], candidate[rows]) - f1_score(references[rows], baseline[rows])
        for rows in drawn
    ]
    (f1,) = compare_predictions(*labels, [METRICS["f1"]], "classification").metrics
    assert f1.difference.value == pytest.approx(
        f1_score(references, candidate) - f1_score(references, baseline)
    )
    ends = (f1.difference.interval.low, f1.difference.interval.high)
    assert ends == pytest.approx(tuple(np.quantile(plain, [0.025, 0.975])), abs=0.005)


@pytest.mark.parametrize("name", ["mse", "mae"])
def test_error_metrics_come_with_a_paired_t_interval(numbers, name):
    references, baseline, candidate = numbers
    errors = [np.abs(side - references) ** (2 if name == "mse" else 1) for side in (baseline, candidate)]
    expected = stats.ttest_rel(errors[1], errors[0]).confidence_interval()
    (metric,) = compare_predictions(*numbers, [METRICS[name]], "regression").metrics
    ends = (metric.difference.interval.low, metric.difference.interval.high)
    assert ends == pytest.approx((expected.low, expected.high))


def test_pearson_differences_agree_with_scipys_bca(numbers):
    def change(right, before, after, axis):
        return (
            stats.pearsonr(right, after, axis=axis).statistic
            - stats.pearsonr(right, before, axis=axis).statistic
        )

    expected = stats.bootstrap(
        numbers, change, paired=True, n_resamples=10_000, rng=np.random.default_rng(1)
    ).confidence_interval
    (metric,) = compare_predictions(*numbers, [METRICS["pearson"]], "regression").metrics
    ends = (metric.difference.interval.low, metric.difference.interval.high)
    assert ends == pytest.approx((expected.low, expected.high), abs=0.1 * (expected.high - expected.low))


def test_regression_has_no_agreement_and_tells_the_mean_distance(numbers):
    result = compare_predictions(*numbers, NUMBER_METRICS, "regression")
    distance = np.abs(numbers[1] - numbers[2])
    assert (result.agreement, result.broken, result.fixed) == (None, None, None)
    assert f"mean |candidate - baseline| {distance.mean():.3g}" in result.notes[0]


@pytest.mark.parametrize("metric", CLASS_METRICS, ids=lambda metric: metric.name)
def test_identical_labels_differ_by_0_with_the_rule_of_three(labels, metric):
    references, baseline, _ = labels
    result = compare_predictions(references, baseline, baseline.copy(), [metric], "classification")
    found = result.metrics[0]
    assert (result.broken, result.fixed, result.agreement.value) == (0, 0, 1.0)
    assert found.difference.value == 0.0
    assert found.gate_interval.high == -found.gate_interval.low
    if metric.name == "accuracy":
        assert found.gate_interval.high == pytest.approx(1.6449**2 / (600 + 1.6449**2), rel=1e-3)
        assert found.p_value == 1.0
    else:
        effect = largest_effect(metric, references, baseline)
        assert found.gate_interval.high == pytest.approx(-np.log(0.05) / 600 * effect)
        assert "0 of 600 rows changed" in result.notes[0]


@pytest.mark.parametrize("metric", NUMBER_METRICS, ids=lambda metric: metric.name)
def test_identical_numbers_differ_by_0_with_a_width(numbers, metric):
    references, baseline, _ = numbers
    found = compare_predictions(references, baseline, baseline, [metric], "regression").metrics[0]
    assert found.difference.value == 0.0
    assert found.difference.interval.low < 0 < found.difference.interval.high


def test_without_labels_there_is_agreement_and_a_note(labels):
    result = compare_predictions(None, labels[1], labels[2], [METRICS["accuracy"]], "classification")
    assert result.metrics == []
    assert (result.broken, result.fixed) == (None, None)
    assert result.agreement.value == np.mean(labels[1] == labels[2])
    assert result.notes == ["the rows have no labels, so no metric can be given"]


def test_numbers_without_references_give_the_distance_only(numbers):
    result = compare_predictions(None, numbers[1], numbers[2], [], "regression")
    assert (result.metrics, result.agreement, len(result.notes)) == ([], None, 2)


def test_a_metric_that_one_side_leaves_undefined_has_a_reason_and_no_difference(numbers):
    references, baseline, _ = numbers
    constant = np.full(len(references), 0.5)
    (metric,) = compare_predictions(
        references, baseline, constant, [METRICS["pearson"]], "regression"
    ).metrics
    assert metric.baseline is not None
    assert (metric.candidate, metric.difference, metric.gate_interval) == (None, None, None)
    assert metric.reason.startswith("candidate: pearson is undefined")


def test_predictions_that_are_not_finite_are_counted(numbers):
    references, baseline, candidate = numbers
    candidate = candidate.copy()
    candidate[:2] = np.nan
    result = compare_predictions(references, baseline, candidate, NUMBER_METRICS, "regression")
    assert result.notes == ["2 of 120 rows have a prediction not finite"]
    assert all(metric.difference is None for metric in result.metrics)


def test_without_any_finite_prediction_nothing_breaks():
    result = compare_predictions([1.0, 2.0], [1.0, 2.0], [np.nan] * 2, NUMBER_METRICS, "regression")
    assert result.notes == ["2 of 2 rows have a prediction not finite"]


def test_one_label_throughout_gives_no_bound_and_says_so():
    (metric,) = compare_predictions(
        [1] * 50, [1] * 50, [1] * 50, [METRICS["f1_macro"]], "classification"
    ).metrics
    assert (metric.difference.value, metric.difference.interval) == (0.0, None)
    assert "0 of 50 rows changed" in metric.difference.reason


def test_a_statistic_that_resampling_often_leaves_undefined_has_a_reason():
    references, baseline = np.zeros(40, dtype=int), np.zeros(40, dtype=int)
    references[0] = baseline[0] = 1
    candidate = baseline.copy()
    candidate[0] = 0
    candidate[1:12] = 1
    half = Metric("half", True, "test", "classification", lambda w, r, p: np.where(w @ r > 0, 0.5, np.nan))
    (metric,) = compare_predictions(references, baseline, candidate, [half], "classification").metrics
    assert metric.difference.interval is None
    assert metric.difference.reason.startswith("undefined in 3")


def test_a_module_that_refuses_resamples_costs_the_interval_only(labels):
    def whole_rows_only(weights, right, predicted):
        if len(weights) > 1 or weights.max() > 1:
            raise DataError("quality.metrics=own could not be computed: one class only")
        return weights @ (right == predicted) / weights.sum(axis=1)

    own = Metric("own", True, "test", None, whole_rows_only, resamples=50)
    (metric,) = compare_predictions(*labels, [own], "classification").metrics
    assert metric.difference.interval is None
    assert "one class only" in metric.difference.reason


@pytest.mark.parametrize("changed", [0, 3, 9])
def test_few_changed_rows_widen_the_interval_instead_of_resampling(labels, changed):
    references, baseline, _ = labels
    candidate = baseline.copy()
    candidate[:changed] = 1 - candidate[:changed]
    result = compare_predictions(references, baseline, candidate, [METRICS["f1"]], "classification")
    (metric,) = result.metrics
    effect = largest_effect(METRICS["f1"], references, baseline)
    assert metric.difference.interval == rare_change_interval(
        metric.difference.value, changed, 600, effect, 0.95
    )
    assert f"f1: {changed} of 600 rows changed" in result.notes[0]


@pytest.mark.parametrize("changed", [0, 1, 5, 9])
def test_the_rare_change_interval_uses_the_upper_poisson_limit(changed):
    interval = rare_change_interval(0.0, changed, 1000, 2.0, 0.9)
    limit = stats.chi2.ppf(0.95, 2 * changed + 2) / 2
    assert interval.high == pytest.approx((limit - changed) * 2.0 / 1000)


def test_the_largest_effect_of_a_row_on_accuracy_is_one_row(labels):
    assert largest_effect(METRICS["accuracy"], *labels[:2]) == pytest.approx(1.0)


def test_the_largest_effect_is_found_among_all_single_changes():
    references = np.array([0] * 12 + [1] * 5 + [2] * 3)
    predictions = np.array([0] * 11 + [1] * 5 + [2] * 4)
    metric = METRICS["f1_macro"]
    before = metric.compute(references, predictions).value
    effects = []
    for row in range(20):
        for label in range(3):
            changed = predictions.copy()
            changed[row] = label
            effects.append(20 * abs(metric.compute(references, changed).value - before))
    assert largest_effect(metric, references, predictions) == pytest.approx(max(effects), rel=0.1)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_swapping_the_variants_mirrors_every_difference(seed):
    rng = np.random.default_rng(seed)
    references, baseline, candidate = rng.integers(3, size=(3, 60))
    chosen = [METRICS["accuracy"], METRICS["f1_macro"]]
    one = compare_predictions(references, baseline, candidate, chosen, "classification")
    other = compare_predictions(references, candidate, baseline, chosen, "classification")
    assert (one.broken, one.fixed, one.agreement) == (other.fixed, other.broken, other.agreement)
    for here, there in zip(one.metrics, other.metrics, strict=True):
        assert here.difference.value == pytest.approx(-there.difference.value)
        assert here.difference.interval.low == pytest.approx(-there.difference.interval.high, abs=0.03)
        low, high = here.difference.interval.low, here.difference.interval.high
        assert low <= here.gate_interval.low <= here.difference.value <= here.gate_interval.high <= high


def test_the_same_seed_gives_the_same_result(labels):
    one, same = (compare_predictions(*labels, CLASS_METRICS, "classification", seed=4) for _ in range(2))
    assert one == same


def test_the_result_survives_json(labels):

    result = compare_predictions(*labels, CLASS_METRICS, "classification")
    assert msgspec.json.decode(to_json(result), type=QualityResult) == result


def test_rows_must_be_equally_many():
    with pytest.raises(DataError, match="the same rows, got 2, 2 and 1"):
        compare_predictions([0, 1], [0, 1], [0], [], "classification")


def test_strings_and_numbers_do_not_mix():
    with pytest.raises(DataError, match="all whole numbers or all strings"):
        compare_predictions(["a", "b"], [0, 1], [0, 1], [], "classification")


def test_a_metric_of_the_other_kind_is_refused_with_the_fitting_ones(labels):
    with pytest.raises(ConfigError, match=r"quality\.metrics must suit classification, got mse; .*accuracy"):
        compare_predictions(*labels, [METRICS["mse"]], "classification")
