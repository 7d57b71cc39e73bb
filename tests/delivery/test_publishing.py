"""A tracker may fail in any way: the result, the page and the exit code stand, and a note says so."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from optbench.cli import main
from optbench.components import register
from optbench.delivery import publishing
from optbench.delivery.publishing import GROUP_FILE, LOCK_FILE, PublishHost, finish_sweep, publish
from optbench.errors import WorkerError
from optbench.hydra_app.hooks import finish_tracking
from optbench.locations import REPORT_FILE
from optbench.records import Failure, TrackedRun, read_result, replace, write_result
from optbench.trackers.mlflow import Mlflow
from optbench.trackers.none import NoTracking
from optbench.trackers.wandb import Wandb
from optbench.tracking.tracker import Tracker


@register("tracking", "made_up")
@dataclass
class MadeUp(Tracker):
    """Notes what it is given."""

    def store(self):
        return "a list"

    def publish(self, result, directory, group=None):
        self.seen = [*getattr(self, "seen", []), (directory, group)]
        return TrackedRun("made_up", self.store(), "1", None if group is None else group.name)

    def finish_group(self, group):
        self.closed = group


@pytest.fixture(autouse=True)
def none_failed_before():
    publishing._in_a_row.clear()


@pytest.fixture
def here(monkeypatch):
    """Let the host live in this process; `here.error` is raised instead, if set."""

    class Here:
        error = None
        asked = 0

        def __call__(self, tracker, method, *places):
            Here.asked += 1
            if self.error is not None:
                raise self.error
            return getattr(PublishHost(tracker), method)(*places)

    found = Here()
    monkeypatch.setattr(publishing, "in_child", found)
    Here.asked = 0
    return found


@pytest.fixture
def run(tmp_path, made_run, write_run):
    """A run directory; its result has been read back."""
    return read_result(write_run(tmp_path / "run", made_run())), tmp_path / "run"


def test_the_result_says_where_it_was_logged_and_is_logged_once(run, here, capsys):
    tracker, (result, directory) = MadeUp(), run
    logged = publish(tracker, result, directory)
    assert logged.tracked == [TrackedRun("made_up", "a list", "1")]
    assert read_result(directory) == logged
    assert "logged to a list: run 1" in capsys.readouterr().err
    assert publish(tracker, logged, directory) == logged
    assert len(tracker.seen) == 1
    assert "has this run already" in capsys.readouterr().err


def test_without_a_tracker_nothing_happens(run, here, capsys):
    result, directory = run
    assert publish(NoTracking(), result, directory) is result
    finish_sweep(NoTracking(), directory)
    assert (here.asked, capsys.readouterr().err) == (0, "")


def test_a_failure_is_a_note_in_result_and_page_without_the_password(run, here, capsys):
    result, directory = run
    here.error = WorkerError("cannot reach\n https://me:secret@host/")
    noted = publish(MadeUp(), result, directory)
    line = "tracking=made_up: this run was not logged: cannot reach https://***@host/"
    assert noted.notes == [*result.notes, line]
    assert read_result(directory) == noted
    assert line in (directory / REPORT_FILE).read_text()
    assert capsys.readouterr().err == f"optbench: {line}\n"
    here.error = None
    assert publish(MadeUp(), noted, directory).notes == result.notes


def test_a_disk_that_refuses_is_told(run, here, capsys):
    publish(MadeUp(), run[0], run[1] / "gone")
    assert "result.json cannot be written again: No such file or directory" in capsys.readouterr().err


def test_after_two_failures_in_a_row_a_sweep_stops_trying(run, here, tmp_path):
    result, directory = run
    here.error = WorkerError("down")
    notes = [publish(MadeUp(), result, directory, tmp_path).notes[-1] for _ in range(4)]
    assert here.asked == 2
    assert [note.rpartition(": ")[2] for note in notes[:2]] == ["down", "down"]
    assert notes[3].endswith("logging failed 2 times in a row, so it was not tried again")


def test_an_interrupted_run_is_not_logged(run, here):
    failure = Failure("interrupted", "timing", "interrupted from the keyboard")
    result = replace(run[0], status="failed", failure=failure)
    assert publish(MadeUp(), result, run[1]) is result
    assert here.asked == 0


def test_points_share_a_group_and_the_end_logs_what_is_missing(tmp_path, made_run, write_run, here):
    tracker = MadeUp()
    for name, changes in {"0": {}, "final-0": {}, "2": {"status": "skipped"}}.items():
        write_run(tmp_path / name, made_run(**changes))
    write_run(tmp_path / "3")
    publish(tracker, read_result(tmp_path / "0"), tmp_path / "0", tmp_path)
    finish_sweep(tracker, tmp_path)
    assert [directory.name for directory, _ in tracker.seen] == ["0", "final-0"]
    groups = {group for _, group in tracker.seen}
    assert groups == {tracker.closed}
    assert tracker.closed.name == tmp_path.name
    assert not {GROUP_FILE, LOCK_FILE} & {path.name for path in tmp_path.iterdir()}
    first = tracker.closed.key
    publish(tracker, read_result(tmp_path / "2"), tmp_path / "2", tmp_path)
    assert tracker.seen[-1][1].key != first


def test_a_sweep_that_cannot_be_closed_says_so(tmp_path, here, capsys):
    (tmp_path / GROUP_FILE).write_text("abc")
    here.error = WorkerError("down")
    finish_sweep(MadeUp(), tmp_path)
    assert "tracking=made_up: the sweep was not closed: down" in capsys.readouterr().err
    finish_tracking(object(), tmp_path)
    assert "could not be logged to its end" in capsys.readouterr().err


def test_a_point_taken_over_keeps_where_it_was_logged(run, here, tmp_path, monkeypatch):
    from optbench.stages.resume import take_over

    tracker, (result, directory) = MadeUp(), run
    publish(tracker, result, directory)
    place = tmp_path / "new"
    place.mkdir()
    publish(tracker, take_over(directory, place), place)
    assert len(tracker.seen) == 1


def test_a_missing_package_is_named_before_anything_is_measured(tmp_path, monkeypatch, capfd):
    import importlib.util

    monkeypatch.chdir(tmp_path)
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "mlflow" else found(name))
    for arguments in (["tracking=mlflow"], ["-m", "tracking=mlflow", "batch_size=1,2"]):
        assert main(arguments) == 2
        assert "mlflow needs a package that is not installed; run: pip install 'optbench[mlflow]'" in (
            capfd.readouterr().err
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("tracker", "words"),
    [
        (Mlflow(tracking_uri="https://me:secret@host"), "MLFLOW_TRACKING_PASSWORD"),
        (Mlflow(experiment=" "), "experiment must be a name"),
        (Mlflow(timeout_seconds=0), "timeout_seconds must be >= 1, got 0"),
        (Mlflow(log_artifacts=False, log_raw_values=True), "log_raw_values=true needs log_artifacts=true"),
        (Wandb(tags=["", "fine"]), "tags must hold words of 1 to 64 characters, got ''"),
        (Wandb(project="a/b"), "project must be a name without"),
    ],
)
def test_settings_that_cannot_work_are_named(tracker, words):
    assert words in " ".join(tracker.problems())
    assert Mlflow(tracking_uri="sqlite:////tmp/x.db").problems() == []
    assert Wandb(project="a", tags=["b"]).problems() == []


def test_a_range_that_is_wrong_ends_a_sweep_before_its_first_point(tmp_path, monkeypatch, capfd):
    pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    assert main(["-m", "tracking=mlflow", "tracking.timeout_seconds=0", "batch_size=1,2"]) == 2
    assert "tracking.timeout_seconds must be >= 1, got 0" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_files_are_those_of_the_run_and_raw_values_only_if_asked(run):
    _, directory = run
    (directory / "samples.parquet").write_bytes(b"raw")
    (directory / "report.html").symlink_to("/etc/hostname")
    names = [file.name for file in MadeUp().files(directory)]
    assert names == ["result.json", "overrides.yaml"]
    assert MadeUp(log_artifacts=False).files(directory) == []
    assert MadeUp(log_raw_values=True).files(directory)[-1] == Path(directory / "samples.parquet")


def test_write_result_keeps_the_note_of_an_earlier_failure_out(run, here):
    result, directory = run
    write_result(directory, replace(result, notes=["tracking=made_up: this run was not logged: x", "kept"]))
    assert publish(MadeUp(), read_result(directory), directory).notes == ["kept"]
