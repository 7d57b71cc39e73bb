"""A comparison on the terminal and as JUnit XML."""

from xml.etree import ElementTree

import pytest

from optbench.records import Failure, replace
from optbench.reports.comparison import as_text, to_junit
from optbench.results.compare import compare
from optbench.results.conditions import parse

EVIL = "it <died> & \x00\x1b[31m]]>\nbadly"


@pytest.fixture
def found(tmp_path, made_run, write_run):
    """One point slower, one failed."""
    for side, speedup in (("a", 2.0), ("b", 1.8)):
        write_run(tmp_path / side / "0", made_run(batch=1, speedup=speedup), ["batch_size=1"])
        failed = {"status": "failed", "failure": Failure("x", "timing", EVIL)} if side == "b" else {}
        write_run(tmp_path / side / "1", made_run(batch=8, **failed), ["batch_size=8"])
    return compare(tmp_path / "a", tmp_path / "b", [parse("speedup<0.97"), parse("accuracy_change<-0.01")])


def test_the_table_shows_change_finding_and_latencies(found):
    lines = as_text(found).decode().splitlines()
    row = next(line for line in lines if line.startswith("batch_size=1 "))
    assert "0.900x (0.891 to 0.909)" in row
    assert "slower (p" in row
    assert "7.50 ms → 8.33 ms" in row
    assert "2.00 MB → 2.00 MB" in row
    assert "speedup<0.97 at batch_size=1: fail, found 0.900x (0.891x to 0.909x)" in lines
    assert "accuracy_change<-0.01 at batch_size=1: inconclusive, found +0.00 pt (" in as_text(found).decode()
    assert "batch_size=8: failed in B: it <died> & [31m]]> badly" in lines


def test_junit_has_a_case_for_every_condition_and_an_error_for_a_failed_point(found):
    suite = ElementTree.fromstring(to_junit(found)).find("testsuite")
    counts = {key: suite.get(key) for key in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "3", "failures": "2", "errors": "1", "skipped": "0"}
    cases = {(case.get("classname"), case.get("name")): [part.tag for part in case] for case in suite}
    assert cases == {
        ("batch_size=1", "speedup<0.97"): ["failure"],
        ("batch_size=1", "accuracy_change<-0.01"): ["failure"],
        ("batch_size=8", "speedup"): ["error"],
    }
    assert suite.find("testcase/error").get("message") == "it <died> & [31m]]> badly"


def test_junit_tells_an_undecided_condition_from_one_that_fails(found):
    """A test pane is red wherever the command ends with another code than 0."""
    suite = ElementTree.fromstring(to_junit(found)).find("testsuite")
    failures = {case.get("name"): case.find("failure") for case in suite if case.find("failure") is not None}
    assert {name: part.get("type") for name, part in failures.items()} == {
        "speedup<0.97": "fail",
        "accuracy_change<-0.01": "inconclusive",
    }
    told = failures["accuracy_change<-0.01"].get("message")
    assert told.startswith("undecided: accuracy_change<-0.01 at batch_size=1: inconclusive, found +0.00 pt (")
    assert "rows would settle it, 200 here" in told


def test_changes_of_shares_are_told_in_points_wherever_they_stand(found):
    lines = as_text(found).decode().splitlines()
    row = next(line for line in lines if line.startswith("batch_size=1 "))
    assert row.rstrip().endswith("+0.00 pt (-1.80 pt to +1.80 pt)")
    assert "accuracy_change<-0.01 at batch_size=1: inconclusive, found +0.00 pt (-1.80 pt to +1.80 pt); " in (
        as_text(found).decode()
    )


def test_a_comparison_says_how_answers_were_compared_and_why_speed_was_not(tmp_path, made_run, write_run):
    for side, replicates in (("c", 10), ("d", 5)):
        for number in range(5):
            run = made_run(batch=number + 1, replicates=replicates)
            write_run(tmp_path / side / str(number), run, [f"batch_size={number + 1}"])
    lines = as_text(compare(tmp_path / "c", tmp_path / "d")).decode().splitlines()
    assert "not tested: needs measure.replicates=10 in both runs (10 and 5 here)" in lines
    assert (
        "accuracy, agreement: unpaired, from both differences to the baseline (predictions.parquet of A is "
        "gone; keep it beside result.json to have answers paired)"
    ) in lines
    assert sum(line.startswith("not tested") for line in lines) == 1


def test_other_rows_are_said_to_give_no_interval(tmp_path, made_run, write_run):
    run = made_run()
    write_run(tmp_path / "g", run)
    write_run(tmp_path / "h", replace(run, quality=replace(run.quality, rows=100)))
    lines = as_text(compare(tmp_path / "g", tmp_path / "h")).decode().splitlines()
    assert (
        "accuracy, agreement: no interval: A and B answered other rows: evaluate the same ones in both "
        "(dataset, seed, quality.max_eval_samples)"
    ) in lines


def test_a_remark_that_holds_at_some_points_only_names_them(tmp_path, made_run, write_run):
    for side in "ef":
        for number in range(6):
            few = {"replicates": 5} if number > 0 else {}
            run = made_run(batch=number + 1, **few)
            write_run(tmp_path / side / str(number), run, [f"batch_size={number + 1}"])
    text = as_text(compare(tmp_path / "e", tmp_path / "f")).decode()
    assert "(5 here); at batch_size=2, batch_size=3, batch_size=4 and 2 more" in text


def test_without_conditions_every_point_is_a_case(tmp_path, found):
    plain = compare(tmp_path / "a", tmp_path / "b")
    suite = ElementTree.fromstring(to_junit(plain)).find("testsuite")
    assert [case.get("name") for case in suite] == ["speedup", "speedup"]
    assert suite.find("testcase/system-out").text.startswith("0.900x (0.891 to 0.909): slower (p")
