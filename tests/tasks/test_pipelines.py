"""From raw rows to answers: every task that can be timed so answers as its evaluation does."""

import datasets
import numpy as np
import pytest

from optbench.checkpoint import read_spec
from optbench.components import DataKeys, Task
from optbench.datasets.labelled import LabelledDataset
from optbench.errors import DataError
from optbench.rows.tokenization import encode_batch, load_tokenizer
from optbench.tasks.fill_mask import FillMask
from optbench.tasks.image_classification import ImageClassification
from optbench.tasks.question_answering import QuestionAnswering
from optbench.tasks.sentence_similarity import Pooling, SentenceSimilarity
from optbench.tasks.text_classification import TextClassification
from optbench.tasks.text_generation import TextGeneration
from optbench.tasks.token_classification import Pieces, TokenClassification

TEXTS = ["good film", "the plot was bad and the cast is awful " * 6, "a", "", "fine plot poor cast"]
OTHERS = ["bad film", "a great plot", "the cast was fine", "poor", "good"]
WORDS = [["good", "film"], ["the", "unseenword", "was", "bad"], ["a"], ["plot"] * 40, ["fine", "cast"]]
LONG = " ".join(["the good film was bad and the plot is fine a great cast"] * 5)
PIXELS = np.random.default_rng(0).integers(0, 256, size=(5, 10, 12, 3), dtype=np.uint8)
PAIR = DataKeys(primary="one", secondary="two")
READING = {"max_length": 24, "doc_stride": 8, "n_best": 100}
QUESTIONS = {
    "question": ["is the film good", "was the plot bad", "who is the cast", "a", "is it fine"],
    "context": ["the film is good the cast is great", LONG, "bad", LONG, "the plot is fine"],
    "answers": [["good"], ["fine"], ["bad"], ["great"], ["fine"]],
}

CASES = {
    "texts": (TextClassification(), "BertForSequenceClassification", {"text": TEXTS}, {}),
    "pairs": (
        TextClassification(),
        "BertForSequenceClassification",
        {"one": TEXTS, "two": OTHERS},
        {"data_keys": PAIR},
    ),
    "first pieces": (TokenClassification(), "BertForTokenClassification", {"tokens": WORDS}, {}),
    "all pieces": (
        TokenClassification(pieces=Pieces.all),
        "BertForTokenClassification",
        {"tokens": WORDS},
        {},
    ),
    "questions": (QuestionAnswering(**READING), "BertForQuestionAnswering", QUESTIONS, {}),
    "no answers": (
        QuestionAnswering(no_answer=True, **READING),
        "BertForQuestionAnswering",
        {**QUESTIONS, "answers": [["good"], [], ["bad"], [], ["fine"]]},
        {},
    ),
    "scored pairs": (
        SentenceSimilarity(),
        "BertModel",
        {"one": TEXTS, "two": OTHERS, "score": [1.0, 2.0, 3.0, 4.0, 5.0]},
        {"data_keys": PAIR},
    ),
    "first tokens": (SentenceSimilarity(pooling=Pooling.cls), "BertModel", {"text": TEXTS}, {}),
    "images": (ImageClassification(), None, {"image": PIXELS.tolist()}, {}),
}


@pytest.fixture(scope="module")
def models(build_bert, build_vit):
    """Makes each checkpoint once."""
    made = {}

    def model(architecture):
        if architecture not in made:
            made[architecture] = (
                build_vit(("a", "b", "c")) if architecture is None else build_bert(architecture)
            )
        return made[architecture]

    return model


def forward(task, directory):
    """A plain transformers model as a function of a feed."""
    import torch
    import transformers

    model = getattr(transformers, task.model_class).from_pretrained(directory).eval()

    def run(feed):
        with torch.inference_mode():
            found = model(**{name: torch.tensor(np.asarray(array)) for name, array in feed.items()})
        return {name: value.numpy() for name, value in found.items() if torch.is_tensor(value)}

    return run


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("batch", [1, 3])
def test_the_answers_of_whole_calls_are_those_of_the_evaluation(case, batch, models, run_rows):
    task, architecture, rows, keys = CASES[case]
    directory = models(architecture)
    spec = read_spec(directory)
    found = task.examples(spec, LabelledDataset(path="x", **keys), datasets.Dataset.from_dict(rows))
    outputs = run_rows(task, directory, found.encoded())
    expected = found.predictions(outputs)
    if expected[0] is None:
        expected = found.vectors(outputs)
    assert task.refuses_pipeline() is None
    pipeline, run = task.pipeline(spec), forward(task, directory)
    raw, answers = found.raw(), []
    assert len(raw) == len(expected) == 5
    for begin in range(0, len(raw), batch):
        feed, encoded = pipeline.encode(raw[begin : begin + batch])
        answers += pipeline.decode(run(feed), encoded)
    if isinstance(expected[0], float | np.ndarray):
        assert np.asarray(answers) == pytest.approx(np.asarray(expected), abs=1e-5)
    else:
        assert answers == expected


def test_a_number_is_an_answer_too(tiny_regressor, run_rows):
    task, spec = TextClassification(is_regression=True), read_spec(tiny_regressor)
    table = datasets.Dataset.from_dict({"text": TEXTS})
    found = task.examples(spec, LabelledDataset(path="x"), table)
    expected = found.predictions(run_rows(task, tiny_regressor, found.encoded()))
    feed, encoded = task.pipeline(spec).encode(found.raw())
    answers = task.pipeline(spec).decode(forward(task, tiny_regressor)(feed), encoded)
    assert answers == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("task", [FillMask(), TextGeneration()])
def test_a_task_that_has_no_raw_rows_says_why_and_what_to_do(task, bare_model):
    reason = task.refuses_pipeline()
    assert "use measure.scope=model" in reason
    with pytest.raises(ValueError, match=r"use measure\.scope=model"):
        task.pipeline(read_spec(bare_model))


def test_a_task_is_refused_unless_it_says_otherwise():
    class Own(FillMask):
        refuses_pipeline = Task.refuses_pipeline

    assert "cannot be timed from raw rows to answers" in Own().refuses_pipeline()


def test_rows_that_must_be_padded_need_a_padding_token(bare_model):
    tokenizer = load_tokenizer(bare_model)
    assert encode_batch(tokenizer, ["good film", "bad"], 8)["input_ids"].shape == (2, 4)
    tokenizer.pad_token = None
    assert encode_batch(tokenizer, ["good film"], 8)["input_ids"].shape == (1, 4)
    with pytest.raises(DataError, match=r"without a padding token.*set batch_size=1"):
        encode_batch(tokenizer, ["good film", "bad"], 8)
