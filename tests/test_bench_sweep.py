"""The arithmetic of the script that tells what a sweep costs."""

from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"


@pytest.fixture
def bench_sweep(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import bench_sweep

    return bench_sweep


@pytest.fixture
def summary(bench_sweep):
    """Two points: the first prepares for 20 s, both measure, and 4 s lie in no stage."""
    first = {"model": 0.5, "rows": 2.0, "preparation": 20.0, "cold start of the baseline": 6.0}
    first |= {"evaluation of the baseline": 4.0, "quality": 1.0, "timing": 30.0}
    second = {"model": 0.5, "rows": 1.0, "preparation": 0.5, "start of the candidate": 1.0, "timing": 29.0}
    costs = [bench_sweep.cost_of("a", first), bench_sweep.cost_of("b", second)]
    return bench_sweep.Summary(99.5, costs)


def test_each_stage_is_measuring_preparation_or_overhead(summary):
    one, two = summary.costs
    assert (one.measuring, one.preparation, one.overhead) == (40.0, 20.0, 3.5)
    assert one.other == {"model": 0.5, "rows": 2.0, "quality": 1.0}
    assert (two.measuring, two.preparation, two.overhead) == (30.0, 0.5, 1.5)


def test_a_sweep_is_held_against_its_measuring_and_one_preparation(summary):
    assert summary.measuring == 70.0
    assert summary.preparation == 20.0
    assert summary.repeated_preparation == 0.5
    assert summary.outside == pytest.approx(99.5 - 63.5 - 32.0)
    assert summary.ratio == pytest.approx(99.5 / 90)
    assert summary.seconds_per_point == pytest.approx(9.5 / 2)


def test_the_report_names_stages_and_goals(bench_sweep, summary):
    text = "\n".join(bench_sweep.lines(summary))
    assert "1.11 x (measuring 70.0 s + one preparation 20.0 s)   goal: 1.2   reached" in text
    assert "a point adds 4.8 s to its measuring   goal: below 5 s   reached" in text
    assert "3.0 s  rows" in text
    dear = bench_sweep.Summary(200.0, summary.costs)
    assert "\n".join(bench_sweep.lines(dear)).count("MISSED") == 2


def test_points_are_read_in_their_order(bench_sweep, tmp_path, made_run, write_run):
    for number in (10, 9):
        write_run(tmp_path / str(number), made_run(batch=number))
    assert list(bench_sweep.results_of(tmp_path)) == [
        "9: onnxruntime dynamic 9x32",
        "10: onnxruntime dynamic 10x32",
    ]
