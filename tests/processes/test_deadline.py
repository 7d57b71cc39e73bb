"""The most time a run may take: what is ended, what is spared, and what is interrupted."""

import signal
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from optbench.errors import WorkerError
from optbench.processes import deadline as deadlines
from optbench.processes.child import Child, no_child_left, start
from optbench.processes.deadline import Deadline, OutOfTime

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes and signals as on Linux")

MOMENT = 0.05
TARGET = """
import threading
class Target:
    def say(self): return "here"
    def hang(self): threading.Event().wait()
"""


@pytest.fixture
def child(tmp_path):
    """Starts a child that can be asked to hang."""
    (tmp_path / "deadline_target.py").write_text(TARGET)
    made = []

    def begin(is_shared=False):
        environment = {"PYTHONPATH": str(tmp_path)}
        log = tmp_path / "log"
        factory = "deadline_target:Target"
        made.append(start("target", factory, environment=environment, log=log, is_shared=is_shared))
        made[-1].receive()
        return made[-1]

    yield begin
    for one in made:
        one.close()


@pytest.fixture
def patient(monkeypatch):
    """Neither templates nor the coordinator are ever due."""
    monkeypatch.setattr(deadlines, "SHARED_AFTER_SECONDS", 1e9)
    monkeypatch.setattr(deadlines, "INTERRUPT_AFTER_SECONDS", 1e9)


@pytest.fixture
def at_once(monkeypatch):
    """Everything is due as soon as the time is over."""
    monkeypatch.setattr(deadlines, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(deadlines, "SHARED_AFTER_SECONDS", 0.0)
    monkeypatch.setattr(deadlines, "INTERRUPT_AFTER_SECONDS", 0.0)


def test_a_read_from_a_child_ends_when_the_time_is_over(child, patient):
    hanging = child()
    with Deadline(MOMENT) as deadline, pytest.raises(WorkerError, match="SIGKILL"):
        hanging.call("hang")
    assert deadline.expired
    with pytest.raises(OutOfTime):
        deadline.check()


def test_children_that_are_started_later_are_ended_too(child, patient, monkeypatch):
    monkeypatch.setattr(deadlines, "POLL_SECONDS", 0.01)
    first = child()
    second = child()
    with Deadline(MOMENT):
        for hanging in (first, second):
            with pytest.raises(WorkerError, match="SIGKILL"):
                hanging.call("hang")


def test_templates_are_spared_at_first_and_ended_when_they_are_what_hangs(child, patient, monkeypatch):
    template, worker = child(is_shared=True), child()
    with Deadline(MOMENT), pytest.raises(WorkerError):
        worker.call("hang")
    assert template.call("say") == "here"
    monkeypatch.setattr(deadlines, "SHARED_AFTER_SECONDS", 0.0)
    with Deadline(MOMENT), pytest.raises(WorkerError, match="SIGKILL"):
        template.call("hang")


def test_a_coordinator_that_hangs_itself_is_interrupted_in_a_system_call(at_once):
    with pytest.raises(OutOfTime), Deadline(MOMENT):
        threading.Event().wait(60)


def test_so_is_one_in_another_thread(at_once):
    seen = []

    def work():
        try:
            with Deadline(MOMENT):
                while True:
                    threading.Event().wait(0.001)
        except OutOfTime as error:
            seen.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(60)
    assert len(seen) == 1


def test_within_the_time_nothing_happens_and_the_signal_is_given_back(child):
    before = signal.getsignal(signal.SIGURG)
    with Deadline(1000.0) as deadline:
        assert child().call("say") == "here"
        signal.raise_signal(signal.SIGURG)
    assert not deadline.expired
    deadline.check()
    deadline.end()
    assert signal.getsignal(signal.SIGURG) is before


def test_without_a_limit_nothing_is_watched():
    before = threading.active_count()
    with Deadline(None) as deadline:
        assert threading.active_count() == before
    assert not deadline.expired


def test_children_of_other_threads_are_left_alone(child, patient):
    foreign = child()
    foreign.maker = -1
    own = child()
    with Deadline(MOMENT), pytest.raises(WorkerError):
        own.call("hang")
    assert foreign.call("say") == "here"


def test_what_was_started_and_forgotten_is_closed_and_templates_are_not(child):
    kept = child()
    with no_child_left():
        forgotten, template = child(), child(is_shared=True)
    assert forgotten not in Child.living
    assert {kept, template} <= Child.living
    assert template.call("say") == kept.call("say") == "here"


def test_a_limit_that_is_lost_to_a_destructor_is_tried_again(monkeypatch):
    tries = []
    deadline = Deadline(0.0)
    monkeypatch.setattr(deadlines, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(deadlines, "INTERRUPT_AFTER_SECONDS", 1.0)
    monkeypatch.setattr(deadlines, "time", SimpleNamespace(monotonic=iter(range(100)).__next__))

    def interrupt():
        tries.append(deadline)
        if len(tries) == 3:
            deadline.end()

    monkeypatch.setattr(deadline, "_interrupt", interrupt)
    deadline._watch()
    assert len(tries) == 3


def test_an_interpreter_whose_deadline_has_ended_twice_can_be_traced():
    """Coverage, debuggers and hypothesis trace; an exception that was taken back made them loop for ever."""
    script = (
        "import sys, threading\n"
        "from optbench.processes.deadline import Deadline\n"
        "def ended():\n"
        "    deadline = Deadline(60.0)\n"
        "    with deadline:\n"
        "        pass\n"
        "    deadline.end()\n"
        "def traced():\n"
        "    ended()\n"
        "    sys.settrace(lambda *_: None)\n"
        "    (lambda: None)()\n"
        "    sys.settrace(None)\n"
        "traced()\n"
        "other = threading.Thread(target=traced, daemon=True)\n"
        "other.start()\n"
        "other.join(20)\n"
        "assert not other.is_alive()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], check=False, timeout=60)
    assert done.returncode == 0
