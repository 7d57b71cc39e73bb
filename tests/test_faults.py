"""The fault matrix: every case of scripts/check_faults.py with its real processes, and how it judges."""

import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"
sys.path.insert(0, str(SCRIPTS))
try:
    import check_faults
    from faults.matrix import CASES, Case, judge
finally:
    sys.path.remove(str(SCRIPTS))

linux = pytest.mark.skipif(sys.platform != "linux", reason="forks, signals and mounts as on Linux")


EVERY_TIME = (
    "worker crashed (SIGSEGV)",
    "worker out of memory (RLIMIT_AS)",
    "run.timeout_seconds while a worker hangs",
    "run.timeout_seconds while the coordinator hangs",
    "Ctrl-C while preparing the models",
    "coordinator killed in a sweep, then a larger grid with resume=",
    "disk full in the output folder",
    "truncated ONNX artifact",
)
"""Cases that every change is held against; the others are for a release."""


def as_parameter(case):
    return pytest.param(case, id=case.name, marks=[] if case.name in EVERY_TIME else [pytest.mark.release])


@linux
@pytest.mark.slow
@pytest.mark.parametrize("case", [as_parameter(case) for case in CASES])
def test_nothing_is_lost_left_or_unexplained(case, tmp_path):
    row = judge(case, tmp_path)
    if row.reason is not None:
        pytest.skip(row.reason)
    assert row.problems == []


def judged(tmp_path, steps, expected=0):
    return judge(Case("a fault", "group", expected, steps), tmp_path)


@linux
def test_a_case_that_ends_otherwise_or_leaves_something_fails(tmp_path):
    def steps(bench):
        (bench.place / ".work").mkdir()
        bench.expect(False, "a figure is lost")
        raise AssertionError("its moment did not come")

    row = judged(tmp_path, steps)
    assert row.verdict == "FAIL"
    assert row.problems == [
        "a figure is lost",
        "its moment did not come",
        ".work is left",
        "exit code None instead of 0",
    ]


@linux
def test_orphans_and_held_locks_are_found(tmp_path, monkeypatch):
    from faults import bench as benches

    monkeypatch.setattr(benches, "marked", lambda mark: [4711])
    monkeypatch.setattr(benches.time, "monotonic", iter(range(0, 10_000, 100)).__next__)
    from filelock import FileLock

    with FileLock(tmp_path / "a.lock"):
        row = judged(tmp_path, lambda bench: None)
    assert row.orphans == 1
    assert "1 processes still run: [4711]" in row.problems
    assert "a.lock is still held" in row.problems


def test_a_fault_that_cannot_be_shown_here_is_skipped_with_its_reason(tmp_path):
    from faults.bench import Unfit

    def steps(bench):
        raise Unfit("nothing can be mounted here")

    row = judged(tmp_path, steps)
    assert (row.verdict, row.reason) == ("SKIP", "nothing can be mounted here")
    assert check_faults.line(row) == "| a fault | 0 | - | nothing can be mounted here | 0 | SKIP |"


def test_cases_are_chosen_by_group_or_by_a_part_of_their_name():
    assert check_faults.chosen([]) == CASES
    assert {case.group for case in check_faults.chosen(["timeout"])} == {"timeout", "worker"}
    assert [case.name for case in check_faults.chosen(["sigsegv"])] == ["worker crashed (SIGSEGV)"]
    assert check_faults.chosen(["no such fault"]) == []
