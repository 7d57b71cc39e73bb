"""Gates and the noise floor: decided by intervals, and what would settle an undecided one."""

import math

import pytest

from optbench import records
from optbench.config import GatesConfig, QualityConfig
from optbench.judgement import noise
from optbench.judgement.gates import decide, judge_gates
from optbench.judgement.verdict import judge
from optbench.records import (
    ArtifactRecord,
    ColdStart,
    Comparison,
    Estimate,
    Interval,
    Latency,
    MetricResult,
    Percentile,
    QualityResult,
    RunResult,
    Signal,
    Trust,
    VariantResult,
)


def variant(backend="onnxruntime", sha256="a", p95=Interval(0.009, 0.011)):
    return VariantResult(
        backend=backend,
        quantization="none",
        graph="default",
        threads=2,
        artifact=ArtifactRecord("/x", "onnx", sha256, 1000),
        cold_start=ColdStart(1, 1, 1, peak_memory_bytes=5000),
        latency=Latency(100, 0.01, 0.001, 0.009, 0.02, [Percentile(0.95, 0.01, p95, "needs 5")], 0.01),
    )


def accuracy(low, high, value=-0.002):
    return MetricResult(
        "accuracy", True, 0.9, 0.9 + value, Estimate(value), gate_interval=Interval(low, high, 0.9)
    )


def result(thetas=(0.40, 0.41, 0.42, 0.39, 0.38), speedup=(1.45, 1.54), metric=None, **changes):
    mean = sum(thetas) / len(thetas)
    estimate = Estimate(math.exp(mean), Interval(*speedup) if speedup else None)
    quality = QualityResult(1000, [metric] if metric else [], None, broken=6, fixed=4)
    base = RunResult(
        optbench_version="0",
        status="ok",
        started_at="2026-01-01T00:00:00+00:00",
        command=[],
        config={},
        config_hash="",
        environment={"machine": "m"},
        variants={"baseline": variant("pytorch", "b"), "candidate": variant()},
        comparisons={"candidate": Comparison(estimate, estimate, replicate_log_ratios=list(thetas))},
        quality=quality,
    )
    return records.replace(base, **changes)


def outcome(found, **gates):
    (gate,) = judge_gates(GatesConfig(**gates), found)
    return gate


@pytest.mark.parametrize(("bound", "expected"), [(1.4, "pass"), (1.5, "inconclusive"), (1.6, "fail")])
def test_the_speedup_is_judged_by_its_interval(bound, expected):
    assert outcome(result(), min_speedup=bound).outcome == expected


def test_an_undecided_speedup_says_how_many_replicates_would_tell():
    assert "more replicates" in outcome(result(), min_speedup=1.5).needs
    exact = math.exp(0.40)
    needs = outcome(result(), min_speedup=exact).needs
    assert needs.startswith("more replicates (")
    assert needs.endswith("cannot be computed, as the speed-up seen lies on the bound")


def test_a_quick_look_passes_no_gate():
    gate = outcome(result(thetas=(0.4,), speedup=None), min_speedup=1.1)
    assert gate.outcome == "inconclusive"
    assert gate.needs == (
        "at least 5 replicates, found 1 (leave out measure=quick or measure=screen, or set "
        "measure.replicates=5 measure.max_replicates=5 or more)"
    )


def test_three_replicates_are_told_as_too_few_with_their_interval():
    gate = outcome(result(thetas=(0.4, 0.41, 0.39)), min_speedup=1.1)
    assert (gate.outcome, gate.interval.low) == ("inconclusive", 1.45)
    assert gate.needs.startswith("at least 5 replicates, found 3 (leave out")
    assert "quick look" not in gate.needs


def test_a_timing_that_ended_early_is_not_blamed_on_its_preset():
    early = result(thetas=(0.4, 0.41), config={"measure": {"replicates": 5}})
    assert outcome(early, min_speedup=1.1).needs == (
        "at least 5 replicates, found 2, as the timing ended early; measure again"
    )


@pytest.mark.parametrize("grade", ["poor", "quick look"])
def test_all_reasons_of_an_undecided_gate_are_told(grade):
    red = Signal("CPU used by others", "red", 0.9, 0.05, 0.2, "cores")
    both = result(thetas=(0.4,), speedup=None, trust=Trust(grade, [red], ["others"]))
    needs = outcome(both, min_speedup=1.1).needs
    assert needs.startswith("at least 5 replicates, found 1 (leave out")
    assert "; and a machine that is not disturbed (" in needs
    assert "not disturbed" not in outcome(both, min_speedup=1.1, accept_poor=True).needs


def test_nothing_timed_is_undecided():
    nothing = result(comparisons={}, variants={})
    assert outcome(nothing, min_speedup=1.1).needs == "a finished timing"
    assert outcome(nothing, max_p95_seconds=1).needs == "a finished timing"
    assert outcome(nothing, max_size_bytes=1).outcome == "inconclusive"
    assert outcome(nothing, max_peak_rss_bytes=1).outcome == "inconclusive"


@pytest.mark.parametrize(("bound", "expected"), [(0.011, "pass"), (0.010, "inconclusive"), (0.008, "fail")])
def test_the_p95_is_judged_by_its_interval(bound, expected):
    assert outcome(result(), max_p95_seconds=bound).outcome == expected


def test_a_p95_without_interval_is_undecided_for_its_own_reason():
    lacking = {"baseline": variant(), "candidate": variant(p95=None)}
    gate = outcome(result(variants=lacking), max_p95_seconds=1)
    assert (gate.outcome, gate.needs) == ("inconclusive", "needs 5")


@pytest.mark.parametrize(
    ("interval", "expected"),
    [((-0.005, 0.002), "pass"), ((-0.02, 0.002), "inconclusive"), ((-0.03, -0.012), "fail")],
)
def test_an_accuracy_drop_is_judged_by_non_inferiority(interval, expected):
    assert outcome(result(metric=accuracy(*interval)), max_accuracy_drop=0.01).outcome == expected


def test_an_undecided_accuracy_says_how_many_rows_would_tell():
    gate = outcome(result(metric=accuracy(-0.02, 0.002)), max_accuracy_drop=0.01)
    assert (gate.interval.low, gate.interval.high) == (-0.002, 0.02)  # of the drop, as `value` is
    assert "more rows" in gate.needs


@pytest.mark.parametrize(("change", "where"), [(-0.01, "at the margin"), (-0.013, "beyond the margin")])
def test_a_drop_seen_at_the_margin_is_not_taken_for_the_true_one(change, where):
    gate = outcome(result(metric=accuracy(-0.02, 0.002, value=change)), max_accuracy_drop=0.01)
    assert gate.needs == (
        f"more rows, or another margin; how many cannot be computed, as the drop seen lies {where}"
    )


def test_without_accuracy_its_gate_is_undecided():
    assert "labelled rows" in outcome(result(), max_accuracy_drop=0.01).needs


@pytest.mark.parametrize(("bound", "expected"), [(1000, "pass"), (999, "fail")])
def test_size_is_a_plain_number(bound, expected):
    assert outcome(result(), max_size_bytes=bound).outcome == expected


@pytest.mark.parametrize(("bound", "expected"), [(5000, "pass"), (4999, "fail")])
def test_peak_memory_is_a_plain_number(bound, expected):
    assert outcome(result(), max_peak_rss_bytes=bound).outcome == expected


def test_the_decision_follows_from_all_gates():
    passing = outcome(result(), max_size_bytes=2000)
    failing = outcome(result(), max_size_bytes=2)
    open_gate = outcome(result(), min_speedup=1.5)
    assert decide([]) == "NOT ASKED"
    assert decide([passing]) == "SHIP"
    assert decide([passing, open_gate]) == "INCONCLUSIVE"
    assert decide([passing, open_gate, failing]) == "DO NOT SHIP"


@pytest.mark.parametrize(("bound", "expected"), [(1.2, "pass"), (1.7, "fail")])
def test_on_a_disturbed_machine_a_gate_on_time_tells_nothing_unless_that_is_accepted(bound, expected):
    disturbed = result(trust=Trust("poor", [], ["CPU used by others 0.9 cores"]))
    gate = outcome(disturbed, min_speedup=bound)
    assert gate.outcome == "inconclusive"
    assert "gates.accept_poor=true" in gate.needs
    assert gate.value == pytest.approx(math.exp(0.40))
    assert outcome(disturbed, min_speedup=bound, accept_poor=True).outcome == expected
    assert outcome(result(trust=Trust("usable", [], ["drift"])), min_speedup=bound).outcome == expected


def test_a_disturbed_machine_changes_no_gate_but_those_on_time():
    disturbed = result(trust=Trust("poor", [], []), metric=accuracy(-0.004, 0.004))
    assert outcome(disturbed, max_accuracy_drop=0.01).outcome == "pass"
    undecided = outcome(disturbed, min_speedup=1.5)
    assert "more replicates" in undecided.needs


def test_the_sentence_leads_with_the_decision():
    verdict = judge(result(), GatesConfig(min_speedup=1.2))
    assert verdict.decision == "SHIP"
    assert verdict.sentence.startswith("SHIP: The candidate, onnxruntime, is 1.49x faster")


def test_impossible_gates_are_problems():
    assert len(GatesConfig(min_speedup=0, max_size_bytes=-1, max_accuracy_drop=2).problems()) == 3
    assert GatesConfig().problems() == []
    assert QualityConfig(margin=2).problems()


def self_comparison(thetas=(0.01, -0.01, 0.0, 0.02, -0.02), **changes):
    same = {"baseline": variant(), "candidate": variant()}
    return result(thetas=thetas, speedup=(0.98, 1.02), variants=same, **changes)


def test_equal_variants_make_a_self_comparison():
    assert noise.is_self_comparison(self_comparison())
    assert not noise.is_self_comparison(result())
    assert not noise.is_self_comparison(result(variants={}))


def test_the_floor_is_half_width_plus_mean():
    from scipy import stats

    thetas = (0.02, 0.01, 0.03, 0.00, 0.04)
    spread = math.sqrt(sum((theta - 0.02) ** 2 for theta in thetas) / 4)
    at_95 = stats.t.ppf(0.975, 4) * spread / math.sqrt(5)
    floor = noise.floor_of(self_comparison(thetas))
    assert floor.relative_difference >= math.expm1(0.02 + at_95)
    assert floor.relative_difference == pytest.approx(math.expm1(0.02 + at_95), rel=0.3)
    assert noise.floor_of(self_comparison((0.1,))) is None


def test_a_stored_floor_is_found_by_runs_with_as_many_replicates(tmp_path):
    aa = self_comparison()
    noise.store(tmp_path, aa, noise.floor_of(aa))
    assert noise.lookup(tmp_path, result()) == noise.floor_of(aa)
    assert noise.lookup(tmp_path, result(thetas=(0.4, 0.4))) is None
    elsewhere = result(environment={"machine": "another"})
    assert noise.lookup(tmp_path, elsewhere) is None


def test_a_damaged_floor_file_is_no_floor(tmp_path):
    aa = self_comparison()
    file = noise.store(tmp_path, aa, noise.floor_of(aa))
    file.write_text("{")
    assert noise.lookup(tmp_path, result()) is None


def test_a_speedup_within_the_floor_is_no_difference_shown():
    thetas = (0.01, 0.011, 0.009, 0.01, 0.01)
    found = result(thetas=thetas, speedup=(1.008, 1.012))
    floored = records.replace(found.comparison, noise_floor=0.03)
    assert "is 1.01x faster" in judge(found, GatesConfig()).sentence
    verdict = judge(records.replace(found, comparisons={"candidate": floored}), GatesConfig())
    assert verdict.sentence.startswith("No difference in speed shown")


def test_a_self_comparison_states_the_floor():
    compared = records.replace(self_comparison().comparison, noise_floor=0.021)
    found = self_comparison(comparisons={"candidate": compared})
    assert "a difference below 2.1% is noise" in judge(found, GatesConfig()).sentence


def test_slower_and_unclear_candidates_are_called_so():
    slower = result(thetas=(-0.4, -0.41, -0.39, -0.4, -0.4), speedup=(0.66, 0.68))
    assert "slower than the baseline" in judge(slower, GatesConfig()).sentence
    unclear = result(thetas=(0.01, 0.03, -0.02, 0.01, 0.0), speedup=(0.98, 1.04))
    assert "No difference in speed shown" in judge(unclear, GatesConfig()).sentence
