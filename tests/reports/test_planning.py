"""A plan in words: limits apart from guesses, few digits, refusals with their reason."""

from pathlib import Path

import pytest

from optbench.planning.lookup import Step
from optbench.planning.plan import Cost, Disk, Plan, Refusal
from optbench.reports.planning import rounded, show

STEPS = [
    Step("export", "mini", "text-classification", "found", 90_000_000, 0.0),
    Step("quantize", "mini", "static", "likely", 30_000_000, 0.0),
    Step("quantize", "mini", "dynamic", "made", 90_000_000, 6.2),
]


@pytest.fixture
def made():
    def make(**changes):
        parts = {
            "points": 6,
            "examined": 6,
            "axes": {"recipe": 3, "batch_size": 2},
            "is_search": False,
            "taken_over": 0,
            "refusals": [],
            "costs": [Cost("timing", 360.0, True, "budgets"), Cost("starting", 40.0, False, "assumed")],
            "expected_timing_seconds": None,
            "steps": STEPS,
            "disk": Disk(Path("/cache/artifacts"), 1_000_000, 90_000_000, 50_000_000_000),
            "install": [],
            "unknown": [],
        }
        return Plan(**{**parts, **changes})

    return make


@pytest.fixture
def shown(made, capsys):
    def show_it(**changes):
        show(made(**changes))
        return " ".join(capsys.readouterr().out.split())

    return show_it


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (89.4, "89 s"), (90, "2 min"), (3601, "60 min"), (5400, "1.5 h"), (9000, "2.5 h")],
)
def test_times_are_rounded_to_what_a_plan_can_know(seconds, text):
    assert rounded(seconds) == text


def test_a_limit_is_never_rounded_down(shown):
    assert "timing at most 4 min" in shown(costs=[Cost("timing", 181.0, True, "budgets")])


def test_limits_guesses_states_and_disk(shown):
    text = shown()
    assert text.startswith("Plan: 6 points (3 recipe x 2 batch_size); nothing is run.")
    assert "timing at most 6 min budgets starting about 40 s assumed in all: about 7 min" in text
    assert "export mini, text-classification in the cache, 90.0 MB" in text
    assert "in the cache, if the same rows are drawn to calibrate, 30.0 MB" in text
    assert "to be made: at most 90.0 MB, about 6 s (as earlier ones)" in text
    assert "at most 90.0 MB more in /cache/artifacts, which holds 1.00 MB; 50.0 GB are free" in text
    assert "NOT ENOUGH" not in text


def test_a_shorter_time_is_told_where_it_was_measured_before(shown):
    assert "in all: about 7 min; about 2 min if the timing ends as soon as before" in shown(
        expected_timing_seconds=60.0
    )


def test_a_disk_that_is_too_small_is_told(shown):
    assert "NOT ENOUGH" in shown(disk=Disk(Path("/c"), 0, 100, 99))


def test_what_gives_no_answer_is_told_with_the_points(shown):
    refusals = [
        Refusal("skipped", "no\nsuch thing", ["a=1", "a=2", "a=3", "a=4"]),
        Refusal("failed", "lacks", ["b=1"]),
    ]
    text = shown(refusals=refusals, install=["pip install x"], unknown=["how many rows"], taken_over=2)
    assert "4 points would be skipped (a=1, a=2, a=3 and 1 more): no such thing" in text
    assert "1 point would fail (b=1): lacks" in text
    assert "To have what is missing: pip install x" in text
    assert "Not known: how many rows" in text
    assert "2 points taken over" in text


def test_nothing_can_run_if_all_points_are_refused(made):
    assert made().can_run
    assert not made(examined=1, refusals=[Refusal("failed", "x", ["a"])]).can_run


def test_what_is_not_known_is_left_out_of_the_sum_and_named(shown):
    text = shown(costs=[Cost("timing", 60.0, True, "budgets"), Cost("evaluation", None, False, "rows")])
    assert "evaluation not known rows in all: about 60 s and the evaluation" in text
