"""Child processes: requests, answers, errors, deaths, and templates. Real processes, light ones."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from optbench.errors import DataError, MissingExtra, WorkerError
from optbench.processes.child import Child, describe_exit, start
from optbench.processes.template import Template

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks and signals as on Linux")


class Echo:
    """A child-side object for these tests; children import it by the name of this module."""

    def __init__(self, word="nothing"):
        self.word = word

    def say(self):
        return self.word

    def pid(self):
        return os.getpid()

    def fail(self, error):
        raise error

    def stumble(self):
        return {}["missing"]

    def die(self, number):
        os.kill(os.getpid(), number)

    def leave(self):
        os._exit(7)

    def hang(self):
        signal.pause()

    def fall_silent(self):
        os.closerange(3, 100)
        signal.pause()


FACTORY = "process_targets:Echo"


@pytest.fixture
def environment(tmp_path):
    """Lets children import `Echo` from a module of its own."""
    source = __file__.replace(".pyc", ".py")
    (tmp_path / "process_targets.py").symlink_to(source)
    return {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])}


@pytest.fixture
def child(environment, tmp_path):
    made = start("echo", FACTORY, "hello", environment=environment, log=tmp_path / "log")
    made.receive()
    yield made
    made.close()


def test_a_child_answers_requests(child):
    assert child.call("say") == "hello"
    assert child.call("pid") == child.pid


def test_an_error_of_ours_arrives_as_itself(child):
    with pytest.raises(DataError, match="rows are missing"):
        child.call("fail", DataError("rows are missing"))
    assert child.call("say") == "hello"


@pytest.mark.parametrize(
    "error", [MissingExtra("backend=x", "pip install 'optbench[x]'"), WorkerError("m", "details")]
)
def test_errors_with_extra_fields_survive_the_journey(child, error):
    with pytest.raises(type(error)) as caught:
        child.call("fail", error)
    assert str(caught.value) == str(error)
    assert vars(caught.value) == vars(error)


def test_an_unforeseen_error_becomes_a_worker_error_with_its_traceback(child):
    with pytest.raises(WorkerError, match="stumble failed: KeyError: 'missing'") as caught:
        child.call("stumble")
    assert "Traceback" in caught.value.details


@pytest.mark.parametrize(
    ("number", "words"), [(signal.SIGKILL, "lack of memory"), (signal.SIGSEGV, "native library")]
)
def test_a_killed_child_is_reported_with_its_signal(child, number, words):
    with pytest.raises(WorkerError, match=f"was ended by {signal.Signals(number).name}.*{words}"):
        child.call("die", number)


def test_a_child_that_falls_silent_and_stays_is_ended(child):
    with pytest.raises(WorkerError, match="closed its connection without ending"):
        child.call("fall_silent")
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)
    assert child not in Child.living


def test_a_child_leaves_ctrl_c_and_sigterm_to_its_parent(child):
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(child.pid, number)
    assert child.call("say") == "hello"


def test_a_child_that_leaves_is_reported_with_its_exit_code(child):
    with pytest.raises(WorkerError, match="ended by itself with exit code 7"):
        child.call("leave")


def test_a_request_to_a_dead_child_is_a_worker_error(child):
    child.kill()
    with pytest.raises(WorkerError, match="SIGKILL"):
        child.call("say")


def test_a_hung_child_is_killed_after_the_timeout(child):
    with pytest.raises(WorkerError, match=r"did not answer within 0\.2 s"):
        child.call("hang", timeout=0.2)
    with pytest.raises(WorkerError, match="SIGKILL"):
        child.call("say")


def test_a_child_tells_whether_it_has_ended(child):
    assert not child.has_ended()
    os.kill(child.pid, signal.SIGKILL)
    with pytest.raises(WorkerError):
        child.call("anything")
    assert child.has_ended()


def test_closing_ends_the_child(environment, tmp_path):
    child = start("echo", FACTORY, environment=environment, log=tmp_path / "log")
    child.receive()
    child.close()
    child.close()
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)


def test_a_factory_that_fails_says_why(environment, tmp_path):
    child = start("echo", "process_targets:Absent", environment=environment, log=tmp_path / "log")
    with pytest.raises(WorkerError, match="Absent"):
        child.receive()
    child.close()


def test_a_child_does_not_import_from_the_current_directory(environment, tmp_path, monkeypatch):
    (tmp_path / "trap").mkdir()
    (tmp_path / "trap" / "socket.py").write_text("raise SystemExit('shadowed')")
    monkeypatch.chdir(tmp_path / "trap")
    child = start("echo", FACTORY, "safe", environment=environment, log=tmp_path / "log")
    child.receive()
    assert child.call("say") == "safe"
    child.close()


@pytest.fixture
def template(environment, tmp_path):
    made = Template("echo", ("json",), environment, tmp_path / "log")
    yield made
    made.close()


def test_a_template_forks_independent_workers(template):
    assert template.refuses() is None
    one, two = template.fork("echo", FACTORY, "one"), template.fork("echo", FACTORY, "two")
    for worker, word in ((one, "one"), (two, "two")):
        worker.receive()
        assert worker.call("say") == word
    assert one.call("pid") == one.pid != two.pid
    one.close()
    assert two.call("say") == "two"
    two.close()


def test_the_death_of_a_forked_worker_is_reported_with_its_signal(template):
    assert template.refuses() is None
    worker = template.fork("echo", FACTORY)
    worker.receive()
    with pytest.raises(WorkerError, match="was ended by SIGSEGV"):
        worker.call("die", signal.SIGSEGV)


def test_a_template_with_threads_refuses_to_fork(environment, tmp_path):
    (tmp_path / "threaded.py").write_text(
        "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n"
    )
    template = Template("echo", ("threaded",), environment, tmp_path / "log")
    assert "2 threads" in template.refuses()
    template.close()


def test_forked_workers_die_with_their_template(template):
    assert template.refuses() is None
    worker = template.fork("echo", FACTORY)
    worker.receive()
    template._child.kill()
    template.close()
    with pytest.raises(WorkerError):
        for _ in range(1000):
            worker.call("say")
            time.sleep(0.001)


def test_exit_statuses_in_words():
    assert describe_exit(None) == "closed its connection without ending"
    assert describe_exit(3) == "ended by itself with exit code 3"
    assert describe_exit(-signal.SIGTERM) == "was ended by SIGTERM"
