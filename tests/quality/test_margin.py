"""Non-inferiority at the margin, metric by metric, and in words."""

import pytest

from optbench.judgement.verdict import at_margin
from optbench.quality.evaluation import Answers, Labelled, compare_variants
from optbench.quality.margin import with_outcomes
from optbench.quality.metrics import resolve_metric
from optbench.quality.paired import rows_needed
from optbench.records import Estimate, Interval, MetricResult, NonInferiority, QualityResult
from optbench.reports.margins import margin_lines


def compared(rows, broken, fixed, metrics=("accuracy", "f1_macro"), comparisons=1):
    """Labels alternate; the first rows are broken, the next ones fixed by the candidate."""
    references = [number % 2 for number in range(rows)]
    baseline = [1 - one if broken <= row < broken + fixed else one for row, one in enumerate(references)]
    candidate = [1 - one if row < broken else one for row, one in enumerate(references)]
    labelled = Labelled("classification", references, [""] * rows, {}, {})
    chosen = [resolve_metric(name) for name in metrics]
    return compare_variants(labelled, Answers(baseline), Answers(candidate), chosen, comparisons=comparisons)


@pytest.mark.parametrize(
    ("rows", "broken", "fixed", "outcome", "needed"),
    [
        (3000, 20, 18, "not worse", None),
        (3000, 200, 20, "worse", None),
        (300, 8, 7, "cannot tell", rows_needed(-1 / 300, 15 / 300 - 1 / 300**2, 0.01)),
    ],
)
def test_accuracy_is_judged_by_the_rows_that_changed(rows, broken, fixed, outcome, needed):
    judged = with_outcomes(compared(rows, broken, fixed), 0.01).metrics
    assert judged[0].non_inferiority == NonInferiority(0.01, outcome, needed)
    assert judged[1].name == "f1_macro"
    assert judged[1].non_inferiority.outcome == outcome


def test_rows_for_other_metrics_come_from_their_interval():
    """F1 of balanced classes moves as accuracy does, so about as many rows would tell."""
    accuracy, f1 = with_outcomes(compared(600, 20, 19), 0.01).metrics
    assert f1.non_inferiority.rows_needed == pytest.approx(accuracy.non_inferiority.rows_needed, rel=0.15)


def test_a_loss_seen_as_large_as_the_margin_says_that_more_rows_would_tell_but_not_how_many():
    found = with_outcomes(compared(200, 6, 3), 0.01)
    assert found.metrics[0].non_inferiority == NonInferiority(0.01, "cannot tell", None)
    assert margin_lines(found)[0].endswith(
        "; more rows, or another margin, would tell: how many cannot be computed, as the loss seen lies "
        "beyond the margin"
    )


def test_more_rows_pass_where_few_showed_a_loss_as_large_as_the_margin():
    few, many = (
        with_outcomes(compared(*counts), 0.01).metrics[0] for counts in ((600, 14, 8), (3268, 47, 40))
    )
    assert few.non_inferiority == NonInferiority(0.01, "cannot tell", None)
    assert many.non_inferiority.outcome == "not worse"


def test_a_stricter_level_needs_more_rows():
    one, many = (with_outcomes(compared(300, 8, 7, comparisons=n), 0.01).metrics[0] for n in (1, 4))
    assert many.gate_interval.level == pytest.approx(0.975)
    assert many.non_inferiority.rows_needed > one.non_inferiority.rows_needed
    assert rows_needed(0, 0.05, 0.01, 0.975) > rows_needed(0, 0.05, 0.01)


def test_no_margin_and_metrics_in_other_units_have_no_outcome():
    result = compared(300, 3, 3)
    assert with_outcomes(result, None) is result
    interval = Interval(-0.1, 0.1, 0.9)
    perplexity = MetricResult(
        "perplexity", False, 9.0, 9.1, Estimate(0.1, interval), gate_interval=interval, is_share=False
    )
    judged = with_outcomes(QualityResult(300, [perplexity], None), 0.01)
    assert judged.metrics[0].non_inferiority is None
    assert margin_lines(judged) == margin_lines(None) == []


def test_of_an_error_rate_more_is_worse():
    interval = Interval(0.02, 0.04, 0.9)
    rate = MetricResult("error", False, 0.1, 0.13, Estimate(0.03, interval), gate_interval=interval)
    assert with_outcomes(QualityResult(300, [rate], None), 0.01).metrics[0].non_inferiority.outcome == "worse"


def test_each_outcome_is_a_line_with_its_interval_and_what_would_tell():
    lines = [
        margin_lines(with_outcomes(compared(*counts), 0.01))[0]
        for counts in ((3000, 20, 18), (3000, 200, 20), (300, 8, 7))
    ]
    assert lines[0].startswith("accuracy: not worse by 1.00 pt or more (90% interval -0.4")
    assert lines[1].startswith("accuracy: worse by more than 1.00 pt (90% interval -")
    assert lines[2].startswith("accuracy: cannot tell whether it is worse by 1.00 pt (90% interval ")
    needed = with_outcomes(compared(300, 8, 7), 0.01).metrics[0].non_inferiority.rows_needed
    assert lines[2].endswith(f"about {needed - 300:,} more rows would tell ({needed:,} in all)")


def test_the_sentence_of_the_run_says_the_outcome_too():
    said = [
        at_margin(with_outcomes(compared(*counts), 0.01).metrics[0])
        for counts in ((3000, 20, 18), (300, 8, 7))
    ]
    assert said == [
        ", not worse at a margin of 1.00 pt",
        ", which leaves open whether it is worse by 1.00 pt",
    ]
    assert at_margin(compared(300, 8, 7).metrics[0]) == ""
