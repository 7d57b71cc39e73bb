"""The whole comparison of two variants: metrics, flips, groups and worst rows together."""

import numpy as np
import pytest

from optbench.quality.evaluation import Answers, Labelled, compare_variants, natural_order
from optbench.quality.metrics import resolve_metric
from optbench.quality.tagging import TagScheme, tag_metrics, tag_statistics
from optbench.records import QualityResult, to_json

CLASSES = np.array([[2.0, 0.0], [0.0, 2.0]])


def classified(count, wrong=(), moved=()):
    """Labels alternate; a row is answered wrongly, or rightly with other logits."""
    references = [number % 2 for number in range(count)]
    logits = [CLASSES[reference][None].copy() for reference in references]
    for row in wrong:
        logits[row] = logits[row][:, ::-1].copy()
    for row in moved:
        logits[row] = logits[row] * 3
    predictions = [int(row.argmax()) for row in logits]
    return references, Answers(predictions, {}, logits)


def labelled(references, groups=None, kind="classification", own=None):
    texts = [f"text {number}" for number in range(len(references))]
    return Labelled(kind, references, texts, groups or {}, own or {})


def test_an_identical_copy_has_no_flips_and_no_drift():
    references, answers = classified(100, wrong=[3])
    result = compare_variants(labelled(references), answers, answers, [resolve_metric("accuracy")])
    assert (result.broken, result.fixed, result.agreement.value) == (0, 0, 1.0)
    assert result.drift.kl_mean == 0.0
    assert result.worst_rows == []
    assert result.calibration_error["baseline"] == result.calibration_error["candidate"]


def test_worst_rows_are_changed_answers_first_then_those_that_moved_most():
    references, baseline = classified(50, wrong=[1])
    _, candidate = classified(50, wrong=[4, 7], moved=[9])
    result = compare_variants(labelled(references), baseline, candidate, [resolve_metric("accuracy")])
    assert (result.broken, result.fixed) == (2, 1)
    assert [row.row for row in result.worst_rows] == [1, 4, 7, 9]
    worst = result.worst_rows[1]
    assert (worst.text, worst.reference, worst.baseline, worst.candidate) == ("text 4", "0", "0", "1")
    assert worst.kl > result.worst_rows[3].kl > 0


def test_a_loss_hidden_in_the_average_shows_in_its_group():
    references, baseline = classified(400)
    _, candidate = classified(400, wrong=range(0, 40))
    groups = {"class": ["rare" if number < 40 else "common" for number in range(400)]}
    result = compare_variants(labelled(references, groups), baseline, candidate, [resolve_metric("accuracy")])
    found = {group.name: group for group in result.groups}
    assert found["rare"].difference.value == -1.0
    assert found["rare"].p_value < 0.001
    assert found["common"].difference.value == 0.0
    assert found["common"].p_value == 1.0


def test_small_groups_get_values_and_no_test():
    references, answers = classified(40)
    groups = {"class": ["few"] * 10 + ["many"] * 30}
    result = compare_variants(labelled(references, groups), answers, answers, [resolve_metric("accuracy")])
    found = {group.name: group for group in result.groups}
    assert (found["few"].rows, found["few"].baseline, found["few"].difference) == (10, 1.0, None)
    assert found["many"].difference is not None


def tagged(references, predictions):
    return Answers(predictions, tag_statistics(references, predictions, TagScheme.lenient, ["LOC", "PER"]))


def test_structured_answers_have_metrics_flips_and_types():
    references = [("B-PER", "O"), ("O", "B-LOC")] * 40
    spoiled = [("O", "O"), ("O", "B-LOC")] * 20 + references[40:]
    own = tag_metrics(TagScheme.lenient, ["LOC", "PER"])
    rows = labelled(references, kind="structured", own=own)
    metrics = [own["seqeval_f1"], own["token_accuracy"]]
    result = compare_variants(rows, tagged(references, references), tagged(references, spoiled), metrics)
    assert [metric.name for metric in result.metrics] == ["seqeval_f1", "token_accuracy"]
    assert result.metrics[0].candidate == pytest.approx(2 * 60 / (60 + 80))
    assert result.metrics[0].difference.interval.high < 0
    assert (result.broken, result.fixed) == (20, 0)
    assert result.agreement.value == 0.75
    types = {group.name: group for group in result.groups if group.by == "type"}
    assert types["LOC"].candidate == 1.0
    assert types["PER"].candidate == pytest.approx(2 * 20 / (20 + 40))
    assert types["PER"].rows == 40


def test_without_labels_there_is_agreement_and_drift_but_no_metric():
    _, baseline = classified(30)
    _, candidate = classified(30, wrong=[2])
    rows = Labelled("classification", None, ["text"] * 30, {}, {})
    result = compare_variants(rows, baseline, candidate, [resolve_metric("accuracy")])
    assert result.metrics == []
    assert result.broken is None
    assert result.agreement.value == pytest.approx(29 / 30)
    assert result.drift.kl_mean > 0
    assert "the rows have no labels, so no metric can be given" in result.notes


def test_embeddings_alone_have_no_agreement():
    vectors = [np.array([1.0, 0.0])] * 5
    answers = Answers([None] * 5, vectors=vectors)
    result = compare_variants(Labelled("structured", None, ["text"] * 5, {}, {}), answers, answers, [])
    assert result.agreement is None
    assert result.vector_drift.cosine_min == 1.0


def test_regression_has_no_flips_and_its_worst_rows_are_those_furthest_off():
    references = [float(number) for number in range(20)]
    baseline, candidate = Answers(list(references)), Answers(list(references))
    candidate.predictions[7] += 3.0
    candidate.predictions[2] += 1.0
    result = compare_variants(
        labelled(references, kind="regression"), baseline, candidate, [resolve_metric("pearson")]
    )
    assert result.broken is None
    assert [row.row for row in result.worst_rows] == [7, 2]
    assert result.groups == []


def test_what_is_not_finite_never_reaches_the_file():
    references, baseline = classified(40)
    _, candidate = classified(40)
    candidate.logits[3] = np.array([[np.nan, 0.0]])
    result = compare_variants(labelled(references), baseline, candidate, [resolve_metric("accuracy")])
    assert isinstance(result, QualityResult)
    text = to_json(result)
    assert b"NaN" not in text
    assert b"Infinity" not in text
    assert result.worst_rows[0].row == 3
    assert result.worst_rows[0].kl is None


def test_long_texts_are_cut():
    rows = Labelled("classification", [0, 1], ["x" * 1000, "y"], {}, {})
    one, two = Answers([0, 1], {}, [CLASSES[:1]] * 2), Answers([1, 1], {}, [CLASSES[1:]] * 2)
    result = compare_variants(rows, one, two, [])
    assert len(result.worst_rows[0].text) == 302


def test_ranges_sort_by_their_numbers_and_names_after_them():
    names = ["134 to 311 characters", "b", "62 to 95 characters", "9 to 61 characters", "a"]
    assert sorted(names, key=natural_order) == [
        "9 to 61 characters",
        "62 to 95 characters",
        "134 to 311 characters",
        "a",
        "b",
    ]
