"""Calibration rows: seeded, at full length, and never a row that is evaluated."""

import datasets
import numpy as np
import pytest

from optbench.checkpoint import read_spec
from optbench.components import DataKeys
from optbench.datasets.labelled import LabelledDataset
from optbench.errors import ConfigError, DataError
from optbench.processes.examples import ExampleHost
from optbench.rows.calibration_rows import draw_calibration_rows, row_key, row_keys
from optbench.rows.ragged import load_table
from optbench.rows.tokenization import encode, load_tokenizer
from optbench.tasks.fill_mask import FillMask
from optbench.tasks.text_classification import TextClassification

WORDS = ["good", "bad", "great", "awful", "fine", "poor", "film", "plot", "cast"]


def texts_of(count):
    """Different texts of three to six words."""
    return [
        " ".join(WORDS[number // 9**place % 9] for place in range(3 + number % 4)) for number in range(count)
    ]


def draw(evaluated, candidates, count, seed=0):
    return draw_calibration_rows(set(evaluated), candidates, count, seed=seed, split="train")


def test_no_evaluated_row_is_drawn_and_each_one_is_counted():
    drawn = draw(["a", "b", "elsewhere"], ["x", "a", "y", "b", "a", "z"], 10)
    assert sorted(drawn.rows) == [0, 2, 5]
    assert (drawn.rows_dropped, drawn.rows_left) == (3, 3)


def test_the_draw_is_seeded_shuffled_and_fingerprinted():
    candidates = [f"key {number}" for number in range(100)]
    first, again, other = (draw([], candidates, 20, seed) for seed in (1, 1, 2))
    assert first == again
    assert first.rows != other.rows
    assert first.fingerprint != other.fingerprint
    assert len(set(first.rows)) == 20
    assert max(first.rows) > 20  # never the first ones
    assert first.rows != sorted(first.rows)


def test_every_candidate_is_as_likely_to_be_drawn():
    candidates = [str(number) for number in range(10)]
    hits = np.zeros(10)
    for seed in range(2000):
        hits[draw(["3"], candidates, 3, seed).rows] += 1
    assert hits[3] == 0
    assert np.abs(np.delete(hits, 3) - 2000 * 3 / 9).max() < 5 * np.sqrt(2000 * 3 / 9)


def test_the_same_rows_as_evaluation_are_refused():
    with pytest.raises(DataError, match=r"calibration_split=train must hold rows .* all 2 of its rows are"):
        draw(["a", "b"], ["b", "a"], 1)


def test_at_least_one_row_is_required():
    with pytest.raises(ConfigError, match=r"at least 1 row, got 0"):
        draw([], ["a"], 0)


def test_keys_ignore_case_and_white_space_and_tell_columns_apart():
    assert row_key(["A  good\nfilm "]) == row_key(["a good film"])
    assert row_key(["a", "b"]) != row_key(["a b"])
    assert row_key([["a", "b"]]) == row_key([["A", "b"]])
    assert row_key([np.arange(3)]) == row_key([[0, 1, 2]])
    assert row_key([{"bytes": b"\xff", "path": "x.png"}]) == row_key([b"\xff"])
    assert row_key([None]) != row_key([""])


def test_an_image_has_the_key_of_its_bytes_wherever_it_lies(tmp_path):
    from PIL import Image

    for name, value in (("a", 3), ("b", 3), ("c", 4)):
        Image.new("L", (8, 8), value).save(tmp_path / f"{name}.png")
    paths = [str(tmp_path / f"{name}.png") for name in "abc"]
    rows = datasets.Dataset.from_dict({"image": paths}).cast_column("image", datasets.Image())
    first, twin, other = row_keys(rows, ["image"])
    assert first == twin != other
    assert row_key([{"bytes": None, "path": "gone.png"}]) == row_key(["gone.png"])


@pytest.fixture
def splits(tmp_path):
    """Sixty rows to evaluate, and a training split of which ten rows are the same."""
    texts = texts_of(200)
    for name, chosen in (("test", texts[:60]), ("train", [text.upper() for text in texts[50:150]])):
        rows = {"text": chosen, "label": [number % 2 for number in range(len(chosen))]}
        datasets.Dataset.from_dict(rows).to_json(tmp_path / f"{name}.jsonl")
    return tmp_path


def opened(model, splits, task=None, max_samples=None, skip=0, **settings):
    files = {"test": "test.jsonl", "train": "train.jsonl"}
    dataset = LabelledDataset(path=str(splits), files=files, data_keys=DataKeys("text"), **settings)
    host = ExampleHost(task or TextClassification(), dataset, read_spec(model), seed=3)
    host.open(max_samples, None, skip)
    return host


def test_rows_of_another_split_are_encoded_as_evaluated_rows_are(bare_model, splits, tmp_path):
    host = opened(bare_model, splits, calibration_split="train")
    written = host.write_calibration(tmp_path / "rows.npz", 40)
    assert (written.rows, written.rows_dropped, written.split) == (40, 10, "train")
    assert any("also evaluated" in note for note in written.notes)
    feeds = load_table(tmp_path / "rows.npz")
    tokenizer = load_tokenizer(bare_model)
    allowed = {tuple(feed["input_ids"].tolist()) for feed in encode(tokenizer, [texts_of(150)[60:]], 32)}
    assert len(feeds) == 40
    assert {tuple(feed["input_ids"].tolist()) for feed in feeds} <= allowed
    assert {len(feed["input_ids"]) for feed in feeds} == {5, 6, 7, 8}  # true lengths, not one padded length


def test_the_same_seed_gives_the_same_rows(bare_model, splits, tmp_path):
    host = opened(bare_model, splits, calibration_split="train")
    first, again = (host.write_calibration(tmp_path / name, 20) for name in ("a.npz", "b.npz"))
    assert first == again
    assert first.fingerprint != host.write_calibration(tmp_path / "c.npz", 21).fingerprint


@pytest.mark.parametrize("split", [None, "test"])
def test_without_a_split_of_its_own_calibration_takes_what_evaluation_left(
    bare_model, splits, tmp_path, split
):
    host = opened(bare_model, splits, max_samples=20, calibration_split=split)
    written = host.write_calibration(tmp_path / "rows.npz", 1000)
    assert (written.split, written.rows, written.rows_dropped) == ("test", 40, 0)
    assert any("only" in note for note in written.notes)


@pytest.mark.parametrize("split", [None, "test"])
def test_a_split_that_is_evaluated_whole_cannot_calibrate(bare_model, splits, tmp_path, split):
    host = opened(bare_model, splits, calibration_split=split)
    with pytest.raises(ConfigError, match=r"dataset.calibration_split must name a split other than test"):
        host.write_calibration(tmp_path / "rows.npz", 8)


def test_skipped_rows_are_those_an_evaluation_of_as_many_has_seen_and_may_calibrate(
    bare_model, splits, tmp_path
):
    screened = opened(bare_model, splits, max_samples=20)
    confirmed = opened(bare_model, splits, skip=20)
    seen, untouched = (host._opened().texts() for host in (screened, confirmed))
    assert (len(seen), len(untouched)) == (20, 40)
    assert sorted(seen + untouched) == sorted(texts_of(60))
    assert confirmed.write_calibration(tmp_path / "rows.npz", 100).rows == 20


def test_skipping_all_rows_is_refused(bare_model, splits):
    with pytest.raises(ConfigError, match=r"skip_samples must leave rows to evaluate, got 60 of the 60"):
        opened(bare_model, splits, skip=60)


def test_one_file_under_two_names_is_recognized(bare_model, splits, tmp_path):
    dataset = LabelledDataset(path=str(splits / "test.jsonl"), calibration_split="train")
    host = ExampleHost(TextClassification(), dataset, read_spec(bare_model), seed=0)
    host.open(None, None)
    with pytest.raises(DataError, match=r"all 60 of its rows are"):
        host.write_calibration(tmp_path / "rows.npz", 8)


def test_missing_columns_are_named(bare_model, splits, tmp_path):
    (splits / "train.jsonl").write_text('{"sentence": "a film"}\n')
    host = opened(bare_model, splits, calibration_split="train")
    with pytest.raises(DataError, match=r"calibration_split=train must have .* lacks text; it has sentence"):
        host.write_calibration(tmp_path / "rows.npz", 8)


def test_labels_are_not_needed_and_unusable_rows_are_noted(bare_model, splits, tmp_path):
    (splits / "train.jsonl").write_text('{"text": "a fine cast"}\n{"text": null}\n')
    host = opened(bare_model, splits, calibration_split="train")
    written = host.write_calibration(tmp_path / "rows.npz", 2)
    assert written.rows == 1
    assert any("1 calibration rows could not be used" in note for note in written.notes)


def test_inputs_hold_nothing_that_the_model_does_not_take(bare_model, splits, tmp_path):
    host = opened(bare_model, splits, FillMask(masks_per_row=2), calibration_split="train")
    written = host.write_calibration(tmp_path / "rows.npz", 10)
    feeds = load_table(tmp_path / "rows.npz")
    assert set(feeds[0]) == {"input_ids", "attention_mask", "token_type_ids"}
    assert written.rows == 10
    assert any(f"give {len(feeds)} inputs" in note for note in written.notes)
