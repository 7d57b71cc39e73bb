"""What a finished timing leaves behind: noise floors, and only undisturbed ones."""

from types import SimpleNamespace

import pytest

from optbench.judgement import noise
from optbench.locations import cache_directory
from optbench.measure.trust import load_idle
from optbench.records import Comparison, Estimate, RunResult, Signal, Trust, VariantResult, replace
from optbench.stages.timing import Timing

THETAS = [0.01, -0.01, 0.02, 0.0, 0.005]
SIGNAL = Signal("spread of a fixed CPU loop", "green", 0.05, 2, 4, "of its median")


class Draft:
    """Stands in for the growing result."""

    def __init__(self, result):
        self.result = result

    def update(self, **changes):
        self.result = replace(self.result, **changes)


def timing(grade, candidate="none", machine="here"):
    sides = {name: VariantResult("onnxruntime", "none", "default", 2) for name in ("baseline", "candidate")}
    sides["candidate"] = replace(sides["candidate"], quantization=candidate)
    result = RunResult(
        optbench_version="0",
        status="ok",
        started_at="2026-01-01T00:00:00+00:00",
        command=[],
        config={},
        config_hash="",
        environment={"machine": machine},
        variants=sides,
        comparisons={"candidate": Comparison(Estimate(1.0), Estimate(1.0), replicate_log_ratios=THETAS)},
        trust=Trust(grade, [SIGNAL], []),
    )
    config = SimpleNamespace(measure=SimpleNamespace(processes=1))
    return Timing(config, Draft(result), None)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("OPTBENCH_CACHE_DIR", str(tmp_path))


@pytest.mark.parametrize(("grade", "kept"), [("good", 1), ("usable", 1), ("poor", 0), ("quick look", 0)])
def test_a_floor_is_kept_only_of_a_machine_that_was_left_alone(grade, kept):
    found = timing(grade)
    found.hold_against_noise()
    result = found.draft.result
    assert result.comparison.noise_floor == noise.floor_of(result).relative_difference
    assert len(noise.read(noise.floor_file(cache_directory(), result))) == kept
    assert (load_idle(cache_directory(), "here", 2) is not None) == bool(kept)


def test_a_later_run_finds_the_floor_of_its_machine():
    timing("good").hold_against_noise()
    later, elsewhere = timing("good", "dynamic"), timing("good", "dynamic", machine="elsewhere")
    for each in (later, elsewhere):
        each.hold_against_noise()
    floor = noise.floor_of(timing("good").draft.result)
    assert later.draft.result.comparison.noise_floor == floor.relative_difference
    assert elsewhere.draft.result.comparison.noise_floor is None
