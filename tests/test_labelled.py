"""Rows from files of every kind, and clear words when they cannot be read."""

import json

import datasets
import pytest

from optbench.datasets.labelled import LabelledDataset
from optbench.errors import DataError

ROWS = {"text": ["good", "bad"], "label": [1, 0]}


@pytest.fixture
def rows():
    return datasets.Dataset.from_dict(ROWS)


def write(rows, path):
    {
        ".csv": lambda: rows.to_csv(path),
        ".tsv": lambda: rows.to_csv(path, sep="\t"),
        ".jsonl": lambda: rows.to_json(path),
        ".json": lambda: path.write_text(json.dumps(rows.to_list())),
        ".parquet": lambda: rows.to_parquet(path),
    }[path.suffix]()
    return path


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".json", ".jsonl", ".parquet"])
def test_a_single_file_is_its_own_split(rows, tmp_path, suffix):
    path = write(rows, tmp_path / f"rows{suffix}")
    loaded = LabelledDataset(path=str(path), eval_split="whatever").load("whatever")
    assert loaded["text"][:] == ROWS["text"]
    assert loaded["label"][:] == ROWS["label"]


def test_a_saved_table_and_a_saved_dict_of_splits(rows, tmp_path):
    rows.save_to_disk(tmp_path / "one")
    datasets.DatasetDict(test=rows).save_to_disk(tmp_path / "many")
    for name in ("one", "many"):
        assert len(LabelledDataset(path=str(tmp_path / name)).load("test")) == 2


def test_a_directory_of_files_named_by_split(rows, tmp_path):
    write(rows, tmp_path / "test.csv")
    assert len(LabelledDataset(path=str(tmp_path)).load("test")) == 2


def test_files_by_split(rows, tmp_path):
    write(rows, tmp_path / "held_out.parquet")
    dataset = LabelledDataset(path=str(tmp_path), files={"test": "held_out.parquet"})
    assert len(dataset.load("test")) == 2
    with pytest.raises(DataError, match=r"split 'train' is not among dataset.files, which has test"):
        dataset.load("train")


def test_a_missing_split_is_named_with_those_there_are(rows, tmp_path):
    datasets.DatasetDict(test=rows).save_to_disk(tmp_path / "many")
    with pytest.raises(DataError, match=r"split 'dev' is not in dataset.path=.*, which has test"):
        LabelledDataset(path=str(tmp_path / "many")).load("dev")


def test_a_missing_path_is_named_at_once():
    with pytest.raises(DataError, match=r"dataset.path=\./nope must be a file"):
        LabelledDataset(path="./nope").load("test")


def test_a_missing_file_of_a_split_is_named(tmp_path):
    with pytest.raises(DataError, match=r"dataset.files.test=.*none.csv does not exist"):
        LabelledDataset(path=str(tmp_path), files={"test": "none.csv"}).load("test")


def test_an_unknown_ending_is_refused(tmp_path):
    (tmp_path / "rows.xlsx").write_bytes(b"x")
    with pytest.raises(DataError, match=r"no known ending"):
        LabelledDataset(path=str(tmp_path / "rows.xlsx")).load("test")


@pytest.mark.parametrize(
    ("name", "content"), [("rows.csv", ""), ("rows.jsonl", ""), ("rows.csv", "text,label\n")]
)
def test_an_empty_dataset_is_refused(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=r"is empty|has no rows|cannot be read"):
        LabelledDataset(path=str(tmp_path / name)).load("test")


def test_a_damaged_file_is_refused_with_one_line(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"text": "a"\n]]]')
    with pytest.raises(DataError, match=r"cannot be read") as caught:
        LabelledDataset(path=str(tmp_path / "rows.jsonl")).load("test")
    assert "\n" not in str(caught.value)


def test_a_hub_name_without_a_hub_is_refused_at_once(monkeypatch):
    monkeypatch.setattr("optbench.datasets.labelled.hub_unreachable", lambda: "HF_HUB_OFFLINE is set")
    with pytest.raises(DataError, match=r"dataset.path=nyu-mll/glue"):
        LabelledDataset(path="nyu-mll/glue", name="sst2").load("validation")


def test_hub_options_on_local_data_are_problems(tmp_path):
    (tmp_path / "rows.csv").write_text("text,label\na,1\n")
    dataset = LabelledDataset(path=str(tmp_path / "rows.csv"), name="sst2", revision="main", eval_split="")
    assert len(dataset.problems()) == 3
    assert LabelledDataset(path="glue", name="sst2").problems() == []


@pytest.mark.parametrize(
    ("suffix", "count"), [(".csv", 2), (".tsv", 2), (".json", None), (".jsonl", 2), (".parquet", 2)]
)
def test_rows_are_counted_without_loading_where_a_file_tells(rows, tmp_path, suffix, count):
    path = write(rows, tmp_path / f"rows{suffix}")
    assert LabelledDataset(path=str(path)).rows_known("test") == count
    named = LabelledDataset(path=str(tmp_path), files={"test": path.name})
    assert named.rows_known("test") == count
    assert named.rows_known("train") is None


def test_rows_of_a_hub_of_a_directory_and_of_damaged_or_large_files_are_not_counted(tmp_path, monkeypatch):
    assert LabelledDataset(path="somebody/rows").rows_known("test") is None
    assert LabelledDataset(path=str(tmp_path)).rows_known("test") is None
    (tmp_path / "rows.parquet").write_bytes(b"no table")
    (tmp_path / "rows.csv").write_text("text\ngood\n\n")
    assert LabelledDataset(path=str(tmp_path / "rows.parquet")).rows_known("test") is None
    assert LabelledDataset(path=str(tmp_path / "rows.csv")).rows_known("test") == 1
    monkeypatch.setattr("optbench.datasets.labelled.LARGEST_COUNTED_BYTES", 3)
    assert LabelledDataset(path=str(tmp_path / "rows.csv")).rows_known("test") is None
    with pytest.raises(DataError, match="found nothing there"):
        LabelledDataset(path="./nowhere.csv").rows_known("test")


def test_the_line_that_is_no_json_object_is_named(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"text": "a"}\n\n[1]\n{"text"\n')
    with pytest.raises(DataError, match=r"cannot be read: line 3 is no JSON object: \[1\]"):
        LabelledDataset(path=str(tmp_path / "rows.jsonl")).load("test")
