"""Result records: what is written can be read, nothing else is."""

import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optbench import records
from optbench.errors import ResultError
from optbench.records import Estimate, Interval, Percentile, RunResult


def result(**changes):
    base = RunResult(
        optbench_version="0.1.0",
        status="ok",
        started_at="2026-01-01T00:00:00+00:00",
        command=["optbench"],
        config={"batch_size": 1},
        config_hash="abc",
        environment={},
    )
    return records.replace(base, **changes)


def test_a_result_survives_the_journey_to_disk_and_back(tmp_path):
    written = result(status="failed", failure=records.Failure("WorkerError", "timing", "died"))
    path = records.write_result(tmp_path, written)
    assert records.read_result(path) == written
    assert records.read_result(tmp_path) == written
    assert [file.name for file in tmp_path.iterdir()] == ["result.json"]


def test_nested_records_keep_their_types():
    estimate = Estimate(1.5, Interval(1.4, 1.6))
    comparison = records.Comparison(speedup=estimate, cpu_speedup=estimate)
    read = records.from_json(records.to_json(result(comparisons={"candidate": comparison})))
    assert read.comparison == comparison
    assert result().comparison is None


def test_a_missing_percentile_is_null_with_its_reason():
    written = json.loads(records.to_json(Percentile(0.99, None, None, "needs 250 more calls")))
    assert written["seconds"] is None
    assert written["reason"] == "needs 250 more calls"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not a readable"),
        (b"{", "not a readable"),
        (b"[]", "Expected `object`"),
        (b"\xff\xfe", "not a readable"),
        (b'{"status": "ok"}', "missing required field"),
    ],
)
def test_damaged_results_are_refused_with_the_reason(data, words):
    with pytest.raises(ResultError, match=words) as caught:
        records.from_json(data, "here/result.json")
    assert "here/result.json" in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@settings(deadline=None, database=None)
@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_whatever_is_read_is_a_result_or_refused(data):
    with pytest.raises(ResultError):
        records.from_json(data)


def test_a_result_that_was_cut_off_anywhere_is_refused():
    whole = records.to_json(result()).rstrip()
    assert records.from_json(whole) == result()
    for length in range(len(whole)):
        with pytest.raises(ResultError):
            records.from_json(whole[:length])


@pytest.mark.parametrize("data", [b"[" * 1_000_000, b'{"a":' * 100_000, b"1" * 1_000_000, b" " * 5_000_000])
def test_deep_and_endless_data_is_refused(data):
    with pytest.raises(ResultError, match="not a readable optbench result"):
        records.from_json(data)


def test_numbers_that_json_does_not_know_are_refused():
    for number in ("NaN", "Infinity", "-Infinity", "1e999"):
        damaged = records.to_json(result(stage_seconds={"a": 1.5})).replace(b"1.5", number.encode())
        with pytest.raises(ResultError):
            records.from_json(damaged)


def test_what_is_not_a_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "run" / "result.json").mkdir(parents=True)
    for name, reason in (("pipe", "not a file"), ("loop", "cannot be read"), ("run", "cannot be read")):
        with pytest.raises(ResultError, match=reason):
            records.read_result(tmp_path / name)


def test_a_wrong_type_is_named_with_its_field():
    damaged = json.loads(records.to_json(result()))
    damaged["command"] = "optbench"
    with pytest.raises(ResultError, match=r"\$\.command"):
        records.from_json(json.dumps(damaged).encode())


def test_a_later_schema_is_refused_with_what_to_do():
    later = records.to_json(result(schema_version=records.SCHEMA_VERSION + 1))
    with pytest.raises(ResultError, match="upgrade optbench"):
        records.from_json(later)


def test_fields_of_a_later_minor_version_are_ignored():
    more = json.loads(records.to_json(result()))
    more["invented_later"] = 1
    assert records.from_json(json.dumps(more).encode()) == result()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ResultError, match=str(tmp_path / "none")):
        records.read_result(tmp_path / "none")


def test_records_cannot_be_changed():
    with pytest.raises(AttributeError):
        result().status = "failed"


def test_a_failed_write_leaves_the_old_content(tmp_path, monkeypatch):
    path = tmp_path / "result.json"
    records.write_atomically(path, b"old")
    monkeypatch.setattr("os.fsync", lambda descriptor: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        records.write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["result.json"]
