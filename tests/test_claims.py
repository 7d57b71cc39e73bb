"""One process writes into a run's directory: a second one is refused, and only what was made is removed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from optbench import claims
from optbench.claims import Claim, holder_of
from optbench.errors import ConfigError
from optbench.locations import LOCK_FILE

posix = pytest.mark.skipif(sys.platform == "win32", reason="the locks of the kernel")

HOLD = """
import sys
from pathlib import Path
from optbench.claims import Claim
Claim.take(Path(sys.argv[1]), "hydra.run.dir")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path):
    """Another process that has claimed a directory."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "out")]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def everything(place):
    return sorted(path.relative_to(place).as_posix() for path in place.rglob("*"))


@posix
def test_a_second_run_is_refused_with_the_pid_of_the_first_and_touches_nothing(other, tmp_path):
    (tmp_path / "out" / "result.json").write_text("green")
    with pytest.raises(ConfigError, match=rf"hydra\.run\.dir=.*one is running there \(pid {other.pid}\)"):
        Claim.take(tmp_path / "out", "hydra.run.dir")
    assert holder_of(tmp_path / "out").pid == other.pid
    assert (tmp_path / "out" / "result.json").read_text() == "green"


@posix
def test_who_is_killed_lets_go(other, tmp_path):
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert (tmp_path / "out" / LOCK_FILE).exists()
    assert holder_of(tmp_path / "out") is None
    Claim.take(tmp_path / "out", "hydra.run.dir").release()
    assert everything(tmp_path) == ["out"]


@posix
def test_a_process_does_not_count_as_another_that_runs_in_its_own_directory(tmp_path):
    claim = Claim.take(tmp_path / "out", "directory")
    assert holder_of(tmp_path / "out") is None
    with pytest.raises(ConfigError, match="this process"):
        Claim.take(tmp_path / "out", "directory")
    claim.release()
    claim.release()
    assert everything(tmp_path) == ["out"]


@posix
@pytest.mark.parametrize("text", ["", "7", "seven here", "7 here and there"])
def test_a_lock_file_of_somebody_else_names_nobody(tmp_path, text):
    (tmp_path / LOCK_FILE).write_text(text)
    assert holder_of(tmp_path) is None


@posix
def test_a_process_of_another_host_may_or_may_not_run(tmp_path, monkeypatch):
    (tmp_path / LOCK_FILE).write_text("7 elsewhere\n")
    assert (holder_of(tmp_path).is_certain, str(holder_of(tmp_path))) == (False, "pid 7 on elsewhere")
    Claim.take(tmp_path, "directory").release()  # its lock is free, so it is gone or shares none with us


def test_what_was_made_for_a_run_that_could_not_start_goes_and_nothing_else(tmp_path):
    (tmp_path / "premade").mkdir()
    claim = Claim.take(tmp_path / "premade" / "a" / "b", "directory")
    (claim.directory / ".hydra").mkdir()
    (claim.directory / "result.json").write_text("{}")
    (claim.directory / "optbench.log").write_text("")
    claim.withdraw()
    assert everything(tmp_path) == ["premade"]


def test_an_empty_directory_and_files_of_the_users_stay(tmp_path):
    for name in ("empty", "full"):
        (tmp_path / name).mkdir()
    for name in ("notes.txt", "optbench.log"):
        (tmp_path / "full" / name).write_text("mine")
    for name in ("empty", "full"):
        claim = Claim.take(tmp_path / name, "directory")
        (claim.directory / "result.json").write_text("{}")
        claim.withdraw()
    assert everything(tmp_path) == ["empty", "full", "full/notes.txt", "full/optbench.log"]


def test_nothing_of_an_earlier_run_lies_beside_a_later_one(tmp_path):
    for name in ("result.json", "report.html", "requests.parquet", "notes.txt"):
        (tmp_path / name).write_text("earlier")
    claim = Claim.take(tmp_path, "directory")
    assert claim.overwrites
    claim.release()
    assert everything(tmp_path) == ["notes.txt"]
    claim = Claim.take(tmp_path, "directory")
    assert not claim.overwrites
    claim.release()


def test_an_earlier_run_comes_back_where_a_later_one_had_nothing_to_keep(tmp_path):
    (tmp_path / ".hydra").mkdir()
    for name in ("result.json", "report.html", ".hydra/config.yaml", "notes.txt"):
        (tmp_path / name).write_text("earlier")
    claim = Claim.take(tmp_path, "directory")
    assert everything(tmp_path / ".earlier") == [".hydra", ".hydra/config.yaml", "report.html", "result.json"]
    (tmp_path / ".hydra").mkdir()
    for name in ("result.json", ".hydra/config.yaml", "optbench.log"):
        (tmp_path / name).write_text("later")
    claim.withdraw()
    assert everything(tmp_path) == [".hydra", ".hydra/config.yaml", "notes.txt", "report.html", "result.json"]
    assert (tmp_path / "result.json").read_text() == "earlier"
    assert (tmp_path / ".hydra" / "config.yaml").read_text() == "earlier"


def test_of_an_earlier_sweep_no_point_lies_among_those_of_a_later_one(tmp_path):
    for name in ("sweep.json", "0/.hydra/config.yaml", "12/result.json", "final-0/optbench.log", "tune.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("earlier")
    for name in ("3/notes.txt", "mine/result.json"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("mine")
    before = everything(tmp_path)
    claim = Claim.take(tmp_path, "directory")
    (tmp_path / "sweep.json").write_text("later")
    claim.withdraw()
    assert everything(tmp_path) == before
    assert (tmp_path / "sweep.json").read_text() == "earlier"
    Claim.take(tmp_path, "directory").release()
    assert everything(tmp_path) == ["3", "3/notes.txt", "mine", "mine/result.json"]


def test_directories_with_numbers_beside_a_run_are_no_points(tmp_path):
    for name in ("result.json", "7/result.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("earlier")
    Claim.take(tmp_path, "directory").release()
    assert everything(tmp_path) == ["7", "7/result.json"]


def test_what_the_claiming_run_has_written_itself_stays(tmp_path):
    for name in ("result.json", ".hydra/config.yaml", "optbench.log"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("earlier")
    Claim.take(tmp_path, "directory", begun=(".hydra", "optbench.log")).release()
    assert everything(tmp_path) == [".hydra", ".hydra/config.yaml", "optbench.log"]


def test_a_file_system_without_locks_is_used_without_them(tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "locked", lambda file: None)
    Claim.take(tmp_path / "out", "directory").release()
    assert everything(tmp_path) == ["out"]


def test_a_directory_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"hydra\.run\.dir=.* must be a writable directory"):
        Claim.take(tmp_path / "file" / "out", "hydra.run.dir")
