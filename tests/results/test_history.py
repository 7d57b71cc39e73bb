"""The history: each run once, and each configuration's last run against the median of those before."""

import sqlite3

import msgspec
import pytest

from optbench.cli import main
from optbench.errors import ConfigError, ResultError
from optbench.records import Failure, replace
from optbench.records.history import History
from optbench.results.history import HISTORY_VERSION, add, history_file, moment, trends


@pytest.fixture
def file(tmp_path):
    return tmp_path / "cache" / "history.sqlite"


@pytest.fixture
def week(tmp_path, made_run, write_run):
    """Four days of one configuration, and a run of another model."""
    place = tmp_path / "outputs"
    for day, speedup in enumerate((2.0, 3.0, 4.0, 1.5), start=1):
        run = made_run(speedup=speedup, started_at=f"2026-11-0{day}T10:00:00+00:00")
        if day == 4:
            metric = replace(run.quality.metrics[0], candidate=0.85)
            run = replace(run, quality=replace(run.quality, metrics=[metric]))
        write_run(place / str(day), run)
    other = made_run(batch=8)
    write_run(place / "other", replace(other, config={**other.config, "model": {"path": "/models/Large"}}))
    return place


def test_a_trend_is_the_last_run_against_the_median_before(week, file):
    assert add([week], file) == (5, 0)
    first, second = trends(file)
    assert (first.runs, first.last_at, first.first_at) == (
        4,
        "2026-11-04T10:00:00+00:00",
        "2026-11-01T10:00:00+00:00",
    )
    assert first.speedup == 1.5
    assert first.speedup_change == pytest.approx(-0.5)
    assert first.p95_seconds == pytest.approx(0.010 / 1.5 * 1.95)
    assert first.p95_change == pytest.approx(1.0)
    assert (first.metric, first.metric_value) == ("accuracy", 0.85)
    assert first.metric_change == pytest.approx(-0.04)
    assert (first.machine, first.candidate, first.directory) == ("m1", "onnxruntime dynamic", str(week / "4"))
    assert (second.runs, second.speedup_change, second.metric_change) == (1, None, None)


def test_a_run_counts_once_wherever_it_lies(week, file, tmp_path):
    add([week], file)
    (week / "1").rename(tmp_path / "moved")
    assert add([week, tmp_path / "moved"], file) == (0, 5)
    assert sum(trend.runs for trend in trends(file)) == 5


def test_a_run_counts_once_whatever_was_noted_in_it_later(week, file, tmp_path, made_run, write_run):
    add([week], file)
    first = made_run(speedup=2.0, started_at="2026-11-01T10:00:00+00:00")
    write_run(tmp_path / "b" / "0", replace(first, notes=["taken over"], stage_seconds={"timing": 1.0}))
    write_run(tmp_path / "b" / "1", replace(first, environment={"machine": "m2"}))
    assert add([tmp_path / "b"], file) == (1, 1)


def test_a_history_of_the_first_version_is_read_and_its_runs_are_known(week, file):
    add([week], file)
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE runs SET content = 'hash of a file ' || directory")
        connection.execute(
            "INSERT INTO runs SELECT 'taken over', * FROM (SELECT variant, 'elsewhere' AS directory, "
            "started_at, status, config_hash, machine, model, baseline, candidate, batch_size, input_length, "
            "speedup, speedup_low, speedup_high, p50_seconds, p95_seconds, size_bytes, peak_memory_bytes, "
            "metric, metric_value, metric_difference, grade FROM runs LIMIT 1)"
        )
        connection.execute("PRAGMA user_version = 1")
    assert add([week], file) == (0, 5)
    assert sum(trend.runs for trend in trends(file)) == 5


def test_filters(week, file):
    add([week], file)
    assert [trend.runs for trend in trends(file, since="2026-11-03")] == [2]
    assert [trend.model for trend in trends(file, model="large")] == ["/models/Large"]
    assert trends(file, model="%") == []
    assert moment("2026-11-03T02:00:00+02:00") == "2026-11-03T00:00:00+00:00"
    with pytest.raises(ConfigError, match="--since must be a date such as 2026-11-24, got 'monday'"):
        trends(file, since="monday")


def test_machines_have_trends_of_their_own_and_failures_none(tmp_path, made_run, write_run, file):
    write_run(tmp_path / "x" / "a", made_run())
    write_run(tmp_path / "x" / "b", made_run(environment={"machine": "m2"}))
    failure = Failure("WorkerError", "timing", "it died")
    later = "2026-01-02T00:00:00+00:00"
    write_run(tmp_path / "x" / "c", made_run(status="failed", failure=failure, started_at=later))
    write_run(tmp_path / "x" / "d", None)
    assert add([tmp_path / "x"], file) == (3, 0)
    assert sorted(trend.machine for trend in trends(file)) == ["m1", "m2"]


def test_a_number_too_large_for_the_file_is_left_out(tmp_path, made_run, write_run, file):
    run = made_run()
    huge = replace(run.variants["candidate"].artifact, size_bytes=10**30)
    candidate = replace(run.variants["candidate"], artifact=huge)
    write_run(tmp_path / "x", replace(run, variants={**run.variants, "candidate": candidate}))
    add([tmp_path / "x"], file)
    assert trends(file)[0].size_bytes is None


def test_a_file_that_is_no_history_is_named(week, file):
    file.parent.mkdir()
    file.write_bytes(b"not a database, but long enough to be taken for one" * 30)
    with pytest.raises(ResultError, match="cannot be used as the history"):
        add([week], file)


def test_a_history_of_a_newer_version_is_left_alone(week, file):
    add([week], file)
    with sqlite3.connect(file) as connection:
        connection.execute(f"PRAGMA user_version = {HISTORY_VERSION + 1}")
    with pytest.raises(ResultError, match="upgrade it"):
        trends(file)


def test_the_command_adds_lists_and_filters(week, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OPTBENCH_CACHE_DIR", str(tmp_path / "cache"))
    assert main(["history"]) == 0
    assert "The history holds no such run" in capsys.readouterr().out
    assert main(["history", "add", str(week)]) == 0
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == f"history: 5 added, 0 known already ({history_file()})\n"
    assert main(["history", str(week), "--model", "tiny"]) == 0
    row = capsys.readouterr().out.splitlines()[1]
    assert row.split()[:7] == ["2026-11-04", "10:00", "tiny", "onnxruntime", "dynamic", "1x32", "m1"]
    assert "-50.0%" in row
    assert "-0.0400" in row
    assert main(["history", "--format", "json"]) == 0
    found = msgspec.json.decode(capsys.readouterr().out, type=History)
    assert found.trends == trends(history_file())
    assert (found.schema_version, found.file) == (1, str(history_file()))
    assert main(["history", "add", str(week), "--format", "json"]) == 0
    assert capsys.readouterr().out == ""
    assert main(["history", "add"]) == 2
    assert main(["history", "--since", "x"]) == 2
