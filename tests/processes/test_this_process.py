"""What a process knows of itself: threads that still run, memory, and its peak."""

import hashlib
import logging
import os
import sys
import threading
import types

import numpy as np
import psutil
import pytest

from optbench.processes import this_process
from optbench.processes.this_process import memory_bytes

MS = 1_000_000
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


class Spinner:
    """A thread that computes, without the interpreter's lock, until it is told to stop."""

    def __init__(self):
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._spin, daemon=True)

    def _spin(self):
        block = bytes(1 << 24)
        while not self._stop.is_set():
            hashlib.sha256(block)

    def __enter__(self):
        self._thread.start()
        return self

    def stop(self, *ignored):
        self._stop.set()
        self._thread.join()

    __exit__ = stop

    @property
    def stopped(self):
        return not self._thread.is_alive()


@linux_only
def test_a_spinning_thread_is_seen_until_it_stops():
    with Spinner() as spinner:
        assert any(this_process.other_threads_running() for _ in range(10_000))
        spinner.stop()
        assert not all(this_process.other_threads_running() for _ in range(10_000))


@linux_only
def test_falling_asleep_waits_for_a_spinning_thread(monkeypatch):
    with Spinner() as spinner:
        assert any(this_process.other_threads_running() for _ in range(10_000))
        clock = types.SimpleNamespace(perf_counter=lambda: 0.0, sleep=spinner.stop)
        monkeypatch.setattr(this_process, "time", clock)
        this_process.fall_asleep()
        assert spinner.stopped


def test_falling_asleep_gives_up_after_half_a_second(monkeypatch):
    slept = []
    clock = types.SimpleNamespace(perf_counter=iter([0, 0.2, 0.4, 0.6]).__next__, sleep=slept.append)
    monkeypatch.setattr(this_process, "time", clock)
    monkeypatch.setattr(this_process, "other_threads_running", lambda: True)
    this_process.fall_asleep()
    assert slept == [this_process.ASLEEP_POLL_SECONDS] * 2


def test_nothing_is_waited_for_where_no_other_thread_runs(monkeypatch):
    monkeypatch.setattr(this_process, "other_threads_running", lambda: False)
    slept = []
    clock = types.SimpleNamespace(perf_counter=lambda: 0.0, sleep=slept.append)
    monkeypatch.setattr(this_process, "time", clock)
    this_process.fall_asleep()
    assert slept == []


@pytest.fixture
def tasks(tmp_path, monkeypatch):
    """Stands in for /proc/self/task."""
    monkeypatch.setattr(this_process, "Path", lambda path: tmp_path)

    def add(number, state=None, name="python"):
        (tmp_path / str(number)).mkdir()
        if state is not None:
            (tmp_path / str(number) / "stat").write_text(f"{number} ({name}) {state} 1 1 0 -1")

    return add


def test_the_calling_thread_does_not_count(tasks):
    tasks(os.getpid(), "R")
    tasks(1, "S")
    assert this_process.other_threads_running() is False
    tasks(2, "R")
    assert this_process.other_threads_running() is True


def test_a_thread_that_has_just_ended_does_not_count(tasks):
    tasks(1)
    assert this_process.other_threads_running() is False


def test_a_thread_may_have_any_name(tasks):
    tasks(1, "S", name="evil) R (x")
    assert this_process.other_threads_running() is False


def test_nothing_is_known_about_threads_and_memory_without_proc(tmp_path, monkeypatch):
    monkeypatch.setattr(this_process, "Path", lambda path: tmp_path / "absent" / "deep")
    assert this_process.other_threads_running() is False
    assert memory_bytes("VmRSS") is None
    assert this_process.forget_peak_memory() is False


@linux_only
def test_memory_is_in_bytes_as_psutil_counts_it():
    assert memory_bytes("VmRSS") == pytest.approx(psutil.Process().memory_info().rss, rel=0.1)
    assert memory_bytes("VmHWM") >= memory_bytes("VmRSS") > 1_000_000
    assert memory_bytes("VmNothing") is None


@linux_only
def test_the_peak_remembers_what_is_given_back_until_it_is_told_to_forget():
    size = 200_000_000
    before = memory_bytes("VmRSS")
    held = np.ones(size, dtype=np.uint8)
    del held
    peak = memory_bytes("VmHWM")
    assert peak >= before + 0.9 * size
    if this_process.forget_peak_memory():
        assert memory_bytes("VmHWM") <= peak - 0.5 * size


@pytest.mark.parametrize(
    ("name", "said", "kept"),
    [
        ("torchao", "Failed to load /v/torchao/_C_cutlass_90a.abi3.so: Could not load it", False),
        ("torchao", "Failed to load /v/torchao/_C_mxfp8.cpython-310-x86_64-linux-gnu.so: Could not", False),
        ("torchao", "Failed to load /v/torchao/_C.abi3.so: Could not load this library", True),
        ("torchao", "Skipping import of cpp extensions due to incompatible torch version", True),
        ("torch.utils._pytree", "<enum 'KernelPreference'> is an Enum subclass and is now natively", True),
        ("torch.utils._pytree", "<enum 'Kind'> is an Enum subclass and is now natively supported by", False),
    ],
)
def test_what_importing_torchao_says_is_left_out_of_the_log_and_nothing_else(name, said, kept, monkeypatch):
    loggers = {}
    with monkeypatch.context() as patch:
        patch.setattr(logging, "getLogger", lambda name: loggers.setdefault(name, logging.Logger(name)))
        this_process.leave_out_torchao()
    record = logging.LogRecord(name, logging.WARNING, "f", 1, said, None, None)
    assert bool(loggers[name].filter(record)) is kept
