"""After a run: its page, and a copy of it elsewhere that may fail without costing anything."""

import pytest

from optbench.delivery import upload
from optbench.delivery.upload import deliver_sweep, fetch_points, hand_in
from optbench.records import read_result


@pytest.fixture
def run(tmp_path, made_run, write_run):
    directory = tmp_path / "sweep" / "0"
    write_run(directory, made_run(), ["seed=0"])
    return directory


def test_a_finished_run_has_its_page_and_a_copy_with_it(run, tmp_path):
    hand_in(run, read_result(run), f"file://{tmp_path}/far/away", run.parent)
    copy = tmp_path / "far" / "away" / "sweep" / "0"
    assert sorted(file.name for file in copy.iterdir()) == [
        ".hydra",
        "optbench.log",
        "report.html",
        "result.json",
    ]
    assert read_result(copy) == read_result(run)
    assert read_result(run).notes == []


def test_a_url_that_cannot_be_reached_is_told_and_noted_once_and_costs_nothing(run, tmp_path, capfd):
    (tmp_path / "file").write_text("")
    before = read_result(run)
    hand_in(run, before, f"file://{tmp_path}/file/below", run.parent)
    after = read_result(run)
    (note,) = after.notes
    assert note.startswith(f"the results could not be copied to file://{tmp_path}/file/below: ")
    assert note.endswith(f"they lie in {run}")
    assert capfd.readouterr().err == f"optbench: {note}\n"
    assert (after.comparisons, after.status) == (before.comparisons, before.status)
    assert (run / "report.html").is_file()


def test_a_directory_that_cannot_be_written_any_more_costs_nothing_either(run, tmp_path, capfd, monkeypatch):
    def full(*_):
        raise OSError("No space left on device")

    (tmp_path / "file").write_text("")
    result = read_result(run)
    monkeypatch.setattr(upload, "write_result", full)
    hand_in(run, result, f"file://{tmp_path}/file/below", run.parent)
    assert "result.json cannot be written: No space left" in capfd.readouterr().err


def test_a_machine_without_a_lock_gets_its_page_all_the_same(run, tmp_path, monkeypatch):
    monkeypatch.setenv("OPTBENCH_LOCK_DIR", str(tmp_path / "gone"))
    hand_in(run, read_result(run), None)
    assert (run / "report.html").is_file()


def test_points_of_machines_that_share_no_folder_are_brought_back(run, tmp_path, capfd):
    url = f"file://{tmp_path}/far"
    hand_in(run, read_result(run), url, run.parent)
    (run / "result.json").unlink()
    fetch_points(run.parent, url)
    assert read_result(run).status == "ok"
    fetch_points(run.parent, f"file://{tmp_path}/nowhere")
    assert capfd.readouterr().err == ""
    fetch_points(run.parent, "nosuch://x")
    assert "results of other machines are not in the table" in capfd.readouterr().err


def test_a_sweeps_own_files_are_copied_and_what_fails_is_told(run, tmp_path, capfd):
    (run.parent / "results.csv").write_text("1")
    deliver_sweep(run.parent, f"file://{tmp_path}/far")
    assert [file.name for file in (tmp_path / "far" / "sweep").iterdir()] == ["results.csv"]
    deliver_sweep(run.parent, f"file://{run}/result.json")
    assert "the table could not be copied" in capfd.readouterr().err
