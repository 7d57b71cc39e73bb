"""What a search makes of its points, on points written by hand."""

import pytest

from optbench.records import Estimate, Interval, TunedPoint, replace
from optbench.search import tuning


def point(name="a", speedup=2.0, loss=0.0, outcome="cannot tell", stage="screen", agreement=0.97, **choices):
    interval = Interval(0.95 * speedup, 1.05 * speedup) if speedup else None
    return TunedPoint(
        name=name,
        stage=stage,
        choices=choices,
        directory=f"out/{name}",
        status="ok" if speedup else "skipped",
        speedup=Estimate(speedup, interval) if speedup else None,
        quality_loss=loss,
        agreement=agreement,
        outcome=outcome,
    )


def names(points):
    return [one.name for one in points]


def test_the_fastest_that_may_be_good_enough_go_on():
    points = [
        point("slow", 1.5),
        point("fast", 3.0, outcome="not worse"),
        point("bad", 4.0, outcome="worse"),
        point("broken", 5.0, agreement=0.3),
        point("skipped", None),
        point("middle", 2.0),
    ]
    assert names(tuning.finalists(points, 2)) == ["fast", "middle"]


def test_only_recipes_faster_than_all_that_go_on_are_mended():
    good, fast, slow = (
        point("good", 2.0),
        point("fast", 3.0, outcome="worse"),
        point("slow", 1.5, outcome="worse"),
    )
    assert names(tuning.to_repair([good, fast, slow], 5)) == ["fast"]
    assert names(tuning.to_repair([good, fast, slow], 0)) == []
    assert names(tuning.to_repair([point("slower than the baseline", 0.8, outcome="worse")], 1)) == []


def test_the_front_holds_what_nothing_beats_in_speed_and_quality_at_once():
    points = [
        point("a", 3.0, loss=0.02),
        point("b", 2.0, loss=0.0),
        point("beaten", 2.5, loss=0.03),
        point("equal loss, slower", 1.9, loss=0.0),
        point("unknown", None),
    ]
    assert names(tuning.pareto_front(points)) == ["a", "b"]


def test_a_choice_is_weighed_over_points_that_are_equal_otherwise():
    points = [
        point("1", 2.0, 0.00, recipe="x", threads="1"),
        point("2", 3.0, 0.01, recipe="x", threads="2"),
        point("3", 4.0, 0.00, recipe="y", threads="1"),
        point("4", 4.0, 0.02, recipe="y", threads="2"),
        point("5", 9.0, 0.00, recipe="z", threads="3"),
    ]
    found = {(one.axis, one.value): one for one in tuning.bought(points)}
    two = found["threads", "2"]
    assert (two.against, two.pairs) == ("1", 2)
    assert two.speedup_ratio == pytest.approx((3 / 2 * 4 / 4) ** 0.5)
    assert two.quality_change == pytest.approx(0.015)
    assert ("threads", "3") not in found


def test_the_latest_measurement_of_a_variant_counts():
    screen, final = point("a", 2.0), point("a", 1.8, stage="final")
    assert tuning.latest([screen, point("b"), final]) == [final, point("b")]


def test_only_what_was_measured_in_full_and_is_not_worse_can_win():
    screen = point("screened", 9.0, outcome="not worse")
    unsure = point("unsure", 5.0, stage="final")
    good = point("good", 2.0, stage="final", outcome="not worse")
    assert tuning.winner([screen, unsure, good]) == good
    assert tuning.winner([screen, unsure]) is None


def test_the_sentence_says_what_was_found():
    good = point("good", 2.0, stage="final", outcome="not worse")
    assert tuning.sentence([good], 0.01) == (
        "good is the fastest that is not worse by more than 0.01: 2.00x as fast as the baseline "
        "(95% interval 1.90x to 2.10x)."
    )
    level = replace(good, speedup=Estimate(1.02, Interval(0.99, 1.05)))
    assert tuning.sentence([level], 0.01).startswith("Nothing that is not worse is shown to be faster")
    assert "more rows are needed" in tuning.sentence([point(stage="final")], 0.01)
    assert tuning.sentence([point("x", outcome="worse")], 0.01).startswith("No variant was found")
