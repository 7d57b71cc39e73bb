"""Answers of two runs: paired where both kept theirs to the same rows, else not, and it is said which."""

import json

import pytest

from optbench.processes.examples import write_predictions
from optbench.quality.paired import tango_interval
from optbench.quality.squad import SQUAD_METRICS, squad_statistics
from optbench.records import ArtifactRecord, DatasetRecord, Estimate, Interval, MetricResult, replace
from optbench.results.compare import compare
from optbench.results.conditions import parse

ROWS = 200
REFERENCES = [number % 2 for number in range(ROWS)]
WRONG = tuple(range(20))
"""Rows that the candidate of A gets wrong."""


def answers(wrong):
    """Answers that are right but for some rows."""
    return [1 - value if row in wrong else value for row, value in enumerate(REFERENCES)]


@pytest.fixture
def write(tmp_path, made_run, write_run):
    """Writes a run and its predictions; `wrong` are the rows that its candidate gets wrong."""

    def make(name, wrong=WRONG, sha256="a" * 64, fingerprint="f", texts=None, kept=None, **changes):
        run = made_run(**changes)
        accuracy = 1 - len(wrong) / ROWS
        metric = MetricResult("accuracy", True, 1.0, accuracy, Estimate(accuracy - 1, Interval(-0.2, 0.0)))
        agreement = Estimate(accuracy, Interval(accuracy - 0.05, accuracy + 0.05))
        candidate = replace(
            run.variants["candidate"], artifact=ArtifactRecord("x", "onnx", sha256, 2_000_000)
        )
        run = replace(
            run,
            variants={**run.variants, "candidate": candidate},
            dataset=DatasetRecord("rows.csv", None, "test", ROWS, ROWS, fingerprint, {}),
            quality=replace(run.quality, rows=ROWS, metrics=[metric], agreement=agreement),
        )
        write_run(tmp_path / name, run)
        sides = {"baseline": REFERENCES, "candidate": answers(wrong if kept is None else kept)}
        rows = [f"text {row}" for row in range(ROWS)] if texts is None else texts
        write_predictions(tmp_path / name / "predictions.parquet", rows, REFERENCES, sides)
        return tmp_path / name

    return make


def measure(a, b, name="accuracy_change", *fail_if):
    (point,) = compare(a, b, [parse(text) for text in fail_if]).points
    return point.measures[name]


def test_the_same_answers_of_other_files_change_nothing_with_the_paired_interval(write):
    found = measure(write("a"), write("b", sha256="b" * 64))
    assert (found.basis, found.rows, found.broken, found.fixed) == ("paired", ROWS, 0, 0)
    assert found.change == Estimate(0.0, tango_interval(0, 0, ROWS))
    assert not found.exact


def test_broken_and_fixed_rows_are_counted_between_both_candidates(write):
    """A errs in rows 0 to 19, B in 1 to 22: three broken, one fixed."""
    a, b = write("a"), write("b", wrong=tuple(range(1, 23)), sha256="b" * 64)
    for name in ("accuracy_change", "agreement_change"):
        found = measure(a, b, name)
        assert (found.basis, found.broken, found.fixed, found.is_share) == ("paired", 3, 1, True)
        assert found.change.value == pytest.approx(-2 / ROWS)
        assert found.change.interval == tango_interval(3, 1, ROWS)


def test_a_run_with_itself_changes_nothing_beyond_doubt(write):
    a = write("a")
    found = compare(a, a, [parse("accuracy_change<-0.0001"), parse("agreement_change<-0.0001")])
    (point,) = found.points
    assert [judged.outcome for judged in point.judgements] == ["pass", "pass"]
    assert found.exit_code == 0
    known = point.measures["accuracy_change"]
    assert (known.basis, known.exact, known.change, known.rows) == ("same model", True, Estimate(0.0), ROWS)


def test_other_settings_of_measuring_leave_the_model_the_same(write, made_run):
    config = made_run().config
    changed = {**config, "measure": {"replicates": 20}, "gates": {"min_speedup": 1.5}}
    assert measure(write("a"), write("b", config=changed)).basis == "same model"


@pytest.mark.parametrize(
    "change",
    [
        {"sha256": "b" * 64},
        {"optbench_version": "1"},
        {"config": {"model": {"path": "other"}}},
        {"environment": {"machine": "m1", "versions": {"torch": "2.0"}}},
    ],
)
def test_whatever_may_change_an_answer_leaves_a_doubt(write, change):
    a, b = write("a"), write("b", **change)
    (point,) = compare(a, b, allow_different=True).points
    assert point.measures["accuracy_change"].basis == "paired"


def test_files_without_a_hash_are_not_known_to_be_the_same(write):
    assert measure(write("a", sha256=""), write("b", sha256="")).basis == "paired"


def test_other_answers_of_the_same_files_are_no_same_model(write):
    assert measure(write("a"), write("b", wrong=tuple(range(1, 21)))).basis == "paired"


def unpaired(found, reason):
    assert (found.basis, found.broken) == ("unpaired", None)
    assert found.basis_reason.startswith(reason)
    return found.change.interval


def test_without_the_answers_of_either_the_differences_to_the_baseline_tell(write):
    a, b = write("a"), write("b")
    (b / "predictions.parquet").unlink()
    interval = unpaired(measure(a, b), "predictions.parquet of B is gone; keep it beside result.json")
    assert interval.low == pytest.approx(-((0.1**2 + 0.1**2) ** 0.5))
    unpaired(measure(b, a), "predictions.parquet of A is gone")


def test_answers_that_cannot_be_read_are_none(write):
    a, b = write("a"), write("b")
    (b / "predictions.parquet").write_bytes(b"PAR1 and no more")
    assert unpaired(measure(a, b), "predictions.parquet of B cannot be read") is not None


def test_answers_to_other_texts_do_not_pair(write):
    b = write("b", texts=[f"other {row}" for row in range(ROWS)])
    assert unpaired(measure(write("a"), b), "predictions.parquet of both must hold the same rows") is not None


def test_answers_that_do_not_give_the_metric_of_their_result_do_not_pair(write):
    b = write("b", wrong=tuple(range(30)), kept=WRONG)
    assert unpaired(measure(write("a"), b), "needs more of each answer than is kept") is not None


def test_other_rows_give_no_interval_and_say_what_would(write):
    found = measure(write("a"), write("b", fingerprint="g"))
    assert unpaired(found, "A and B answered other rows: evaluate the same ones in both") is None


def test_a_metric_that_answers_do_not_tell_stays_unpaired(tmp_path, write, write_run):
    from optbench.records import read_result, write_result

    for name in ("a", "b"):
        place = write(name, sha256=name * 64)
        result = read_result(place)
        top5 = MetricResult("top5", True, 0.99, 0.98, Estimate(-0.01, Interval(-0.03, 0.0)))
        quality = replace(result.quality, metrics=[*result.quality.metrics, top5])
        write_result(place, replace(result, quality=quality))
    (point,) = compare(tmp_path / "a", tmp_path / "b").points
    assert point.measures["accuracy_change"].basis == "paired"
    unpaired(point.measures["top5_change"], "needs more of each answer than is kept")


def test_answers_to_questions_pair_too(tmp_path, write):
    from optbench.records import read_result, write_result

    accepted = [["Paris", "the Paris"] for _ in range(ROWS)]
    for name, wrong in (("a", 10), ("b", 13)):
        place = write(name, sha256=name * 64)
        own = ["Rome" if row < wrong else "Paris" for row in range(ROWS)]
        values = {key: value[:, 0].mean() for key, value in squad_statistics(accepted, own).items()}
        metrics = [
            MetricResult(key, True, 1.0, float(values[key]), Estimate(0.0, Interval(-0.1, 0.1)))
            for key in SQUAD_METRICS
        ]
        result = read_result(place)
        write_result(place, replace(result, quality=replace(result.quality, metrics=metrics)))
        sides = {"baseline": ["Paris"] * ROWS, "candidate": own}
        texts = [json.dumps(row) for row in range(ROWS)]
        write_predictions(place / "predictions.parquet", texts, accepted, sides)
    (point,) = compare(tmp_path / "a", tmp_path / "b").points
    exact, overlap = point.measures["exact_match_change"], point.measures["squad_f1_change"]
    assert (exact.basis, exact.broken, exact.fixed) == ("paired", 3, 0)
    assert exact.change.interval == tango_interval(3, 0, ROWS)
    assert (overlap.basis, overlap.broken) == ("paired", None)
    assert overlap.change.interval is not None
