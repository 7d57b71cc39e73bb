"""Text classification: columns, labels, pairs, regression, odd text. No model is run here."""

import datasets
import numpy as np
import pytest

from optbench.checkpoint import read_spec
from optbench.components import DataKeys, ModelSpec
from optbench.datasets.labelled import LabelledDataset
from optbench.errors import DataError
from optbench.tasks.text_classification import TextClassification

LABELS = datasets.ClassLabel(names=["negative", "positive"])


def table(features=None, **columns):
    return datasets.Dataset.from_dict(columns, features=features and datasets.Features(features))


def examples(model, rows, task=None, **keys):
    dataset = LabelledDataset(path="x", data_keys=DataKeys(**keys))
    return (task or TextClassification()).examples(read_spec(model), dataset, rows)


def test_a_single_sentence_is_tokenized_with_the_models_tokenizer(bare_model):
    found = examples(bare_model, table(text=["a good film", "bad"], label=[1, 0]))
    first, second = found.encoded()
    assert first["input_ids"].tolist()[0] == 2
    assert first["input_ids"].shape == (5,)
    assert second["input_ids"].shape == (3,)
    assert set(first) == {"input_ids", "token_type_ids", "attention_mask"}
    assert found.references() == [1, 0]
    assert found.texts() == ["a good film", "bad"]


def test_both_sentences_of_a_pair_reach_the_model(bare_model):
    rows = table(premise=["a film", "a plot"], hypothesis=["bad", "good"], label=[0, 1])
    found = examples(bare_model, rows, primary="premise", secondary="hypothesis")
    first, second = found.encoded()
    assert first["token_type_ids"].tolist() == [0, 0, 0, 0, 1, 1]
    assert first["input_ids"].tolist()[4] != second["input_ids"].tolist()[4]
    assert found.texts()[0] == "a film | bad"


def test_regression_takes_numbers(bare_model):
    task = TextClassification(is_regression=True)
    found = examples(bare_model, table(text=["a", "b"], score=[0.5, 3]), task)
    assert found.kind == "regression"
    assert found.references() == [0.5, 3.0]
    assert found.predictions([{"logits": np.array([0.25])}]) == [0.25]


@pytest.mark.parametrize("values", [["x", "y"], [True, False]])
def test_regression_refuses_what_is_no_number(bare_model, values):
    with pytest.raises(DataError, match=r"must hold numbers"):
        examples(bare_model, table(text=["a", "b"], score=values), TextClassification(is_regression=True))


def test_class_labels_align_by_name_with_the_models_outputs(bare_model):
    swapped = datasets.ClassLabel(names=["positive", "negative"])
    rows = table({"text": datasets.Value("string"), "label": swapped}, text=["a", "b"], label=[0, 1])
    assert examples(bare_model, rows).references() == [1, 0]


def test_string_labels_align_by_name(bare_model):
    assert examples(bare_model, table(text=["a", "b"], label=["POSITIVE", "negative"])).references() == [1, 0]


def test_a_label_map_translates(bare_model):
    task = TextClassification(label_map={"4": "POSITIVE", "0": "NEGATIVE"})
    assert examples(bare_model, table(text=["a", "b"], label=[4, 0]), task).references() == [1, 0]


def test_numbers_outside_the_models_outputs_are_refused_with_both_sides(bare_model):
    with pytest.raises(DataError, match=r"dataset has 0, 4; the model has 2 outputs, NEGATIVE, POSITIVE"):
        examples(bare_model, table(text=["a", "b"], label=[4, 0]))


def test_rows_without_labels_as_in_hidden_test_splits_are_refused(bare_model):
    rows = table({"text": datasets.Value("string"), "label": LABELS}, text=["a", "b"], label=[-1, -1])
    with pytest.raises(DataError, match=r"2 of 2 rows have no label"):
        examples(bare_model, rows)


def test_a_dataset_without_labels_has_no_references(bare_model):
    assert examples(bare_model, table(text=["a"])).references() is None


def test_rows_without_text_are_left_out_and_named(bare_model):
    found = examples(bare_model, table(text=["a", None, "b"], label=[0, 1, 1]))
    assert found.failed == {1: "dataset.data_keys.primary=text, row 1: text is required, found None"}
    assert found.texts() == ["a", "b"]
    assert found.references() == [0, 1]
    assert len(found.encoded()) == 2


def test_without_any_text_no_row_can_be_used(bare_model):
    with pytest.raises(DataError, match=r"no row can be used; .* row 0: text is required, found None"):
        examples(bare_model, table(text=[None], label=[0]), primary="text")


@pytest.mark.parametrize("text", ["", "🙂🙃", "x" * 100_000, "שלום עולם", "a\x00b\u202e", " \n\t "])
def test_odd_text_is_encoded_within_the_models_limit(bare_model, text):
    (row,) = examples(bare_model, table(text=[text], label=[0])).encoded()
    assert 2 <= len(row["input_ids"]) <= 32


def test_predictions_are_the_largest_logit(bare_model):
    found = examples(bare_model, table(text=["a"], label=[0]))
    assert found.predictions([{"logits": np.array([0.1, 0.9])}]) == [1]


def test_rows_are_cut_and_padded_to_the_shape_asked_for(bare_model):
    found = examples(bare_model, table(text=["a good film " * 20, "bad"], label=[1, 0]))
    feed = found.cut((16, 8), seed=3)
    assert {array.shape for array in feed.values()} == {(16, 8)}
    lengths = set(feed["attention_mask"].sum(axis=1).tolist())
    assert lengths == {8, 3}
    assert (feed["input_ids"][feed["attention_mask"] == 0] == 0).all()
    np.testing.assert_array_equal(found.cut((16, 8), seed=3)["input_ids"], feed["input_ids"])


def test_random_feeds_are_seeded_and_hold_ordinary_tokens_only(bare_model):
    spec, task = read_spec(bare_model), TextClassification()
    feed = task.random_feed(spec, (4, 16), seed=1)
    assert feed["input_ids"].shape == (4, 16)
    assert feed["input_ids"].min() >= 5
    assert feed["attention_mask"].all()
    assert not feed["token_type_ids"].any()
    np.testing.assert_array_equal(task.random_feed(spec, (4, 16), seed=1)["input_ids"], feed["input_ids"])
    assert (task.random_feed(spec, (4, 16), seed=2)["input_ids"] != feed["input_ids"]).any()


def test_padding_follows_the_tokenizer(bare_model):
    padding = TextClassification().padding(read_spec(bare_model))
    assert padding == {"input_ids": 0, "token_type_ids": 0, "attention_mask": 0}


@pytest.mark.parametrize(
    ("labels", "vocabulary", "regression", "words"),
    [
        (("A",), 10, False, "set task.is_regression=true"),
        (("A", "B"), 10, True, "needs a model with one output"),
        (("A", "B"), None, False, "has no vocabulary"),
        (("A", "B"), 10, False, None),
        (("A",), 10, True, None),
    ],
)
def test_what_models_the_task_supports(tmp_path, labels, vocabulary, regression, words):
    reason = TextClassification(is_regression=regression).supports(
        ModelSpec(tmp_path, "bert", labels, vocabulary, 32)
    )
    assert (reason is None) if words is None else (words in reason)


def test_a_label_map_excludes_regression():
    assert TextClassification(is_regression=True, label_map={"a": "b"}).problems()
    assert TextClassification(label_map={"a": "b"}).problems() == []


def test_default_metrics_follow_the_kind(bare_model):
    assert examples(bare_model, table(text=["a"], label=[0])).default_metrics() == ["accuracy", "f1_macro"]
    regression = TextClassification(is_regression=True)
    rows = table(text=["a"], label=[0.5])
    assert examples(bare_model, rows, task=regression).default_metrics() == ["pearson", "spearmanr"]


@pytest.mark.parametrize("label", [[1, None, 0], [1.0, float("nan"), 0.0], ["POSITIVE", None, "NEGATIVE"]])
def test_a_row_without_label_is_named_as_it_stands_in_its_file(bare_model, label):
    rows = table(text=["a", "b", "c"], label=label).shuffle(seed=1)
    with pytest.raises(
        DataError, match=r"1 of 3 rows have no label \(null or -1\), such as row 1; drop them"
    ):
        examples(bare_model, rows)


def test_one_label_for_each_row_is_required(bare_model):
    with pytest.raises(DataError, match=r"ref_keys=label must hold one label for each row, found lists"):
        examples(bare_model, table(text=["a"], label=[[1]]))


def test_regression_needs_finite_numbers(bare_model):
    rows = table(text=["a", "b"], label=[0.5, float("inf")])
    with pytest.raises(DataError, match=r"must hold numbers for a regression, found inf in row 1"):
        examples(bare_model, rows, TextClassification(is_regression=True))


def test_a_long_list_of_labels_is_cut_short(bare_model):
    names = [f"name {number}" for number in range(1000)]
    with pytest.raises(DataError, match=r"and 980 more; the model has NEGATIVE, POSITIVE"):
        examples(bare_model, table(text=names, label=names))
