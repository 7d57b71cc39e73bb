"""Columns of small files, read for a plan: as the library of a run reads them, or not at all."""

import datasets
import pytest

from optbench.rows import plain
from optbench.rows.plain import kinds_of, plain_columns


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", 'text,label,x\n"so, so",1,1.50\n"two\nlines",0,2\n'),
        ("a.tsv", "text\tlabel\nnice film\tgood\nbad one\tbad\n"),
        ("a.jsonl", '{"text": "a", "label": 1}\n\n{"text": "b", "label": 0}\n'),
    ],
)
def test_a_small_file_is_read_as_a_run_reads_it(tmp_path, name, content):
    file = tmp_path / name
    file.write_text(content)
    loader, options = ("json", {}) if name.endswith("jsonl") else ("csv", {})
    if name.endswith("tsv"):
        options = {"delimiter": "\t"}
    read = datasets.load_dataset(loader, data_files=str(file), split="train", cache_dir=tmp_path, **options)
    assert plain_columns(file) == {column: list(read[column][:]) for column in read.column_names}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "text,label\na,1\nb,\n"),
        ("a.csv", "text,label\na,True\nb,False\n"),
        ("a.csv", "text,label\na,1,2\n"),
        ("a.csv", "text,label\n"),
        ("a.csv", b"text,label\ncaf\xe9,1\n"),
        ("a.jsonl", '{"text": "a", "label": null}\n'),
        ("a.jsonl", '{"text": "a", "label": 1}\n{"text": "b", "label": "c"}\n'),
        ("a.jsonl", '{"text": "a", "label": 1}\n{"text": "b"}\n'),
        ("a.jsonl", "[1]\n"),
        ("a.json", "[]"),
        ("gone.csv", None),
    ],
)
def test_whatever_leaves_a_doubt_is_not_read(tmp_path, name, content):
    if content is not None:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    assert plain_columns(tmp_path / name) is None


def test_a_large_file_is_not_read(tmp_path, monkeypatch):
    (tmp_path / "a.csv").write_text("text,label\na,1\n")
    monkeypatch.setattr(plain, "LARGEST_BYTES", 3)
    assert plain_columns(tmp_path / "a.csv") is None


def test_kinds_are_text_or_number():
    assert kinds_of({"a": ["x"], "b": [1], "c": [0.5]}) == {"a": "string", "b": "number", "c": "number"}
