"""Which column is what, and which label is which."""

import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from optbench.components import DataKeys
from optbench.datasets.labelled import LabelledDataset
from optbench.errors import DataError
from optbench.rows.columns import align_labels, resolve_columns, which_is_which, why_unlabelled

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


@pytest.mark.parametrize(
    ("names", "labels", "given", "pairs"),
    [
        (["bad", "good"], ["NEGATIVE", "POSITIVE"], {}, {"bad": "NEGATIVE", "good": "POSITIVE"}),
        (["neg", "Positive"], ["POSITIVE", "NEGATIVE"], {}, {"neg": "NEGATIVE", "Positive": "POSITIVE"}),
        (["a", "b"], ["X", "Y"], {"a": "Y"}, {"a": "Y", "b": "X"}),
        (["very bad", "so, so"], ["1 star", "2: stars"], {}, {"very bad": "1 star", "so, so": "2: stars"}),
        (["-1", "1"], ["NEGATIVE", "POSITIVE"], {}, {"-1": "NEGATIVE", "1": "POSITIVE"}),
        (["a", "b", "c"], ["X", "Y"], {}, {"a": "X", "b": "Y", "c": "OF_MODEL"}),
    ],
)
def test_the_setting_for_labels_passes_a_shell_and_hydra_with_every_pair(names, labels, given, pairs):
    advice = which_is_which(names, labels, given)
    (setting,) = [word for word in shlex.split(advice) if word.startswith("+task.label_map=")]
    (read,) = OverridesParser.create().parse_overrides([setting.rstrip(",")])
    assert {str(name): str(label) for name, label in read.value().items()} == pairs
    assert "in the order of the names" in advice


@pytest.mark.parametrize(
    "names", [["it's"], ["日本"], [""], ["null"], [str(number) for number in range(30)]], ids=str
)
def test_labels_that_no_command_line_takes_are_not_written_into_one(names):
    advice = which_is_which(names, ["X", "Y"], {})
    assert advice == "say which is which with '+task.label_map={OF_DATASET: OF_MODEL}', a pair for each label"


def test_columns_that_may_hold_labels_are_named_with_the_setting():
    columns, notes = resolve_columns(LabelledDataset(path="x"), {"sentence": "string", "gold": "number"})
    assert "reference" not in columns
    assert notes[-1] == (
        "no label column recognised among sentence (string), gold (number); if one holds labels, set "
        "'dataset.ref_keys=[gold]': agreement is reported, metrics are not"
    )
    assert why_unlabelled(notes).endswith("set 'dataset.ref_keys=[gold]'")
