"""A sweep that goes on: what counts as the same point, and what taking it over leaves."""

import os
from datetime import datetime, timezone
from types import SimpleNamespace

import pytest

from optbench import __version__, main
from optbench.config import Objective
from optbench.errors import ResultError
from optbench.records import Failure, read_result, replace, write_result
from optbench.results.history import add
from optbench.search.objectives import objective
from optbench.stages import resume

NOW = {
    "machine": "m1",
    "python": "CPython 3",
    "versions": {"torch": "2.0"},
    "plug_ins": {"their-runtime": "1.0"},
    "thread_variables": {},
}


@pytest.fixture
def sweep(tmp_path, made_run, write_run, monkeypatch):
    """An earlier sweep with one finished point, and what it takes to ask for it."""
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    os.utime(model / "config.json", (0, 0))
    directory = tmp_path / "earlier"
    run = made_run(config_hash="same", environment=NOW, optbench_version=__version__)
    write_run(directory / "0", run)
    (directory / "0" / "samples.parquet").write_bytes(b"raw")
    config = SimpleNamespace(
        resume=str(directory),
        model=SimpleNamespace(path=str(model)),
        dataset=SimpleNamespace(path="a/hub-name"),
        variants={"candidate": SimpleNamespace(artifact=None)},
    )
    monkeypatch.setattr(resume, "config_hash", lambda config: "same")
    monkeypatch.setattr(resume, "environment_of", lambda config: NOW)
    resume.finished.cache_clear()
    return SimpleNamespace(config=config, directory=directory, run=run, model=model)


def test_a_finished_point_of_the_same_config_and_environment_is_found(sweep):
    assert resume.finished_before(sweep.config) == sweep.directory / "0"


def test_without_resume_nothing_is_looked_for(sweep):
    sweep.config.resume = None
    assert resume.finished_before(sweep.config) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"config_hash": "other"},
        {"optbench_version": "0.0.1"},
        {"environment": {**NOW, "machine": "m2"}},
        {"environment": {**NOW, "versions": {"torch": "2.1"}}},
        {"environment": {**NOW, "plug_ins": {"their-runtime": "1.1"}}},
        {"environment": {**NOW, "thread_variables": {"OMP_NUM_THREADS": "1"}}},
        {"status": "failed", "failure": Failure("WorkerError", "timing", "it died")},
    ],
)
def test_anything_else_is_measured(sweep, changes):
    write_result(sweep.directory / "0", replace(sweep.run, **changes))
    assert resume.finished_before(sweep.config) is None


def test_a_model_written_since_is_measured(sweep):
    later = datetime(2026, 1, 2, tzinfo=timezone.utc).timestamp()
    os.utime(sweep.model / "config.json", (later, later))
    assert resume.finished_before(sweep.config) is None
    assert resume.written_since([sweep.model / "config.json"], "2026-01-01T00:00:00")
    assert resume.written_since([], "some day")


def test_the_latest_of_several_counts_and_damaged_ones_do_not(sweep, write_run):
    write_run(sweep.directory / "1", replace(sweep.run, started_at="2026-01-05T00:00:00+00:00"))
    write_run(sweep.directory / "2")
    (sweep.directory / "2" / "result.json").write_text("{")
    assert resume.finished_before(sweep.config) == sweep.directory / "1"


def test_taking_over_copies_result_and_raw_values_and_says_so(sweep, tmp_path):
    place = tmp_path / "new"
    place.mkdir()
    source = sweep.directory / "0"
    result = resume.take_over(source, place)
    assert result.notes == [f"taken over from {source}, not measured again"]
    assert read_result(place) == result
    assert (place / "samples.parquet").read_bytes() == b"raw"
    history = tmp_path / "history.sqlite"
    assert (add([source], history), add([place], history)) == ((1, 0), (0, 1))


def test_links_in_an_earlier_sweep_are_not_followed(sweep, tmp_path):
    (tmp_path / "secret").write_text("mine")
    (sweep.directory / "0" / "blocks.parquet").symlink_to(tmp_path / "secret")
    place = tmp_path / "new"
    place.mkdir()
    resume.take_over(sweep.directory / "0", place)
    assert sorted(path.name for path in place.iterdir()) == ["result.json", "samples.parquet"]


def test_a_task_takes_over_and_a_damaged_result_is_measured(sweep, tmp_path, capsys):
    place = tmp_path / "new"
    place.mkdir()
    outcome = main.resumed(sweep.config, place)
    assert (outcome.exit_code, outcome.directory) == (0, place)
    found = [
        objective(kind, outcome.result) for kind in (Objective.samples_per_second, Objective.p95_seconds)
    ]
    assert found == [200.0, pytest.approx(0.005 * 1.95)]
    assert "taken over from" in capsys.readouterr().err
    (sweep.directory / "0" / "result.json").write_text("{")
    assert main.resumed(sweep.config, place) is None
    with pytest.raises(ResultError):
        resume.take_over(sweep.directory / "0", place)
    resume.finished.cache_clear()
    sweep.config.resume = str(tmp_path / "gone")
    assert main.resumed(sweep.config, place) is None
