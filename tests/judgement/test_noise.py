"""Noise floors: what a variant compared with itself shows, and which later run it holds for."""

import math

import pytest

from optbench.judgement import noise
from optbench.measure.statistics import log_half_width
from optbench.records import ArtifactRecord, Comparison, Estimate, RunResult, VariantResult, replace

THETAS = [0.01, -0.01, 0.02, 0.0, 0.005]


def variant(sha256="a", **changes):
    made = VariantResult("onnxruntime", "none", "default", 2, {"threads": 2})
    return replace(made, artifact=ArtifactRecord("p", "onnx", sha256, 1), **changes)


def result(thetas=THETAS, one=None, two=None, machine="m"):
    compared = Comparison(Estimate(1.0), Estimate(1.0), replicate_log_ratios=list(thetas))
    return RunResult(
        optbench_version="0",
        status="ok",
        started_at="2026-01-01T00:00:00+00:00",
        command=[],
        config={},
        config_hash="",
        environment={"machine": machine},
        variants={"baseline": one or variant(), "candidate": two or variant()},
        comparisons={"candidate": compared},
    )


def test_the_same_files_run_in_the_same_way_are_one_variant():
    assert noise.is_self_comparison(result())


@pytest.mark.parametrize(
    "other",
    [
        variant(sha256="b"),
        variant(backend="pytorch"),
        variant(quantization="dynamic"),
        variant(graph="all"),
        variant(runtime={"threads": 1}),
    ],
)
def test_any_other_setting_makes_another_variant(other):
    assert not noise.is_self_comparison(result(two=other))


def test_the_floor_is_the_mean_and_the_half_width_together():
    floor = noise.floor_of(result())
    expected = math.expm1(abs(sum(THETAS) / 5) + log_half_width(THETAS))
    assert floor.relative_difference == pytest.approx(expected)
    assert floor.replicates == 5


def test_a_quick_look_has_no_floor():
    assert noise.floor_of(result([0.01])) is None


def keep(directory, relative, replicates, taken_at, **of):
    noise.store(directory, result(**of), noise.NoiseFloor(relative, replicates, taken_at))


def test_the_floor_of_most_replicates_but_no_more_than_ours_holds(tmp_path):
    for relative, replicates in ((0.04, 3), (0.03, 5), (0.01, 20)):
        keep(tmp_path, relative, replicates, "2026-01-01")
    assert noise.lookup(tmp_path, result()).relative_difference == 0.03
    assert noise.lookup(tmp_path, result([0.0] * 30)).relative_difference == 0.01
    assert noise.lookup(tmp_path, result([0.0] * 2)) is None


def test_of_equal_ones_the_latest_holds(tmp_path):
    keep(tmp_path, 0.03, 5, "2026-01-02")
    keep(tmp_path, 0.02, 5, "2026-01-01")
    assert noise.lookup(tmp_path, result()).relative_difference == 0.03


@pytest.mark.parametrize("of", [{"machine": "other"}, {"two": variant(threads=4)}])
def test_a_floor_holds_for_its_machine_and_threads_only(tmp_path, of):
    keep(tmp_path, 0.03, 5, "2026-01-01", **of)
    assert noise.lookup(tmp_path, result()) is None


def test_only_so_many_are_kept(tmp_path):
    for number in range(noise.KEPT_RUNS + 5):
        keep(tmp_path, 0.01, 5, f"2026-01-{number:03}")
    kept = noise.read(noise.floor_file(tmp_path, result()))
    assert len(kept) == noise.KEPT_RUNS
    assert kept[-1].taken_at == f"2026-01-{noise.KEPT_RUNS + 4:03}"


STRINGS = '[{"relative_difference": "0.03", "replicates": "5", "taken_at": "2026-01-01"}]'
NULLS = '[{"relative_difference": null, "replicates": 5, "taken_at": null}]'


@pytest.mark.parametrize("content", ["", "{", '[{"a": 1}]', "[1]", "3", STRINGS, NULLS])
def test_a_damaged_file_holds_no_floor(tmp_path, content):
    keep(tmp_path, 0.03, 5, "2026-01-01")
    noise.floor_file(tmp_path, result()).write_text(content)
    assert noise.lookup(tmp_path, result()) is None
