"""Fresh workers on demand: forked where that is safe, started anew where it is not."""

import os
import sys
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest

from optbench.backends.fake import Fake
from optbench.components import Artifact, LoadOptions, WaitPolicy
from optbench.config import Start
from optbench.errors import WorkerError
from optbench.processes import crew
from optbench.processes.crew import FACTORY, Crew, Templates
from optbench.processes.worker import Assignment
from optbench.rows.ragged import save_table


class StubTemplate:
    """Stands in for a template process."""

    made: ClassVar[list] = []
    reason = None

    def __init__(self, name, imports, environment, log):
        self.name, self.imports, self.environment = name, imports, dict(environment)
        self.forked, self.closed = [], False
        StubTemplate.made.append(self)

    def refuses(self):
        return StubTemplate.reason

    def fork(self, name, factory, *args):
        self.forked.append(name)
        return StubChild(f"fork of the {self.name}'s template", name, factory, *args)

    def has_ended(self):
        return self.closed

    def close(self):
        self.closed = True


class StubChild:
    """Stands in for a worker process: answers `load` with what it was made from."""

    made: ClassVar[list] = []
    fails = False

    def __init__(self, origin, name, factory, assignment):
        self.origin, self.name, self.factory, self.assignment = origin, name, factory, assignment
        self.closed = False
        StubChild.made.append(self)

    def receive(self, timeout=None):
        if StubChild.fails:
            raise WorkerError("the worker did not come up")

    def call(self, method, timeout=None):
        return (self.origin, self.name, self.assignment)

    def close(self):
        self.closed = True


@dataclass
class Unforkable(Fake):
    def may_fork(self):
        return False


@pytest.fixture
def stubs(monkeypatch):
    def start(name, factory, *args, environment, log):
        return StubChild(f"new interpreter with {environment}", name, factory, *args)

    monkeypatch.setattr(crew, "Template", StubTemplate)
    monkeypatch.setattr(crew, "start", start)
    for attribute, value in (("made", []), ("reason", None)):
        monkeypatch.setattr(StubTemplate, attribute, value)
    for attribute, value in (("made", []), ("fails", False)):
        monkeypatch.setattr(StubChild, attribute, value)


@pytest.fixture
def assignments(tmp_path):
    rows = [{"input_ids": np.array([[1, 2]])}]
    save_table(tmp_path / "feeds.npz", rows)
    artifact = Artifact(tmp_path, "transformers", "0" * 64, 10)
    options = LoadOptions(2, WaitPolicy.runtime, "default", "AutoModel")
    usual = Assignment(Fake(call_seconds=1e-5), artifact, options, tmp_path / "feeds.npz", {"A": "1"})
    other = replace(usual, backend=Fake(call_seconds=2e-5))
    return {"baseline": usual, "candidate": other}


def crew_of(assignments, tmp_path, templates=True):
    log = tmp_path / "log"
    return Crew(assignments, Templates(log) if templates else None, log, 60.0)


def test_variants_with_the_same_imports_and_environment_share_a_template(stubs, tmp_path):
    templates = Templates(tmp_path / "log")
    first = templates.get("baseline", ("numpy",), {"A": "1", "B": "2"})
    assert templates.get("candidate", ("numpy",), {"B": "2", "A": "1"}) is first
    assert templates.get("candidate", ("numpy", "json"), {"A": "1", "B": "2"}) is not first
    assert templates.get("candidate", ("numpy",), {"A": "1"}) is not first
    assert len(StubTemplate.made) == 3


def test_closing_ends_every_template_and_a_later_one_starts_anew(stubs, tmp_path):
    templates = Templates(tmp_path / "log")
    templates.get("baseline", ("numpy",), {})
    templates.get("candidate", ("json",), {})
    templates.close()
    assert [template.closed for template in StubTemplate.made] == [True, True]
    templates.get("baseline", ("numpy",), {})
    assert len(StubTemplate.made) == 3


def test_a_template_that_died_is_replaced(stubs, tmp_path):
    templates = Templates(tmp_path / "log")
    first = templates.get("baseline", ("numpy",), {})
    first.closed = True
    assert templates.get("baseline", ("numpy",), {}) is not first


def test_workers_are_forked_from_their_template(stubs, assignments, tmp_path):
    made = crew_of(assignments, tmp_path)
    worker = made.fresh("candidate")
    assert worker.report == ("fork of the candidate's template", "candidate", assignments["candidate"])
    assert worker.child.factory == FACTORY
    assert StubTemplate.made[0].imports == ("numpy",)
    assert StubTemplate.made[0].environment == {"A": "1"}
    assert (made.start, made.fallbacks) == (Start.fork, {})


def test_without_templates_workers_are_started_anew(stubs, assignments, tmp_path):
    made = crew_of(assignments, tmp_path, templates=False)
    assert made.fresh("baseline").report[0] == "new interpreter with {'A': '1'}"
    assert (made.start, made.fallbacks) == (Start.spawn, {})
    assert StubTemplate.made == []


def test_a_template_that_refuses_is_told_with_its_reason(stubs, assignments, tmp_path, monkeypatch):
    monkeypatch.setattr(StubTemplate, "reason", "the candidate template runs 2 threads")
    made = crew_of(assignments, tmp_path)
    assert made.fresh("candidate").report[0].startswith("new interpreter")
    assert made.fallbacks == {"candidate": "the candidate template runs 2 threads"}
    assert StubTemplate.made[0].forked == []


def test_a_backend_that_must_not_fork_is_started_anew_without_a_template(stubs, assignments, tmp_path):
    assignments["candidate"] = replace(assignments["candidate"], backend=Unforkable())
    made = crew_of(assignments, tmp_path)
    assert made.fresh("candidate").report[0].startswith("new interpreter")
    assert StubTemplate.made == []
    assert made.fallbacks == {}


def test_a_cold_start_is_never_forked(stubs, assignments, tmp_path):
    assert crew_of(assignments, tmp_path).spawned("baseline").report[0].startswith("new interpreter")
    assert StubTemplate.made == []


def test_a_worker_may_have_threads_of_its_own(stubs, assignments, tmp_path):
    made = crew_of(assignments, tmp_path)
    _, _, given = made.fresh("baseline", threads=1).report
    assert given.options.threads == 1
    assert given.options == replace(assignments["baseline"].options, threads=1)
    _, _, unchanged = made.fresh("baseline").report
    assert unchanged.options.threads == 2


def test_a_worker_that_does_not_come_up_is_closed(stubs, assignments, tmp_path, monkeypatch):
    monkeypatch.setattr(StubChild, "fails", True)
    with pytest.raises(WorkerError, match="did not come up"):
        crew_of(assignments, tmp_path).fresh("baseline")
    assert [child.closed for child in StubChild.made] == [True]


@pytest.mark.skipif(sys.platform != "linux", reason="forks as on Linux")
def test_real_workers_are_separate_processes_that_end_when_closed(assignments, tmp_path):
    made = crew_of(assignments, tmp_path)
    workers = [made.fresh("baseline"), made.fresh("baseline", threads=1), made.spawned("candidate")]
    try:
        assert [worker.report.settings["threads"] for worker in workers] == [2, 1, 2]
        assert len({os.getpid(), *(worker.child.pid for worker in workers)}) == 4
        assert len(workers[0].time_block(0, 1, 2).nanoseconds) == 3
        assert made.fallbacks == {}
    finally:
        for worker in workers:
            worker.close()
        made._templates.close()
    for worker in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(worker.child.pid, 0)


def test_the_process_that_owns_the_rows_is_kept_while_the_same_is_asked_for(tmp_path):
    class Reader:
        def __init__(self, log):
            self.log, self.ended = log, False

        def has_ended(self):
            return self.ended

        def close(self):
            self.ended = True

    templates = Templates(tmp_path / "log")
    first = templates.reader("a", Reader)
    assert first.log == tmp_path / "log"
    assert templates.reader("a", Reader) is first
    second = templates.reader("b", Reader)
    assert first.ended
    second.ended = True
    third = templates.reader("b", Reader)
    assert third is not second
    templates.close()
    templates.close()
    assert third.ended
