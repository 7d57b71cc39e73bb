"""Timings are alone on a machine, all other work is side by side, and nobody waits for the dead."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from optbench.errors import DataError
from optbench.processes import host
from optbench.processes.host import ROOM, beside_others, lock_directory, timing_alone


class WouldWaitError(Exception):
    """The lock is not free."""


def refuse():
    """Stands for what is shown while a lock is waited for, so that a test need not wait."""
    raise WouldWaitError


@pytest.fixture(autouse=True)
def own_locks(tmp_path, monkeypatch):
    monkeypatch.setenv("OPTBENCH_LOCK_DIR", str(tmp_path))
    return tmp_path


def is_free(place):
    """Whether the lock can be had now."""
    try:
        with place(refuse):
            return True
    except WouldWaitError:
        return False


def test_work_that_is_not_timed_is_done_side_by_side():
    with beside_others():
        assert is_free(beside_others)


def test_nothing_is_timed_beside_other_work():
    with beside_others(), beside_others():
        assert not is_free(timing_alone)
    assert is_free(timing_alone)


@pytest.mark.parametrize("other", [beside_others, timing_alone])
def test_nothing_is_done_beside_a_timing(other):
    with timing_alone():
        assert not is_free(other)
    assert is_free(other)


def test_a_timing_that_waits_is_not_overtaken_by_work_that_comes_later():
    waits, done = threading.Event(), []

    @contextlib.contextmanager
    def shown():
        waits.set()
        yield

    def time_something():
        with timing_alone(shown):
            done.append("timed")

    with beside_others():
        thread = threading.Thread(target=time_something)
        thread.start()
        assert waits.wait(30)
        assert not is_free(beside_others)
        assert done == []
    thread.join(30)
    assert done == ["timed"]
    assert is_free(beside_others)


HOLDS = """
import sys
from optbench.processes.host import timing_alone
with timing_alone():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder():
    """Another process that times, as it says on its standard output."""
    environment = {**os.environ, "PYTHONPATH": str(Path(host.__file__).parents[2])}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", HOLDS], env=environment, text=True, **pipes)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_who_is_killed_lets_go(holder):
    assert not is_free(beside_others)
    holder.send_signal(signal.SIGKILL)
    holder.wait(30)
    assert is_free(timing_alone)


def test_a_child_that_outlives_its_parents_timing_does_not_hold_it():
    with timing_alone():
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert is_free(timing_alone)
    finally:
        child.communicate(b"\n")


def test_an_error_lets_go():
    with pytest.raises(ValueError, match="x"), timing_alone():
        raise ValueError("x")
    assert is_free(timing_alone)


def test_the_locks_can_be_opened_by_every_user_of_the_machine(own_locks):
    before = os.umask(0o077)
    try:
        with timing_alone():
            pass
    finally:
        os.umask(before)
    assert {file.stat().st_mode & 0o777 for file in own_locks.iterdir()} == {0o644}


def test_the_place_of_the_locks_does_not_follow_a_jobs_own_temporary_folder(tmp_path, monkeypatch):
    assert lock_directory() == tmp_path
    monkeypatch.delenv("OPTBENCH_LOCK_DIR")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert lock_directory() == Path("/tmp")


def test_a_folder_that_is_not_there_is_told_with_what_to_set(tmp_path, monkeypatch):
    monkeypatch.setenv("OPTBENCH_LOCK_DIR", str(tmp_path / "gone"))
    with pytest.raises(DataError, match=r"cannot be opened: .*set OPTBENCH_LOCK_DIR"), beside_others():
        pass


def make_link(path):
    path.symlink_to(path.with_name("elsewhere"))


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, make_link])
def test_what_is_no_plain_file_is_no_lock(own_locks, make):
    make(own_locks / ROOM)
    with pytest.raises(DataError, match="the lock"), timing_alone():
        pass
