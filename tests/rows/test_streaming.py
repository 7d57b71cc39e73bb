"""Rows of a stream: a uniform sample, in little memory, and the same result as without streaming."""

import json
from collections import Counter

import datasets
import numpy as np
import pyarrow as pa
import pytest

from optbench.checkpoint import read_spec
from optbench.components import Dataset, register
from optbench.datasets.labelled import LabelledDataset
from optbench.errors import ConfigError, DataError
from optbench.processes.examples import ExampleHost
from optbench.rows.ragged import load_table
from optbench.rows.streaming import Reservoir, sample_stream, sample_tables
from optbench.tasks.text_classification import TextClassification


def reservoir_of(rows, capacity, seed, batch):
    """Positions that a reservoir keeps, by slot, offered in batches."""
    reservoir, kept = Reservoir(capacity, seed), {}
    for first in range(0, rows, batch):
        for slot, row in reservoir.offer(min(batch, rows - first)):
            kept[slot] = first + row
    assert reservoir.seen == rows
    return kept


def test_every_row_and_every_pair_of_rows_is_as_likely_as_any_other():
    trials, hits, pairs = 20_000, np.zeros(12), Counter()
    for seed in range(trials):
        kept = sorted(reservoir_of(12, 3, seed, 5).values())
        assert len(set(kept)) == 3
        hits[kept] += 1
        pairs.update((one, two) for one in kept for two in kept if one < two)
    for found, share in ((hits, 3 / 12), (np.array(list(pairs.values())), 3 / 66)):
        allowed = 4.5 * np.sqrt(trials * share * (1 - share))
        assert np.abs(found - trials * share).max() < allowed
    assert len(pairs) == 66


@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_the_sample_depends_on_the_seed_and_not_on_how_rows_arrive(batch):
    assert reservoir_of(500, 20, 3, batch) == reservoir_of(500, 20, 3, 500)
    assert reservoir_of(500, 20, 4, batch) != reservoir_of(500, 20, 3, 500)


def test_a_stream_shorter_than_the_sample_is_kept_whole():
    assert reservoir_of(4, 9, 0, 3) == {0: 0, 1: 1, 2: 2, 3: 3}


def numbered(first, rows, width=100):
    """A table of rows with their number and a wide text."""
    text = pa.array([f"{number:0{width}}" for number in range(first, first + rows)])
    return pa.table({"number": pa.array(range(first, first + rows)), "text": text})


def test_memory_is_bounded_by_the_sample_and_one_table():
    count, size, tables = 200, 1000, 300
    before = pa.total_allocated_bytes()
    one = numbered(0, size).nbytes
    peaks = []

    def stream():
        for index in range(tables):
            yield numbered(index * size, size)
            peaks.append(pa.total_allocated_bytes() - before)

    found = sample_tables(stream(), count, seed=0)
    whole = one * tables
    assert found.seen == size * tables
    assert max(peaks) < 4 * one
    assert max(peaks) < whole / 50
    numbers = found.table["number"].to_pylist()
    assert numbers == sorted(set(numbers))
    assert len(numbers) == count
    assert max(numbers) > 0.9 * size * tables  # the end of the stream is reached
    assert found.table["text"].to_pylist() == [f"{number:0100}" for number in numbers]


def test_tables_whose_types_widen_are_joined():
    tables = [pa.table({"score": pa.array([1, 2])}), pa.table({"score": pa.array([0.5, None])})]
    assert sample_tables(tables, 4, 0).table["score"].to_pylist() == [1.0, 2.0, 0.5, None]


def test_class_labels_and_images_keep_their_kind():
    features = datasets.Features(label=datasets.ClassLabel(names=["a", "b"]), image=datasets.Image())
    pixels = [np.full((2, 2), value, np.uint8) for value in range(3)]
    rows = datasets.Dataset.from_dict({"label": [0, 1, 0], "image": pixels}, features=features)
    sampled, seen = sample_stream(rows.to_iterable_dataset(), 2, 0)
    assert (seen, len(sampled), sampled.features) == (3, 2, rows.features)


def write(rows, path):
    {
        ".csv": lambda: rows.to_csv(path),
        ".tsv": lambda: rows.to_csv(path, sep="\t"),
        ".jsonl": lambda: rows.to_json(path),
        ".json": lambda: path.write_text(json.dumps(rows.to_list())),
        ".parquet": lambda: rows.to_parquet(path),
        "": lambda: datasets.DatasetDict(test=rows).save_to_disk(path),
    }[path.suffix]()
    return path


@pytest.fixture
def table():
    return datasets.Dataset.from_dict(
        {"text": [f"a good film {number}" for number in range(60)], "label": [n % 2 for n in range(60)]}
    )


@pytest.mark.parametrize(
    "name", ["r.csv", "r.tsv", "r.json", "r.jsonl", "r.parquet", "saved", "dir/test.csv"]
)
def test_all_rows_of_a_stream_are_the_rows_without_streaming(bare_model, tmp_path, table, name):
    (tmp_path / "dir").mkdir()
    path = write(table, tmp_path / name)
    path = path.parent if name.startswith("dir") else path
    found = {}
    for streaming in (False, True):
        dataset = LabelledDataset(path=str(path), streaming=streaming)
        host = ExampleHost(TextClassification(), dataset, read_spec(bare_model), seed=5)
        record = host.open(60 if streaming else None, None).record
        host.write_rows(tmp_path / "rows.npz")
        found[streaming] = (
            record,
            host._opened().references(),
            [feed["input_ids"].tolist() for feed in load_table(tmp_path / "rows.npz")],
        )
    assert found[True] == found[False]
    assert found[True][0].rows_available == 60


def open_stream(model, path, count, seed=0, **settings):
    dataset = LabelledDataset(path=str(path), streaming=True, **settings)
    host = ExampleHost(TextClassification(), dataset, read_spec(model), seed)
    return host, host.open(count, None)


def test_a_part_of_a_stream_is_drawn_by_seed_and_says_how_long_it_was(bare_model, tmp_path, table):
    path = write(table, tmp_path / "r.jsonl")
    _, first = open_stream(bare_model, path, 10)
    _, again = open_stream(bare_model, path, 10)
    _, other = open_stream(bare_model, path, 10, seed=1)
    assert (first.record.rows, first.record.rows_available) == (10, 60)
    assert first.record.fingerprint == again.record.fingerprint != other.record.fingerprint
    assert "the rows were drawn from a stream of 60 rows, read once" in first.notes


def test_calibration_draws_from_the_stream_without_the_evaluated_rows(bare_model, tmp_path, table):
    path = write(table, tmp_path / "r.jsonl")
    host, _ = open_stream(bare_model, path, 30)
    written = host.write_calibration(tmp_path / "c.npz", 30)
    assert (written.split, written.rows, written.rows_dropped) == ("test", 30, 30)
    other, _ = open_stream(bare_model, path, 60)
    with pytest.raises(ConfigError, match=r"dataset.calibration_split must name a split"):
        other.write_calibration(tmp_path / "c.npz", 5)


def test_more_rows_than_the_stream_holds_are_refused(bare_model, tmp_path, table):
    with pytest.raises(ConfigError, match=r"must not exceed the 60 rows"):
        open_stream(bare_model, write(table, tmp_path / "r.csv"), 61)


def test_a_stream_without_a_sample_size_is_refused(bare_model, tmp_path, table):
    with pytest.raises(ConfigError, match=r"quality.max_eval_samples must be set with dataset.streaming"):
        open_stream(bare_model, write(table, tmp_path / "r.csv"), None)


def test_damage_far_into_a_stream_is_one_line(tmp_path):
    lines = [json.dumps({"text": "a", "label": 1})] * 50_000
    (tmp_path / "r.jsonl").write_text("\n".join([*lines, "]]]"]))
    with pytest.raises(DataError, match=r"r.jsonl cannot be read: ") as caught:
        LabelledDataset(path=str(tmp_path / "r.jsonl")).sample("test", 5, 0)
    assert "\n" not in str(caught.value)


def test_a_stream_without_rows_is_refused(tmp_path):
    (tmp_path / "r.csv").write_text("text,label\n")
    with pytest.raises(DataError, match=r"has no rows"):
        LabelledDataset(path=str(tmp_path / "r.csv")).sample("test", 5, 0)


def test_a_dataset_that_cannot_be_streamed_says_so():
    @register("dataset", "whole")
    class Whole(Dataset):
        def load(self, split):
            raise NotImplementedError

    with pytest.raises(ConfigError, match=r"dataset.streaming must be false for dataset=whole"):
        Whole(path="x").sample("test", 1, 0)
