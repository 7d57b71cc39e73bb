"""Sentence embeddings against a plain loop: scored pairs, retrieval, drift alone."""

import datasets
import numpy as np
import pytest
from scipy import stats

from optbench.checkpoint import read_spec
from optbench.components import DataKeys
from optbench.datasets.labelled import LabelledDataset
from optbench.errors import DataError
from optbench.quality.metrics import resolve_metric
from optbench.tasks.sentence_similarity import Pooling, SentenceSimilarity

FIRST = ["good film", "the plot was bad", "a great cast", "poor", "fine film", "was it awful"]
SECOND = ["great film", "awful plot", "the cast is great", "bad", "fine plot", "poor cast"]
SCORES = [4.5, 3.0, 5.0, 2.5, 3.5, 0.5]
PAIR = DataKeys(primary="one", secondary="two")


@pytest.fixture(scope="module")
def model(build_bert):
    return build_bert("BertModel")


def examples(model, rows, task=None, **keys):
    table = datasets.Dataset.from_dict(rows)
    return (task or SentenceSimilarity()).examples(read_spec(model), LabelledDataset(path="x", **keys), table)


def plain_loop(directory, texts, pooling):
    """Unit vectors with transformers alone."""
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    model = transformers.AutoModel.from_pretrained(directory).eval()
    vectors = []
    for text in texts:
        with torch.inference_mode():
            tokens = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].numpy()
        vector = tokens.mean(axis=0) if pooling is Pooling.mean else tokens[0]
        vectors.append(vector / np.linalg.norm(vector))
    return np.stack(vectors)


@pytest.mark.parametrize("pooling", list(Pooling))
def test_scored_pairs_correlate_as_a_plain_loop_says(model, run_rows, pooling):
    task = SentenceSimilarity(pooling=pooling)
    found = examples(model, {"one": FIRST, "two": SECOND, "score": SCORES}, task, data_keys=PAIR)
    cosines = found.predictions(run_rows(task, model, found.encoded()))
    sides = [plain_loop(model, texts, pooling) for texts in (FIRST, SECOND)]
    assert cosines == pytest.approx((sides[0] * sides[1]).sum(axis=1).tolist(), abs=1e-5)
    assert found.kind == "regression"
    assert found.default_metrics() == ["spearmanr", "pearson"]
    expected = stats.spearmanr(SCORES, cosines).statistic
    assert resolve_metric("spearmanr").compute(found.references(), cosines).value == pytest.approx(expected)


def test_pairs_without_a_score_are_retrieved(model, run_rows):
    found = examples(model, {"one": FIRST, "two": SECOND}, data_keys=PAIR)
    outputs = run_rows(SentenceSimilarity(), model, found.encoded())
    one, two = (plain_loop(model, texts, Pooling.mean) for texts in (FIRST, SECOND))
    similar = one @ two.T
    ranks = [1 + int(np.sum(np.delete(row, own) >= row[own])) for own, row in enumerate(similar)]
    statistics = found.statistics(outputs)
    assert found.predictions(outputs) == similar.argmax(axis=1).tolist()
    assert found.metrics["recall@1"].of(statistics["recall@1"]) == np.mean([rank == 1 for rank in ranks])
    assert found.metrics["recall@10"].of(statistics["recall@10"]) == 1.0
    assert found.metrics["mrr"].of(statistics["mrr"]) == pytest.approx(np.mean([1 / rank for rank in ranks]))
    assert found.references() == list(range(6))


def test_sentences_alone_show_their_vectors(model, run_rows):
    found = examples(model, {"text": FIRST, "label": [0] * 6})
    outputs = run_rows(SentenceSimilarity(), model, found.encoded())
    assert found.notes == ["label is no score of a pair, so it is not used"]
    assert found.references() is None
    assert found.predictions(outputs) == [None] * 6
    vectors = np.stack(found.vectors(outputs))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert unit == pytest.approx(plain_loop(model, FIRST, Pooling.mean), abs=1e-5)
    assert found.default_metrics() == []


def test_padding_does_not_reach_the_mean():
    feed = {"input_ids": np.zeros(2)}
    tokens = np.array([[1.0, 1.0], [3.0, 3.0], [99.0, 99.0]])
    kept = SentenceSimilarity().kept(feed, {"last_hidden_state": tokens})
    assert kept["vector"].tolist() == [2.0, 2.0]


def test_a_score_needs_a_pair(model):
    with pytest.raises(DataError, match="must hold the score of a pair"):
        examples(model, {"text": FIRST, "score": SCORES}, ref_keys=["score"])


def test_a_cut_has_the_asked_shape(model):
    found = examples(model, {"one": FIRST, "two": SECOND}, data_keys=PAIR)
    assert found.cut((2, 6), 0)["input_ids"].shape == (2, 6)
    assert found.texts()[0] == "good film | great film"
    assert set(found.groups()) == {"length"}
