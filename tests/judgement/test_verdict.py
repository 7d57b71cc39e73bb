"""The answer in one sentence: as strong as its interval, never stronger."""

import math

import pytest

from optbench.config import GatesConfig
from optbench.judgement.verdict import candidate_name, change, judge, quality, size, speed
from optbench.records import (
    ArtifactRecord,
    Comparison,
    Estimate,
    Interval,
    MetricResult,
    NonInferiority,
    QualityResult,
    RunResult,
    Signal,
    Trust,
    VariantResult,
    replace,
)

NO_GATES = GatesConfig()


def variant(backend="onnxruntime", quantization="dynamic", sha256="b"):
    artifact = ArtifactRecord("somewhere", "onnx", sha256, 100)
    return VariantResult(backend, quantization, "default", 2, artifact=artifact)


def result(**changes):
    parts = {
        "optbench_version": "0",
        "status": "ok",
        "started_at": "2025-01-01T00:00:00+00:00",
        "command": [],
        "config": {},
        "config_hash": "",
        "environment": {},
        "variants": {"baseline": variant("pytorch", "none", "a"), "candidate": variant()},
    }
    return RunResult(**{**parts, **changes})


def compared(value, low=None, high=None, **changes):
    interval = None if low is None else Interval(low, high)
    comparison = Comparison(Estimate(value, interval), Estimate(value), **changes)
    return {"comparisons": {"candidate": comparison}}


def measured(metrics=(), agreement=None):
    share = None if agreement is None else Estimate(agreement)
    return {"quality": QualityResult(100, list(metrics), share)}


def metric(name="accuracy", value=-0.004, low=None, high=None):
    interval = None if low is None else Interval(low, high)
    is_share = name not in ("mse", "mae")
    return MetricResult(name, True, 0.9, 0.9 + value, Estimate(value, interval), is_share=is_share)


def test_faster():
    said = speed(result(**compared(2.5, 2.4, 2.6)))
    assert "onnxruntime with dynamic quantization" in said
    assert "is 2.50x faster than the baseline (95% interval 2.40x to 2.60x)" in said


def test_slower_is_told_the_other_way_round():
    said = speed(result(**compared(0.5, 0.4, 0.8)))
    assert "is 2.00x slower than the baseline (95% interval 1.25x to 2.50x)" in said


def shows_no_difference(said):
    return "no difference in speed shown" in said and "faster" not in said and "slower" not in said


@pytest.mark.parametrize(
    ("low", "high", "bounds"),
    [(0.98, 1.03, "0.980x to 1.03x"), (1.0, 1.05, "1.00x to 1.05x"), (0.9, 1.0, "0.900x to 1.00x")],
)
def test_an_interval_that_holds_one_shows_no_difference(low, high, bounds):
    said = speed(result(**compared(1.01, low, high)))
    assert shows_no_difference(said)
    assert bounds in said


def test_a_quick_look_has_no_interval_and_says_so():
    said = speed(result(**compared(2.5)))
    assert "ran 2.50x as fast in a quick look, which has no interval" in said


def test_a_difference_within_the_machines_noise_is_none():
    said = speed(result(**compared(1.02, 1.01, 1.03, noise_floor=0.03)))
    assert shows_no_difference(said)
    assert "1.02x" in said
    assert "3.0%" in said


def test_the_noise_floor_holds_for_slower_candidates_too():
    assert shows_no_difference(speed(result(**compared(1 / 1.02, 0.97, 0.99, noise_floor=0.03))))
    assert "slower" in speed(result(**compared(1 / 1.04, 0.95, 0.97, noise_floor=0.03)))


def test_a_difference_above_the_machines_noise_is_told():
    assert "is 1.05x faster" in speed(result(**compared(1.05, 1.04, 1.06, noise_floor=0.03)))


def test_a_variant_against_itself_tells_the_noise():
    same = {"variants": {"baseline": variant(), "candidate": variant()}}
    said = speed(result(**same, **compared(1.01, 0.99, 1.03, noise_floor=0.03)))
    assert "compared with itself, " in said
    assert "showed 0.990x to 1.03x" in said
    assert "a difference below 3.0% is noise" in said


def test_a_run_without_timing_says_nothing_about_speed():
    assert speed(result()) == ""
    assert size(result()) == ""


def test_an_unquantized_candidate_is_called_by_its_runtime():
    plain = {"baseline": variant("pytorch", "none"), "candidate": variant(quantization="none")}
    assert "onnxruntime" in candidate_name(result(variants=plain))
    assert "quantization" not in candidate_name(result(variants=plain))


def test_the_candidate_is_named_with_what_is_not_as_usual():
    usual = replace(variant(), label="onnxruntime dynamic")
    assert candidate_name(result(variants={"candidate": usual})) == candidate_name(result())
    half = replace(variant("pytorch", "none"), label="pytorch bfloat16")
    assert candidate_name(result(variants={"candidate": half})) == "the candidate, pytorch bfloat16,"


@pytest.mark.parametrize(
    ("ratio", "said"),
    [
        (0.25, "its weights take 25% of the space"),
        (1.5, "its weights take 150% of the space"),
        (1.004, ""),
        (0.996, ""),
        (None, ""),
    ],
)
def test_sizes_are_told_where_they_differ(ratio, said):
    assert size(result(**compared(1.0, size_ratio=ratio))) == said


def test_the_first_metric_that_could_be_compared_is_told_with_its_interval():
    unknown = MetricResult("pearson", True, None, None, reason="all equal")
    metrics = [unknown, metric(low=-0.01, high=0.002), metric("f1_macro")]
    assert quality(result(**measured(metrics, 0.98))) == (
        "accuracy changes by -0.40 pt (95% interval -1.00 pt to +0.20 pt) and 98.0% of the answers stay "
        "the same"
    )


@pytest.mark.parametrize(
    ("outcome", "clause"),
    [
        ("not worse", ", not worse at a margin of 1.00 pt"),
        ("cannot tell", ", which leaves open whether it is worse by 1.00 pt"),
    ],
)
def test_what_holds_at_the_margin_and_the_agreement_are_clauses_of_their_own(outcome, clause):
    judged = replace(metric(), non_inferiority=NonInferiority(0.01, outcome))
    assert quality(result(**measured([judged], 0.987))) == (
        f"accuracy changes by -0.40 pt{clause}; 98.7% of the answers stay the same"
    )


def test_without_a_metric_the_agreement_is_told():
    assert quality(result(**measured([], 0.975))) == "97.5% of the answers stay the same"


def test_without_rows_nothing_is_said_about_quality():
    assert quality(result()) == ""
    assert quality(result(**measured())) == ""


def test_a_change_may_lack_its_interval_or_itself():
    assert change(metric()) == "-0.40 pt"
    assert change(MetricResult("accuracy", True, 0.9, None)) == "an unknown amount"


@pytest.mark.parametrize("name", ["mse", "mae"])
def test_errors_do_not_change_by_percentage_points(name):
    assert "pt" not in quality(result(**measured([metric(name, 0.5, 0.4, 0.6)])))


def test_the_sentence_joins_what_is_known_and_ends_in_a_full_stop():
    found = judge(result(**compared(2.5, 2.4, 2.6, size_ratio=0.25), **measured([metric()])), NO_GATES)
    assert found.decision == "NOT ASKED"
    assert found.gates == []
    first, second, third = found.sentence.split("; ")
    assert first[0].isupper()
    assert first.endswith("is 2.50x faster than the baseline (95% interval 2.40x to 2.60x)")
    assert second == "its weights take 25% of the space"
    assert third == "accuracy changes by -0.40 pt."


@pytest.mark.parametrize(("value", "decision"), [(2.5, "SHIP"), (1.2, "DO NOT SHIP"), (1.5, "INCONCLUSIVE")])
def test_where_gates_are_asked_the_decision_leads(value, decision):
    low, high = value - 0.1, value + 0.1
    thetas = [math.log(value)] * 4 + [math.log(value) + 0.01]
    answer = compared(value, low, high, replicate_log_ratios=thetas)
    found = judge(result(**answer), GatesConfig(min_speedup=1.5))
    assert found.decision == decision
    asked_nothing = judge(result(**answer), NO_GATES).sentence
    assert found.sentence == f"{decision}: {asked_nothing}"
    assert [gate.name for gate in found.gates] == ["min_speedup"]


@pytest.mark.parametrize(("grade", "told"), [("poor", " (grade poor)"), ("quick look", "")])
def test_a_disturbed_machine_is_told_at_the_end_also_by_a_quick_look(grade, told):
    red = Signal("CPU used by others", "red", 0.9, 0.05, 0.2, "cores")
    found = judge(result(**compared(2.5), trust=Trust(grade, [red], [])), NO_GATES)
    end = f"But the machine was disturbed{told}: measure again before you rely on it."
    assert found.sentence.endswith(end)
    calm = judge(result(**compared(2.5), trust=Trust("quick look", [], [])), NO_GATES)
    assert "disturbed" not in calm.sentence
