"""The acceptance script: its judgement of figures, and that it runs."""

import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"


@pytest.fixture
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))


@pytest.fixture
def figures(scripts):
    from acceptance import figures

    return figures


@pytest.fixture
def run(scripts, monkeypatch):
    import check_instrument

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["check_instrument.py", *arguments])
        return check_instrument.main()

    return run


@pytest.mark.parametrize(("share", "passed"), [(0.95, True), (0.92, True), (0.9195, False)])
def test_with_enough_runs_a_threshold_is_taken_at_its_word(figures, share, passed):
    assert figures.share_figure("c", "coverage", share, 2000, at_least=0.92).passed is passed


@pytest.mark.parametrize(("share", "passed"), [(0.08, True), (0.12, None), (0.13, False)])
def test_with_few_runs_a_breach_within_chance_decides_nothing(figures, share, passed):
    # 2.33 standard errors of 8% in 200 runs are 4.5 points
    figure = figures.share_figure("c", "exclude 1", share, 200, at_most=0.08)
    assert figure.passed is passed
    assert ("undecided" in figure.note) is (passed is None)


def test_a_figure_without_a_threshold_is_an_error(figures):
    with pytest.raises(ValueError, match="needs at_least or at_most"):
        figures.share_figure("c", "coverage", 0.9, 200)


def test_a_run_depends_on_seed_cell_and_number(figures):
    states = [
        figures.Options(200, seed, "").random_state(cell, run)
        for seed in (1, 2)
        for cell in ("a", "b")
        for run in (0, 1)
    ]
    assert len({tuple(state) for state in states}) == 8


def test_a_procedure_runs_by_name(run, capsys):
    assert run("stalled_throughput") == 0
    printed = capsys.readouterr().out
    assert "stall of 1 s, candidate" in printed
    assert printed.endswith("no figure fails\n")


def test_cells_are_chosen_by_a_part_of_their_name(run, capsys):
    run("false_positives", "coverage", "--runs", "2", "--cell", "unequal tails")
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    assert len(lines) == 4
    assert all("unequal tails" in line for line in lines)


def test_a_failing_figure_ends_it_with_1(run, scripts, monkeypatch, capsys):
    from acceptance import timing

    monkeypatch.setattr(timing, "MOST_THROUGHPUT_ERROR", -1.0)
    assert run("stalled_throughput") == 1
    assert "2 of 2 figures fail" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["no_such_procedure"], ["power", "--cell", "no such cell"]])
def test_asking_for_nothing_that_exists_is_a_usage_error(run, arguments):
    with pytest.raises(SystemExit) as caught:
        run(*arguments)
    assert caught.value.code == 2
