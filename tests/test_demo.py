"""The embedded demo: its rows, its licence, its size, and the accuracy it is said to have."""

import json
from collections import Counter

import pytest

from optbench.checkpoint import read_spec
from optbench.demo.build import SHIPPED_CALIBRATION_ROWS, SHIPPED_TEST_ROWS
from optbench.demo.corpus import SOURCES
from optbench.locations import package_file

MODEL = package_file("demo/tiny-sentiment")
FILES = {"test": 1000, "calibration": 256}
SHIPPED_RIGHT = {"tweets": 164, "movieReviewSnippets": 475, "amazonReviewSnippets": 139}


def rows_of(split):
    lines = package_file(f"demo/data/sentiment-{split}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def card():
    """What the model's card says, by row of its table."""
    lines = (MODEL / "README.md").read_text(encoding="utf-8").splitlines()
    cells = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    return dict(cells)


@pytest.mark.parametrize("split", FILES)
def test_each_file_holds_the_promised_rows(split):
    rows = rows_of(split)
    assert len(rows) == FILES[split]
    for row in rows:
        assert list(row) == ["text", "label", "source"]
        assert row["text"] == " ".join(row["text"].split()) != ""
        assert row["label"] in (0, 1)
        assert row["source"] in SOURCES


def test_the_recipe_writes_as_many_rows_as_are_shipped():
    assert {"test": SHIPPED_TEST_ROWS, "calibration": SHIPPED_CALIBRATION_ROWS} == FILES


@pytest.mark.parametrize("split", FILES)
def test_both_labels_and_all_sources_have_their_share(split):
    rows = rows_of(split)
    labels = Counter(row["label"] for row in rows)
    assert min(labels[0], labels[1]) > 0.3 * len(rows)
    assert set(Counter(row["source"] for row in rows)) == set(SOURCES)


def test_no_text_occurs_twice_in_a_file_or_in_both():
    texts = [row["text"].casefold() for split in FILES for row in rows_of(split)]
    assert [text for text, count in Counter(texts).items() if count > 1] == []


def test_the_notice_names_the_authors_and_holds_the_licence():
    notice = " ".join(package_file("demo/NOTICE.md").read_text(encoding="utf-8").split())
    for words in (
        "C.J. Hutto & E. Gilbert (2014)",
        "The MIT License (MIT)",
        "Copyright (c) 2016 C.J. Hutto",
        "The above copyright notice and this permission notice shall be included in all copies",
        'THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND',
        "`data/sentiment-test.jsonl` (1,000 sentences) and `data/sentiment-calibration.jsonl` (256)",
    ):
        assert words in notice


def test_model_and_data_take_less_than_six_megabytes():
    files = [
        file for folder in ("tiny-sentiment", "data") for file in package_file(f"demo/{folder}").rglob("*")
    ]
    assert {"model.safetensors", "tokenizer.json", "sentiment-test.jsonl"} <= {file.name for file in files}
    assert sum(file.stat().st_size for file in files) < 6_000_000


def test_the_model_has_the_labels_of_the_data_in_their_order():
    assert read_spec(MODEL).labels == ("NEGATIVE", "POSITIVE")


def test_the_card_tells_the_accuracy_on_the_shipped_rows():
    sources = Counter(row["source"] for row in rows_of("test"))
    for source, right in SHIPPED_RIGHT.items():
        told = card()[f"the shipped rows, {source}"]
        assert told == f"{right} of {sources[source]} = {right / sources[source]:.4f}"
    assert card()["the shipped rows"] == "778 of 1000 = 0.7780"


@pytest.mark.slow
def test_the_shipped_model_is_as_good_as_its_card_says():
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    model = AutoModelForSequenceClassification.from_pretrained(MODEL, dtype=torch.float32).eval()
    limit = {"truncation": True, "max_length": model.config.max_position_embeddings}
    right = Counter()
    with torch.inference_mode():
        for row in rows_of("test"):
            answer = int(model(**tokenizer(row["text"], return_tensors="pt", **limit)).logits.argmax())
            right[row["source"]] += answer == row["label"]
    assert right == SHIPPED_RIGHT
    assert right.total() == 778
