"""What a sampler is told: one number of a result each, never NaN."""

import math

import pytest

from optbench.config import Objective
from optbench.records import (
    ArtifactRecord,
    Capacity,
    ColdStart,
    Comparison,
    Estimate,
    Latency,
    MetricResult,
    Percentile,
    QualityResult,
    RunResult,
    ServerResult,
    Throughput,
    TimingRecord,
    VariantResult,
    replace,
)
from optbench.search.objectives import WORST, objective

CANDIDATE = VariantResult(
    "onnxruntime",
    "dynamic",
    "default",
    2,
    artifact=ArtifactRecord("somewhere", "onnx", "0", 2_000),
    cold_start=ColdStart(1.0, 0.5, 0.1, peak_memory_bytes=9_000),
    latency=Latency(
        100, 0.004, 0.001, 0.003, 0.009, [Percentile(0.5, 0.004), Percentile(0.95, 0.006)], 0.008
    ),
    throughput=Throughput(Estimate(250.0), 250.0, 1.0),
)
RESULT = RunResult(
    optbench_version="0",
    status="ok",
    started_at="2025-01-01T00:00:00+00:00",
    command=[],
    config={},
    config_hash="",
    environment={},
    timing=TimingRecord("latency", 1, 4, 64, "random", 0, 5, "fork", "runtime", {}, "precision", 10.0, 5.0),
    variants={"candidate": CANDIDATE},
    comparisons={"candidate": Comparison(Estimate(2.5), Estimate(2.0))},
    quality=QualityResult(100, [MetricResult("accuracy", True, 0.9, 0.88, Estimate(-0.02))], Estimate(0.97)),
)
EMPTY = replace(RESULT, variants={}, comparisons={}, quality=None)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Objective.samples_per_second, 250.0),
        (Objective.p95_seconds, 0.006),
        (Objective.speedup, 2.5),
        (Objective.quality_loss, 0.02),
        (Objective.size_bytes, 2_000.0),
        (Objective.peak_memory_bytes, 9_000.0),
    ],
)
def test_an_objective_is_read_from_the_result(kind, expected):
    assert objective(kind, RESULT) == pytest.approx(expected)


@pytest.mark.parametrize("kind", Objective)
def test_a_result_without_numbers_is_the_worst_there_is_and_never_nan(kind):
    value = objective(kind, EMPTY)
    assert value == WORST[kind]
    assert not math.isnan(value)


def test_the_mean_stands_in_for_a_p95_that_is_not_earned():
    latency = replace(CANDIDATE.latency, percentiles=[Percentile(0.95, None, reason="needs 40 more calls")])
    early = replace(RESULT, variants={"candidate": replace(CANDIDATE, latency=latency)})
    assert objective(Objective.p95_seconds, early) == 0.004


def test_a_server_is_judged_by_its_capacity_in_samples():
    capacity = Capacity(Estimate(50.0), 0.004, [50.0], [])
    server = ServerResult(
        bound_seconds=0.05,
        bound_reason="as configured",
        percentile=0.95,
        arrivals="poisson",
        requests=300,
        streams=5,
        stopped_by="precision",
        seconds=10.0,
        capacity_ratio=None,
        lateness_seconds=0.0,
        generator_cpu_share=0.0,
        variants={"baseline": capacity, "candidate": capacity},
    )
    assert objective(Objective.samples_per_second, replace(RESULT, server=server)) == 200.0


def test_a_metric_of_which_less_is_better_loses_by_growing():
    quality = QualityResult(100, [MetricResult("perplexity", False, 9.0, 9.5, Estimate(0.5))], None)
    assert objective(Objective.quality_loss, replace(RESULT, quality=quality)) == 0.5


def test_without_a_metric_the_share_of_changed_answers_is_the_loss():
    quality = QualityResult(100, [], Estimate(0.97))
    assert objective(Objective.quality_loss, replace(RESULT, quality=quality)) == pytest.approx(0.03)
