"""Rows from files of every kind, and clear words when they cannot be read."""

import errno
import json
import stat
from pathlib import Path

import datasets
import pytest

from optbench.datasets.labelled import LabelledDataset
from optbench.errors import DataError
from optbench.rows.arrow_cache import rows_cache

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


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    for variable in ("HF_HOME", "HF_DATASETS_CACHE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("OPTBENCH_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "datasets"


def test_rows_of_files_are_cached_below_the_cache_of_optbench_and_closed_to_others(rows, tmp_path, own_cache):
    loaded = LabelledDataset(path=str(write(rows, tmp_path / "rows.jsonl"))).load("test")
    assert all(Path(file["filename"]).is_relative_to(own_cache) for file in loaded.cache_files)
    assert stat.S_IMODE(own_cache.stat().st_mode) == 0o700


@pytest.mark.parametrize("variable", ["HF_HOME", "HF_DATASETS_CACHE"])
def test_a_cache_that_the_user_has_chosen_stays(own_cache, monkeypatch, variable):
    assert rows_cache() == str(own_cache)
    monkeypatch.setenv(variable, "/somewhere")
    assert rows_cache() is None


def test_where_our_cache_cannot_be_written_rows_go_to_that_of_the_library(
    rows, tmp_path, own_cache, monkeypatch
):
    own_cache.parent.write_text("a file")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "library"))
    loaded = LabelledDataset(path=str(write(rows, tmp_path / "rows.csv"))).load("test")
    assert all(Path(file["filename"]).is_relative_to(tmp_path / "library") for file in loaded.cache_files)


def test_a_cache_that_cannot_be_written_is_named_and_not_the_rows(rows, tmp_path, own_cache, monkeypatch):
    own_cache.parent.write_text("a file")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(own_cache.parent / "neither"))
    with pytest.raises(
        DataError, match=r"the cache of rows .*datasets cannot be written: .*OPTBENCH_CACHE_DIR"
    ):
        LabelledDataset(path=str(write(rows, tmp_path / "rows.csv"))).load("test")


def test_a_cache_of_the_library_that_cannot_be_written_is_told_from_the_rows(rows, tmp_path, monkeypatch):
    path = write(rows, tmp_path / "rows.csv")

    def refuse(file):
        def load(*args, **kwargs):
            raise PermissionError(errno.EACCES, "Permission denied", file)

        return load

    monkeypatch.setattr(datasets, "load_dataset", refuse("/nonexistent"))
    with pytest.raises(DataError, match=r"cache of Hugging Face datasets cannot be written .* set HF_HOME"):
        LabelledDataset(path=str(path)).load("test")
    monkeypatch.setattr(datasets, "load_dataset", refuse(str(path)))
    with pytest.raises(DataError, match=r"rows.csv cannot be read: \[Errno 13\] Permission denied"):
        LabelledDataset(path=str(path)).load("test")
