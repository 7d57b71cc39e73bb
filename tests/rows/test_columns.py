"""Which column is what, and which label is which."""

import pytest

from optbench.components import DataKeys
from optbench.datasets.labelled import LabelledDataset
from optbench.errors import DataError
from optbench.rows.columns import align_labels, resolve_columns

TYPES = {"idx": "number", "sentence": "string", "label": "class"}
PAIR = {"premise": "string", "hypothesis": "string", "label": "class"}


def dataset(primary=None, secondary=None, refs=()):
    return LabelledDataset(path="x", data_keys=DataKeys(primary, secondary), ref_keys=list(refs))


def test_the_only_text_and_the_only_label_column_are_guessed_aloud():
    columns, notes = resolve_columns(dataset(), TYPES)
    assert columns == {"primary": "sentence", "reference": "label"}
    assert notes == [
        "dataset.data_keys.primary was guessed: sentence",
        "dataset.ref_keys was guessed: label",
    ]


def test_configured_columns_are_taken_without_a_word():
    columns, notes = resolve_columns(dataset("premise", "hypothesis", ["label"]), PAIR)
    assert columns == {"primary": "premise", "secondary": "hypothesis", "reference": "label"}
    assert notes == []


def test_two_text_columns_are_not_guessed_between():
    with pytest.raises(DataError, match=r"primary must name.*premise \(string\), hypothesis"):
        resolve_columns(dataset(), PAIR)


def test_a_secondary_without_a_primary_is_not_guessed():
    with pytest.raises(DataError, match=r"data_keys.primary must name"):
        resolve_columns(dataset(secondary="sentence"), TYPES)


@pytest.mark.parametrize(
    ("given", "key"),
    [
        (dataset("text"), "data_keys.primary=text"),
        (dataset("sentence", "other"), "data_keys.secondary=other"),
        (dataset("sentence", refs=["gold"]), "ref_keys=gold"),
    ],
)
def test_a_missing_column_is_named_with_those_there_are(given, key):
    with pytest.raises(DataError, match=rf"dataset\.{key} is no column.*sentence \(string\)"):
        resolve_columns(given, TYPES)


def test_two_possible_reference_columns_are_not_guessed_between():
    with pytest.raises(DataError, match=r"dataset.ref_keys must name"):
        resolve_columns(dataset(), {**TYPES, "score": "number"})


def test_a_dataset_without_labels_is_fine_and_said():
    columns, notes = resolve_columns(dataset("sentence"), {"sentence": "string"})
    assert columns == {"primary": "sentence"}
    assert "no labels" in notes[0]
    with pytest.raises(DataError, match=r"ref_keys"):
        resolve_columns(dataset("sentence"), {"sentence": "string"}, labels_needed=True)


def test_labels_align_by_name_whatever_their_order_and_case():
    index = align_labels(["contradiction", "Entailment"], ["ENTAILMENT", "CONTRADICTION"], {})
    assert index == {"contradiction": 1, "Entailment": 0}


def test_a_label_map_goes_before_equal_names():
    assert align_labels(["1", "0"], ["NEG", "POS"], {"1": "POS", "0": "NEG"}) == {"1": 1, "0": 0}


def test_generic_model_labels_take_the_datasets_order():
    assert align_labels(["neg", "pos"], ["LABEL_0", "LABEL_1"], {}) == {"neg": 0, "pos": 1}


def test_labels_that_do_not_match_are_shown_on_both_sides():
    with pytest.raises(DataError, match=r"dataset has happy, sad; the model has NEG, POS"):
        align_labels(["happy", "sad"], ["NEG", "POS"], {})
    with pytest.raises(DataError, match=r"task.label_map"):
        align_labels(["a", "b", "c"], ["LABEL_0", "LABEL_1"], {})
