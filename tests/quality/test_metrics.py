import sys
import textwrap

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as reference

from optbench.errors import ConfigError, DataError
from optbench.quality import metrics
from optbench.quality.metrics import METRICS, resolve_metric, rows_of, weighted_ranks

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning"),
    pytest.mark.filterwarnings("ignore:A single label was found:UserWarning"),
]

BY_SKLEARN = {
    "accuracy": reference.accuracy_score,
    "f1_macro": lambda r, p: reference.f1_score(r, p, average="macro", zero_division=0),
    "f1_weighted": lambda r, p: reference.f1_score(r, p, average="weighted", zero_division=0),
    "precision_macro": lambda r, p: reference.precision_score(r, p, average="macro", zero_division=0),
    "recall_macro": lambda r, p: reference.recall_score(r, p, average="macro", zero_division=0),
    "matthews_correlation": reference.matthews_corrcoef,
}
ERRORS = {"mse": reference.mean_squared_error, "mae": reference.mean_absolute_error}
CORRELATIONS = {
    "pearson": lambda r, p: stats.pearsonr(r, p).statistic,
    "spearmanr": lambda r, p: stats.spearmanr(r, p).statistic,
}


def pairs(elements, least=1):
    return st.lists(st.tuples(elements, elements), min_size=least, max_size=40).map(
        lambda rows: tuple(np.array(column) for column in zip(*rows, strict=True))
    )


@pytest.fixture
def write_module(tmp_path):
    """Writes an evaluate module that returns `result`, an expression; gives its directory."""

    def write(result, name="half_right", imports="import datasets\nimport evaluate"):
        directory = tmp_path / name
        directory.mkdir()
        body = f"""
            class HalfRight(evaluate.Metric):
                def _info(self):
                    return evaluate.MetricInfo(
                        description="", citation="", inputs_description="",
                        features=datasets.Features(
                            predictions=datasets.Value("int64"), references=datasets.Value("int64")
                        ),
                    )

                def _compute(self, predictions, references):
                    right = sum(p == r for p, r in zip(predictions, references))
                    return {result}
        """
        (directory / f"{name}.py").write_text(imports + "\n\n" + textwrap.dedent(body))
        return directory

    return write


def test_every_metric_is_held_against_an_independent_one():
    assert set(METRICS) == {*BY_SKLEARN, *ERRORS, *CORRELATIONS, "f1"}


@pytest.mark.parametrize("name", BY_SKLEARN)
@given(columns=pairs(st.integers(0, 4)))
def test_class_metrics_equal_scikit_learns(name, columns):
    assert METRICS[name].compute(*columns).value == pytest.approx(BY_SKLEARN[name](*columns), abs=1e-12)


@pytest.mark.parametrize("name", [*BY_SKLEARN, "f1"])
@given(columns=pairs(st.integers(0, 1)))
def test_counting_a_row_twice_equals_having_it_twice(name, columns):
    times = np.arange(len(columns[0])) % 3 + 1.0
    repeated = METRICS[name].compute(*(column.repeat(times.astype(int)) for column in columns))
    weighted = METRICS[name].weighted(times[None, :], *columns)[0]
    assert weighted == pytest.approx(np.nan if repeated.value is None else repeated.value, nan_ok=True)


@given(columns=pairs(st.integers(0, 1)))
def test_binary_f1_is_that_of_label_1(columns):
    score = METRICS["f1"].compute(*columns)
    if score.value is None:
        assert not columns[0].any()
        assert not columns[1].any()
    else:
        assert score.value == pytest.approx(reference.f1_score(*columns, zero_division=0))


@pytest.mark.parametrize("name", ERRORS)
@given(columns=pairs(st.floats(-1e3, 1e3)))
def test_error_metrics_equal_scikit_learns(name, columns):
    assert METRICS[name].compute(*columns).value == pytest.approx(ERRORS[name](*columns), abs=1e-9)


@pytest.mark.parametrize("name", CORRELATIONS)
@given(columns=pairs(st.integers(-5, 5), least=3))
def test_correlations_equal_scipys(name, columns):
    score = METRICS[name].compute(*columns)
    if any(len(set(column)) == 1 for column in columns):
        assert "all equal" in score.reason
    else:
        assert score.value == pytest.approx(CORRELATIONS[name](*columns), abs=1e-9)


@pytest.mark.parametrize("name", CORRELATIONS)
def test_weighted_correlations_equal_those_of_repeated_rows(name):
    rng = np.random.default_rng(0)
    columns = rng.integers(0, 6, size=(2, 30)).astype(float)
    weights = rng.multinomial(30, np.full(30, 1 / 30), size=5).astype(float)
    expected = [CORRELATIONS[name](*columns.repeat(row.astype(int), axis=1)) for row in weights]
    assert METRICS[name].weighted(weights, *columns) == pytest.approx(expected)


def test_weighted_ranks_are_midranks():
    ranks = weighted_ranks(np.array([[1.0, 2.0, 0.0, 1.0]]), np.array([7, 3, 5, 7]))
    assert ranks[0, [0, 1, 3]].tolist() == [3.5, 1.5, 3.5]


def test_the_metrics_say_which_way_is_better():
    assert [name for name, metric in METRICS.items() if not metric.higher_is_better] == ["mse", "mae"]


@pytest.mark.parametrize("value", [0.1, 1e9, -3.0])
def test_the_correlation_of_a_constant_is_undefined_and_not_nan(value):
    score = METRICS["pearson"].compute([1.0, 2.0, 3.0], [value] * 3)
    assert score.value is None
    assert score.reason == "pearson is undefined: the references or the predictions are all equal"


def test_f1_without_any_positive_is_undefined():
    assert METRICS["f1"].compute([0, 0], [0, 0]).reason.startswith("f1 is undefined: no row has label 1")


def test_predictions_that_are_not_finite_leave_a_metric_undefined():
    score = METRICS["mse"].compute([1.0, 2.0], [np.nan, np.inf])
    assert (score.value, score.reason) == (None, "mse is undefined: 2 values are not finite")


@pytest.mark.parametrize("labels", [[0, 1, 2], [1, 2, 1], ["a", "b", "a"]])
def test_binary_f1_refuses_other_labels_and_names_the_way_out(labels):
    with pytest.raises(ConfigError, match=r"quality\.metrics: f1 needs the labels 0 and 1.*f1_macro"):
        METRICS["f1"].compute(labels, labels)


def test_labels_may_be_strings():
    assert METRICS["f1_macro"].compute(["a", "b", "a"], ["a", "b", "a"]).value == 1.0


def test_references_and_predictions_must_be_equally_many():
    with pytest.raises(DataError, match="got 1 predictions for 2 references"):
        METRICS["accuracy"].compute([0, 1], [0])


@pytest.mark.parametrize("values", [[], 3, [[0], [1]]])
def test_values_must_be_a_flat_list(values):
    with pytest.raises(DataError, match="at least one value in a flat list"):
        rows_of(values, None)


@pytest.mark.parametrize(
    ("values", "kind"), [([0.5, 1.0], "classification"), ([None, 1], "classification"), (["a"], "regression")]
)
def test_values_must_suit_the_kind(values, kind):
    with pytest.raises(DataError, match=f"{kind} metrics need"):
        rows_of(values, kind)


def test_an_unknown_name_is_answered_with_close_matches_and_all_known_ones():
    with pytest.raises(ConfigError) as caught:
        resolve_metric("acuracy")
    assert "quality.metrics must name known metrics, got 'acuracy' (did you mean accuracy?)" in str(
        caught.value
    )
    assert all(name in str(caught.value) for name in METRICS)


def test_a_name_like_no_other_gets_no_suggestion():
    with pytest.raises(ConfigError, match=r"got 'zzz'; known: accuracy"):
        resolve_metric("zzz")


def test_a_built_in_metric_is_found_by_its_name():
    assert resolve_metric("f1_macro") is METRICS["f1_macro"]


@pytest.mark.parametrize("spec", ["{}", "evaluate:{}", "{}/half_right.py", "evaluate:{}/half_right.py"])
def test_an_evaluate_module_is_loaded_from_its_directory_or_file(write_module, spec):
    directory = write_module('{"half_right": right / len(references)}')
    metric = resolve_metric(spec.format(directory))
    assert (metric.name, metric.higher_is_better, metric.kind) == ("half_right", True, None)
    assert metric.source == str(directory / "half_right.py")
    assert metric.compute([0, 1, 1, 0], [0, 1, 0, 1]).value == 0.5
    weights = np.array([[1.0, 1.0], [2.0, 0.0], [0.0, 2.0]])
    assert metric.weighted(weights, np.array([0, 1]), np.array([0, 0])).tolist() == [0.5, 1.0, 0.0]


def test_a_relative_path_is_taken_from_the_working_directory(write_module, monkeypatch):
    directory = write_module('{"half_right": 1.0}')
    monkeypatch.chdir(directory.parent)
    assert resolve_metric("./half_right@lower").compute([0], [0]).value == 1.0


def test_a_key_and_a_direction_follow_the_name(write_module):
    directory = write_module(
        '{"wrong": len(references) - right, "right": np.float32(right)}',
        imports="import datasets\nimport evaluate\nimport numpy as np",
    )
    metric = resolve_metric(f"evaluate:{directory}@wrong@lower")
    assert (metric.name, metric.higher_is_better) == ("half_right.wrong", False)
    assert metric.compute([0, 1, 1], [0, 0, 0]).value == 2.0
    assert resolve_metric(f"{directory}@higher@right").compute([0, 1], [0, 0]).value == 1.0


def test_of_several_results_the_one_named_like_the_module_is_taken(write_module):
    directory = write_module('{"other": 0.1, "half_right": 0.7}')
    assert resolve_metric(str(directory)).compute([0], [0]).value == 0.7


@pytest.mark.parametrize("result", ['{"a": 0.1, "b": 0.2}', '{"a": [0.1], "b": "x"}'])
def test_several_results_without_a_choice_are_listed(write_module, result):
    metric = resolve_metric(str(write_module(result)))
    with pytest.raises(ConfigError, match=r"needs one number, the module gives a, b; choose one with .*@KEY"):
        metric.compute([0], [0])


def test_a_key_that_the_module_does_not_give_is_refused(write_module):
    metric = resolve_metric(f"{write_module('dict(a=0.1)')}@b")
    with pytest.raises(ConfigError, match="the module gives a"):
        metric.compute([0], [0])


def test_a_module_that_gives_nan_is_undefined(write_module):
    score = resolve_metric(str(write_module('{"half_right": float("nan")}'))).compute([0], [0])
    assert score.reason == "half_right is undefined: it is not finite"


def test_a_module_that_fails_on_the_rows_is_a_data_error(write_module):
    metric = resolve_metric(str(write_module('{"half_right": 1 / 0}')))
    with pytest.raises(DataError, match="could not be computed: division by zero"):
        metric.compute([0], [0])


def test_several_imports_on_one_line_are_explained(write_module):
    directory = write_module('{"half_right": 1.0}', imports="import datasets, evaluate")
    with pytest.raises(DataError, match=r"evaluate cannot load .*one import per line"):
        resolve_metric(str(directory))


@pytest.mark.parametrize("path", ["./no/such", "/no/such/module.py", "./no_such.py@lower"])
def test_a_path_that_does_not_exist_is_refused(path):
    with pytest.raises(DataError, match=r"quality\.metrics=.*must be a \.py file, or a directory"):
        resolve_metric(path)


def test_a_directory_must_hold_a_module_of_its_own_name(write_module):
    directory = write_module('{"half_right": 1.0}')
    (directory / "half_right.py").rename(directory / "metric.py")
    with pytest.raises(DataError, match=r"its own name; there is no .*half_right/half_right\.py"):
        resolve_metric(str(directory))


@pytest.mark.parametrize("name", ["evaluate:", "evaluate:rouge@rouge1@rouge2"])
def test_a_malformed_module_name_is_refused(name):
    with pytest.raises(ConfigError, match=r"must read evaluate:NAME\[@KEY\]\[@higher\|@lower\]"):
        resolve_metric(name)


@pytest.mark.parametrize("name", ["evaluate:no_such_metric", "evaluate:someone/no_such_metric@lower"])
def test_a_hub_name_without_a_hub_fails_before_evaluate_is_asked(name, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setitem(sys.modules, "evaluate", None)
    with pytest.raises(DataError, match=r"quality\.metrics=evaluate:.*HF_HUB_OFFLINE is set"):
        resolve_metric(name)


def test_a_hub_name_that_evaluate_does_not_find_is_a_data_error(monkeypatch):
    def load(*_args, **_options):
        raise FileNotFoundError("no such module on the hub")

    monkeypatch.setattr(metrics, "require_hub", lambda _key: None)
    monkeypatch.setattr("evaluate.load", load)
    with pytest.raises(DataError, match="cannot load no_such_metric: no such module on the hub"):
        resolve_metric("evaluate:no_such_metric")


@pytest.mark.parametrize(("name", "folder"), [("tiny", "evaluate-metric--tiny"), ("me/tiny", "me--tiny")])
def test_a_hub_module_loaded_before_is_found_without_the_hub(
    write_module, monkeypatch, tmp_path, name, folder
):
    cached = tmp_path / "modules" / "evaluate_modules" / "metrics" / folder / "0123"
    cached.parent.mkdir(parents=True)
    write_module('{"tiny": 0.25}', name="tiny").rename(cached)
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert resolve_metric(f"evaluate:{name}").compute([0], [0]).value == 0.25
