"""Fill-mask against a plain loop."""

import math

import datasets
import numpy as np
import pytest

from optbench.checkpoint import read_spec
from optbench.datasets.labelled import LabelledDataset
from optbench.errors import DataError
from optbench.tasks.fill_mask import FULL_LOGITS_LIMIT, FillMask

TEXTS = ["good film", "the plot was bad and poor", "a", "great great cast"]


@pytest.fixture(scope="module")
def model(build_bert):
    return build_bert("BertForMaskedLM")


def examples(model, task, texts=TEXTS):
    table = datasets.Dataset.from_dict({"text": texts})
    return task.examples(read_spec(model), LabelledDataset(path="x"), table)


def plain_loop(directory, texts):
    """(right token, logits) of each token, masked one at a time, with transformers alone."""
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    model = transformers.AutoModelForMaskedLM.from_pretrained(directory).eval()
    found = []
    for text in texts:
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        row = []
        for place in range(ids.shape[1]):
            if int(ids[0, place]) in tokenizer.all_special_ids:
                continue
            masked = ids.clone()
            masked[0, place] = tokenizer.mask_token_id
            with torch.inference_mode():
                logits = model(input_ids=masked).logits[0, place].numpy()
            row.append((int(ids[0, place]), logits))
        found.append(row)
    return found


def test_metrics_equal_a_plain_loop_over_every_place(model, run_rows):
    task = FillMask(masks_per_row=None)
    found = examples(model, task)
    outputs = run_rows(task, model, found.encoded())
    statistics = found.statistics(outputs)
    places = [place for row in plain_loop(model, TEXTS) for place in row]
    top1 = np.mean([logits.argmax() == token for token, logits in places])
    top5 = np.mean([token in np.argsort(-logits)[:5] for token, logits in places])
    losses = [math.log(np.exp(logits.astype(float)).sum()) - float(logits[token]) for token, logits in places]
    expected = {"top1": top1, "top5": top5, "pseudo_perplexity": math.exp(np.mean(losses))}
    for name, value in expected.items():
        assert found.metrics[name].of(statistics[name]) == pytest.approx(value, rel=1e-5), name
    whole = np.concatenate([row for row in found.logits(outputs) if len(row)])
    assert whole == pytest.approx(np.stack([logits for _, logits in places]), abs=1e-4)


def test_the_answers_are_the_most_likely_tokens(model, run_rows):
    task = FillMask(masks_per_row=None)
    found = examples(model, task)
    answers = found.predictions(run_rows(task, model, found.encoded()))
    expected = [[int(logits.argmax()) for _, logits in row] for row in plain_loop(model, TEXTS)]
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    assert answers == [tuple(tokenizer.convert_ids_to_tokens(row)) for row in expected]
    assert found.references()[0] == ("good", "film")
    assert found.default_metrics() == ["top1", "top5", "pseudo_perplexity"]


def test_places_are_drawn_by_seed(model):
    def places(**options):
        return [int(row["_place"]) for row in examples(model, FillMask(masks_per_row=2, **options)).encoded()]

    assert len(places()) == 2 + 2 + 1 + 2
    assert places() == places()
    assert any(places(seed=seed) != places() for seed in range(1, 6))


def test_what_the_model_must_not_see_is_hidden(model):
    row = examples(model, FillMask()).encoded()[0]
    assert {name for name in row if not name.startswith("_")} == {
        "input_ids",
        "token_type_ids",
        "attention_mask",
    }
    assert int(row["input_ids"][int(row["_place"])]) != int(row["_token"])


def test_large_vocabularies_are_not_kept_whole():
    logits = np.zeros((3, FULL_LOGITS_LIMIT + 1))
    feed = {"_place": np.asarray(1), "_token": np.asarray(7)}
    kept = FillMask().kept(feed, {"logits": logits})
    assert set(kept) == {"first", "log_likelihood"}
    assert float(kept["log_likelihood"]) == pytest.approx(-math.log(FULL_LOGITS_LIMIT + 1))


def test_a_text_without_tokens_has_no_place(model, run_rows):
    task = FillMask()
    found = examples(model, task, ["", "good"])
    outputs = run_rows(task, model, found.encoded())
    assert found.references() == [(), ("good",)]
    assert found.predictions(outputs)[0] == ()
    with pytest.raises(DataError, match="no text has a token"):
        examples(model, task, [""])


def test_a_cut_has_the_asked_shape(model):
    assert examples(model, FillMask()).cut((2, 6), 0)["input_ids"].shape == (2, 6)


def test_values_out_of_range_are_problems():
    assert FillMask(masks_per_row=0).problems() == ["masks_per_row must be >= 1 or null, got 0"]
