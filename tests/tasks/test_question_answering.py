"""Question answering against a plain search over all spans, and the SQuAD script's own cases."""

from dataclasses import replace

import datasets
import numpy as np
import pytest

from optbench.checkpoint import read_spec
from optbench.datasets.labelled import LabelledDataset
from optbench.errors import ConfigError, DataError
from optbench.quality.squad import exact_match, normalized, word_f1
from optbench.tasks.question_answering import QuestionAnswering, answers_of

LONG = " ".join(["the good film was bad and the plot is fine a great cast"] * 5)
ROWS = {
    "question": ["  is the film good", "was the plot bad"],
    "context": ["the film is good the cast is great", LONG],
    "answers": [{"text": ["good"], "answer_start": [12]}, {"text": ["fine", "bad"], "answer_start": [0, 0]}],
}
TASK = QuestionAnswering(max_length=24, doc_stride=8, n_best=100)


@pytest.fixture(scope="module")
def model(build_bert):
    return build_bert("BertForQuestionAnswering")


def examples(model, task=TASK, rows=None):
    return task.examples(
        read_spec(model), LabelledDataset(path="x"), datasets.Dataset.from_dict(rows or ROWS)
    )


def plain_loop(directory, task, rows):
    """The best span of each question over all windows, by looking at every one."""
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    model = transformers.AutoModelForQuestionAnswering.from_pretrained(directory).eval()
    answers = []
    for question, context in zip(rows["question"], rows["context"], strict=True):
        encoding = tokenizer(
            question.lstrip(),
            context,
            truncation="only_second",
            max_length=task.max_length,
            stride=task.doc_stride,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        best, nothing = (-1e9, ""), 1e9
        for number, ids in enumerate(encoding["input_ids"]):
            feed = {
                name: torch.tensor([encoding[name][number]])
                for name in ("input_ids", "attention_mask", "token_type_ids")
            }
            with torch.inference_mode():
                found = model(**feed)
            starts, ends = found.start_logits[0], found.end_logits[0]
            nothing = min(nothing, float(starts[0] + ends[0]))
            inside = [place for place in range(len(ids)) if encoding.sequence_ids(number)[place] == 1]
            for start in inside:
                for end in inside:
                    if start <= end < start + task.max_answer_length:
                        first, last = (
                            encoding["offset_mapping"][number][start][0],
                            encoding["offset_mapping"][number][end][1],
                        )
                        best = max(best, (float(starts[start] + ends[end]), context[first:last]))
        answers.append("" if task.no_answer and nothing - best[0] > task.null_threshold else best[1])
    return answers


@pytest.mark.parametrize("max_answer_length", [1, 4, 30])
def test_answers_equal_a_search_over_all_spans_and_windows(model, run_rows, max_answer_length):
    task = replace(TASK, max_answer_length=max_answer_length)
    found = examples(model, task)
    encoded = found.encoded()
    assert len(encoded) > 2
    assert max(len(row["input_ids"]) for row in encoded) <= 24
    outputs = run_rows(task, model, encoded)
    answers = found.predictions(outputs)
    assert answers == plain_loop(model, task, ROWS)
    assert all(answer in context for answer, context in zip(answers, ROWS["context"], strict=True))


@pytest.mark.parametrize("threshold", [-1000.0, 0.0, 1000.0])
def test_no_answer_must_win_by_its_threshold(model, run_rows, threshold):
    task = QuestionAnswering(
        max_length=24, doc_stride=8, n_best=100, no_answer=True, null_threshold=threshold
    )
    rows = {**ROWS, "answers": [{"text": []}, {"text": ["fine"]}]}
    found = examples(model, task, rows)
    answers = found.predictions(run_rows(task, model, found.encoded()))
    assert answers == plain_loop(model, task, ROWS)
    assert (answers == ["", ""]) == (threshold < 0) or threshold == 0
    assert found.groups()["class"] == ["has none", "has an answer"]


def test_metrics_are_means_of_each_question(model, run_rows):
    found = examples(model)
    outputs = run_rows(TASK, model, found.encoded())
    answers, statistics = found.predictions(outputs), found.statistics(outputs)
    references = [("good",), ("fine", "bad")]
    assert found.references() == references
    for name, score in (("exact_match", exact_match), ("squad_f1", word_f1)):
        mean = np.mean([score(answer, known) for answer, known in zip(answers, references, strict=True)])
        assert found.metrics[name].of(statistics[name]) == pytest.approx(mean)


# Cases of the published script: lower case, punctuation, articles, and bags of words.
@pytest.mark.parametrize(
    ("answer", "references", "exact", "f1"),
    [
        ("The Denver Broncos!", ["Denver Broncos"], 1.0, 1.0),
        ("in Santa Clara", ["Santa Clara, California"], 0.0, 2 / 3),
        ("a", ["the"], 1.0, 1.0),
        ("", [], 1.0, 1.0),
        ("something", [], 0.0, 0.0),
        ("", ["gold"], 0.0, 0.0),
        ("gold", ["silver", "the gold"], 1.0, 1.0),
        ("gold gold", ["gold"], 0.0, 2 / 3),
    ],
)
def test_scores_are_the_squad_scripts(answer, references, exact, f1):
    assert exact_match(answer, references) == exact
    assert word_f1(answer, references) == pytest.approx(f1)


def test_normalizing_drops_articles_as_words_only():
    assert normalized("An apple,  a day: THE theatre") == "apple day theatre"


def test_drift_looks_at_the_first_window(model, run_rows):
    found = examples(model)
    outputs = run_rows(TASK, model, found.encoded())
    logits = found.logits(outputs)
    assert len(logits) == 2
    assert logits[0].shape == (2, len(found.encoded()[0]["input_ids"]))


def test_a_cut_has_the_asked_shape(model):
    assert examples(model).cut((2, 12), 1)["input_ids"].shape == (2, 12)


@pytest.mark.parametrize(
    ("task", "rows", "error", "said"),
    [
        (TASK, {**ROWS, "answers": [{"text": []}, {"text": ["x"]}]}, DataError, "set task.no_answer=true"),
        (TASK, {"question": ["a"], "answers": [["a"]]}, DataError, "context is no column"),
        (QuestionAnswering(max_length=40), ROWS, ConfigError, "must not exceed 32"),
        (
            QuestionAnswering(max_length=8),
            {**ROWS, "question": ["good " * 9] * 2},
            DataError,
            "leaves no room",
        ),
        (TASK, {**ROWS, "answers": [3, 4]}, DataError, "no answers in a known form"),
    ],
)
def test_rows_that_do_not_fit_are_named(model, task, rows, error, said):
    with pytest.raises(error, match=said):
        examples(model, task, rows)


@pytest.mark.parametrize(
    ("value", "expected"),
    [({"text": ["a", "a", "b"]}, ("a", "b")), (["a"], ("a",)), ("a", ("a",)), ("", ()), (None, ())],
)
def test_answers_are_read_in_every_usual_form(value, expected):
    assert answers_of(value, 0) == expected


def test_values_out_of_range_are_problems():
    assert len(QuestionAnswering(doc_stride=0, n_best=0, max_length=2).problems()) == 3
