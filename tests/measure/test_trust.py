"""Signals of trouble, their thresholds, and the grade they come to."""

from dataclasses import replace

import pytest

from optbench.measure.counters import Neighbour
from optbench.measure.observations import Observations
from optbench.measure.trust import (
    OTHERS,
    PRESSURE,
    RULES,
    IdleBaseline,
    assess,
    idle_baseline,
    load_idle,
    save_idle,
)

QUIET = Observations(
    others_cpu_cores=0.01,
    psi_some_percent=2.0,
    steal_percent=0.0,
    involuntary_switches_per_second=35.0,
    probe_spread=0.03,
    drift=0.0,
    replicate_sd=0.02,
    governor="performance",
    throttled_periods=0,
    swap_pages=0,
    clock_resolution_share=1e-5,
    outlier_share=0.005,
    stall_share=0.0,
)
FIELDS = {
    OTHERS: "others_cpu_cores",
    PRESSURE: "psi_some_percent",
    "time stolen by the hypervisor": "steal_percent",
    "involuntary context switches": "involuntary_switches_per_second",
    "spread of a fixed CPU loop": "probe_spread",
    "wall over CPU time": "wall_over_cpu",
    "drift of the speed-up": "drift",
    "spread between replicates": "replicate_sd",
    "change of the CPU frequency": "frequency_change",
    "throttled cgroup periods": "throttled_periods",
    "pages swapped": "swap_pages",
    "resolution of the clock": "clock_resolution_share",
    "outliers among the calls": "outlier_share",
    "time in stalled calls": "stall_share",
}


def signal(trust, name):
    return next(found for found in trust.signals if found.name == name)


def test_every_rule_has_a_field_here():
    assert set(FIELDS) == {rule.name for rule in RULES}


def test_an_idle_machine_is_good():
    assert assess(QUIET).grade == "good"
    assert assess(QUIET).reasons == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_is_amber_above_its_first_bound_and_red_above_its_second(rule):
    amber, red = rule.bounds(IdleBaseline())
    for value, level, grade in ((amber, "green", "good"), (red * 1.01 + 1e-9, "red", "poor")):
        trust = assess(replace(QUIET, **{FIELDS[rule.name]: value}))
        assert (signal(trust, rule.name).level, trust.grade) == (level, grade)
    if red > amber:
        trust = assess(replace(QUIET, **{FIELDS[rule.name]: (amber + red) / 2}))
        assert (signal(trust, rule.name).level, trust.grade) == ("amber", "usable")
        assert rule.advice in trust.reasons[0]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_what_the_machine_does_not_offer_is_unknown_never_green(rule):
    found = signal(assess(replace(QUIET, **{FIELDS[rule.name]: None})), rule.name)
    assert (found.level, found.value, found.advice) == ("unknown", None, None)


@pytest.mark.parametrize(
    ("governor", "level"), [("performance", "green"), ("powersave", "amber"), (None, "unknown")]
)
def test_a_governor_that_changes_the_frequency_is_amber(governor, level):
    trust = assess(replace(QUIET, governor=governor))
    assert signal(trust, "frequency governor").level == level


def test_the_busiest_neighbour_is_named():
    neighbours = (Neighbour(77, "builder", 0.9), Neighbour(5, "mail", 0.1))
    for change in ({"others_cpu_cores": 0.9}, {"psi_some_percent": 60.0}):
        trust = assess(replace(QUIET, neighbours=neighbours, **change))
        assert "stop process 77 (builder), which used 0.90 cores" in trust.reasons[0]


def test_red_reasons_come_first():
    trust = assess(replace(QUIET, replicate_sd=0.07, swap_pages=3))
    assert [reason.partition(" ")[0] for reason in trust.reasons] == ["pages", "spread"]
    assert trust.grade == "poor"


def test_a_quick_look_has_no_grade():
    assert assess(replace(QUIET, swap_pages=3), quick=True).grade == "quick look"


def test_bounds_follow_what_the_idle_machine_shows():
    noisy = IdleBaseline(involuntary_switches_per_second=500.0, probe_spread=0.2, psi_some_percent=30.0)
    seen = replace(QUIET, involuntary_switches_per_second=600.0, probe_spread=0.3, psi_some_percent=33.0)
    assert assess(seen).grade == "poor"
    assert assess(seen, noisy).grade == "good"


def test_an_undisturbed_run_gives_the_baseline_but_no_impossibly_quiet_one():
    baseline = idle_baseline(assess(replace(QUIET, probe_spread=0.0001, psi_some_percent=None)))
    assert baseline.involuntary_switches_per_second == 35.0
    assert baseline.probe_spread == IdleBaseline().probe_spread / 2
    assert baseline.psi_some_percent == IdleBaseline().psi_some_percent


def test_the_idle_baseline_is_kept_by_machine_and_threads(tmp_path):
    kept = IdleBaseline(1.0, 2.0, 3.0)
    save_idle(tmp_path, "machine", 2, kept)
    assert load_idle(tmp_path, "machine", 2) == kept
    assert load_idle(tmp_path, "machine", 4) is None
    assert load_idle(tmp_path, "other", 2) is None


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"a": 1}', '{"probe_spread": "x"}', '{"probe_spread": NaN}']
)
def test_a_damaged_baseline_is_none(tmp_path, content):
    save_idle(tmp_path, "machine", 2, IdleBaseline())
    (tmp_path / "idle" / "machine" / "2.json").write_text(content)
    assert load_idle(tmp_path, "machine", 2) is None
