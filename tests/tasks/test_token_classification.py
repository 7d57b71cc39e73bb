"""Token classification against a plain loop, and seqeval."""

import datasets
import numpy as np
import pytest
from seqeval import metrics as seqeval

from optbench.checkpoint import read_spec
from optbench.components import DataKeys
from optbench.datasets.labelled import LabelledDataset
from optbench.errors import DataError
from optbench.quality.tagging import TagScheme, tag_metrics, tag_statistics
from optbench.tasks.token_classification import Pieces, TokenClassification

LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
ROWS = {
    "tokens": [["good", "film"], ["the", "unseenword", "was", "bad"], ["a"], ["plot", "plot", "plot"]],
    "ner_tags": [["O", "B-PER"], ["O", "B-LOC", "I-LOC", "O"], ["O"], ["B-PER", "I-PER", "I-PER"]],
}


@pytest.fixture(scope="module")
def model(build_bert):
    return build_bert("BertForTokenClassification", LABELS)


def examples(model, rows=None, task=None, features=None, **keys):
    table = datasets.Dataset.from_dict(rows or ROWS, features=features)
    dataset = LabelledDataset(path="x", **keys)
    return (task or TokenClassification()).examples(read_spec(model), dataset, table)


def plain_loop(directory, rows, pieces):
    """Tags of each word with transformers alone."""
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    model = transformers.AutoModelForTokenClassification.from_pretrained(directory).eval()
    answers = []
    for words in rows:
        encoding = tokenizer(words, is_split_into_words=True, return_tensors="pt")
        with torch.inference_mode():
            logits = model(**encoding).logits[0]
        tags = []
        for number in range(len(words)):
            own = [place for place, word in enumerate(encoding.word_ids()) if word == number]
            chosen = logits[own[:1] if pieces is Pieces.first else own].mean(dim=0)
            tags.append(model.config.id2label[int(chosen.argmax())])
        answers.append(tuple(tags))
    return answers


@pytest.mark.parametrize("pieces", list(Pieces))
def test_answers_and_metrics_equal_a_plain_loop_and_seqeval(model, run_rows, pieces):
    task = TokenClassification(pieces=pieces)
    found = examples(model, task=task)
    outputs = run_rows(task, model, found.encoded())
    answers = found.predictions(outputs)
    assert answers == plain_loop(model, ROWS["tokens"], pieces)
    statistics = found.statistics(outputs)
    truth, said = [list(map(list, side)) for side in (ROWS["ner_tags"], answers)]
    for name, function in (
        ("seqeval_f1", seqeval.f1_score),
        ("seqeval_precision", seqeval.precision_score),
        ("seqeval_recall", seqeval.recall_score),
        ("token_accuracy", seqeval.accuracy_score),
    ):
        assert found.metrics[name].of(statistics[name]) == pytest.approx(function(truth, said)), name
    report = seqeval.classification_report(truth, said, output_dict=True, zero_division=0)
    for kind in ("PER", "LOC"):
        name = f"seqeval_f1@{kind}"
        assert found.metrics[name].of(statistics[name]) == pytest.approx(report[kind]["f1-score"])


def test_perfect_answers_are_perfect(model):
    found = examples(model)
    references = found.references()
    types = ["LOC", "PER"]
    statistics = tag_statistics(references, references, TagScheme.lenient, types)
    for name, metric in tag_metrics(TagScheme.lenient, types).items():
        assert metric.of(statistics[name]) == 1.0


IOB = ([["B-PER", "I-PER", "O", "I-LOC"], ["I-LOC"]], [["B-PER", "I-PER", "O", "B-LOC"], ["I-LOC"]])
IOBES = ([["B-PER", "E-PER", "O", "S-LOC"], ["S-LOC"]], [["B-PER", "E-PER", "O", "S-LOC"], ["B-LOC"]])


@pytest.mark.parametrize(
    ("scheme", "tags"), [(TagScheme.IOB1, IOB), (TagScheme.IOB2, IOB), (TagScheme.IOBES, IOBES)]
)
def test_a_named_scheme_is_read_as_seqeval_reads_it_strictly(scheme, tags):
    from seqeval import scheme as schemes

    statistics = tag_statistics(*tags, scheme, [])
    expected = seqeval.f1_score(*tags, mode="strict", scheme=getattr(schemes, scheme.value))
    assert tag_metrics(scheme, [])["seqeval_f1"].of(statistics["seqeval_f1"]) == pytest.approx(expected)


def test_a_tag_outside_its_scheme_is_named():
    with pytest.raises(DataError, match=r"task.scheme=IOB2 does not fit the tags: .*S-LOC"):
        tag_statistics([["S-LOC"]], [["O"]], TagScheme.IOB2, [])


def test_tags_without_entities_are_plain(build_bert, run_rows):
    model = build_bert("BertForTokenClassification", ("NOUN", "VERB"))
    rows = {"words": [["good", "film"], ["bad"]], "pos_tags": [["NOUN", "VERB"], ["NOUN"]]}
    found = examples(model, rows)
    assert found.default_metrics() == ["token_accuracy", "sentence_accuracy"]
    assert "task.scheme was taken from the tags: plain" in found.notes
    outputs = run_rows(TokenClassification(), model, found.encoded())
    right = sum(
        one == two
        for reference, answer in zip(found.references(), found.predictions(outputs), strict=True)
        for one, two in zip(reference, answer, strict=True)
    )
    statistics = found.statistics(outputs)
    assert statistics["token_accuracy"].sum(axis=0).tolist() == [right, 3]


def test_words_beyond_the_models_maximum_are_not_judged(model, run_rows):
    rows = {"tokens": [["good"] * 40], "ner_tags": [["O"] * 40]}
    found = examples(model, rows)
    assert len(found.references()[0]) == 30  # 32 positions, two of them special
    assert any("10 words have no piece" in note for note in found.notes)
    outputs = run_rows(TokenClassification(), model, found.encoded())
    assert len(found.predictions(outputs)[0]) == 30


def test_padding_does_not_reach_the_kept_logits(model):
    found = examples(model)
    row = found.encoded()[0]
    padded = np.zeros((9, len(LABELS)))
    assert TokenClassification().kept(row, {"logits": padded})["logits"].shape == (4, len(LABELS))


def test_class_labels_are_aligned_by_name(model):
    names = ["I-LOC", "B-LOC", "I-PER", "B-PER", "O"]
    features = datasets.Features(
        {
            "tokens": datasets.List(datasets.Value("string")),
            "ner_tags": datasets.List(datasets.ClassLabel(names=names)),
        }
    )
    rows = {"tokens": [["good", "film"]], "ner_tags": [[4, 3]]}
    assert examples(model, rows, features=features).references() == [("O", "B-PER")]


def test_a_cut_has_the_asked_shape(model):
    cut = examples(model).cut((3, 7), 0)
    assert set(cut) == {"input_ids", "token_type_ids", "attention_mask"}
    assert {array.shape for array in cut.values()} == {(3, 7)}


def test_logits_are_those_of_words(model, run_rows):
    found = examples(model)
    outputs = run_rows(TokenClassification(), model, found.encoded())
    assert [array.shape for array in found.logits(outputs)] == [(2, 5), (4, 5), (1, 5), (3, 5)]
    assert set(found.groups()) == {"length"}
    assert found.texts()[0] == "good film"


@pytest.mark.parametrize(
    ("rows", "keys", "said"),
    [
        ({"tokens": [["a"]], "ner_tags": [["O", "O"]]}, {}, "row 0 has 1 words and 2 tags"),
        ({"tokens": [["a"]], "ner_tags": [["B-ORG"]]}, {}, "labels do not match"),
        ({"tokens": [["a"]], "ner_tags": [[1]]}, {}, "numbers without names"),
        ({"text": ["a b"], "tags": [["O"]]}, {}, "dataset.data_keys.primary must name"),
        ({"tokens": [["a"]], "tags": [["O"]]}, {"data_keys": DataKeys(primary="x")}, "x is no column"),
        ({"tokens": [[]], "tags": [[]]}, {}, "a list of words is required"),
    ],
)
def test_rows_that_do_not_fit_are_named(model, rows, keys, said):
    with pytest.raises(DataError, match=said):
        examples(model, rows, **keys)


def test_rows_without_words_are_left_out(model):
    rows = {"tokens": [["a"], None, ["bad"]], "ner_tags": [["O"], ["O"], ["B-PER"]]}
    found = examples(model, rows)
    assert list(found.failed) == [1]
    assert found.references() == [("O",), ("B-PER",)]
