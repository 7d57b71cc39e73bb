"""How long parts of a run will take: from earlier runs of the same thing, else by stated assumptions."""

import pytest
from configs import run_config

from optbench.config import MeasureConfig, QualityConfig, Scenario, ServerConfig
from optbench.models.pretrained import PretrainedModel
from optbench.planning.estimates import (
    ASSUMED_SECONDS,
    Estimates,
    Past,
    PastDataset,
    Sought,
    earlier_estimates,
    known_directories,
    timing_limit_seconds,
)
from optbench.records import replace
from optbench.results.history import add, history_file
from optbench.stages.draft import config_hash, plain_config


def past(made_with, evaluated=100, **seconds):
    stages = {name.replace("_", " "): value for name, value in seconds.items()}
    return Past(
        "ok",
        config_hash(made_with),
        plain_config(made_with),
        dataset=PastDataset(evaluated),
        stage_seconds=stages,
    )


STAGES = {"model": 1.0, "rows": 2.0, "cold_start_of_the_baseline": 3.0, "cold_start_of_the_candidate": 4.0}


def test_without_earlier_runs_the_start_is_assumed():
    guess = Estimates().starting(Sought.of(run_config()))
    assert guess.runs == 0
    assert guess.seconds == (
        ASSUMED_SECONDS["model"]
        + ASSUMED_SECONDS["rows"]
        + 2 * ASSUMED_SECONDS["cold start"]
        + ASSUMED_SECONDS["quality"]
    )


def test_the_start_is_the_median_of_earlier_runs_stage_by_stage():
    runs = [past(run_config(), **{**STAGES, "rows": rows}, quality=1.0) for rows in (2.0, 9.0, 3.0)]
    guess = Estimates(runs).starting(Sought.of(run_config()))
    assert (guess.seconds, guess.runs) == (1 + 3 + 3 + 4 + 1, 3)


def test_the_same_config_tells_more_than_the_same_model():
    other = run_config(batch_size=8)
    runs = [past(run_config(), **STAGES, quality=1.0), past(other, **{**STAGES, "rows": 50.0}, quality=1.0)]
    assert Estimates(runs).starting(Sought.of(other)).seconds == 1 + 50 + 3 + 4 + 1
    assert Estimates(runs).starting(Sought.of(run_config(batch_size=2))).runs == 2
    assert Estimates(runs).starting(Sought.of(run_config(model=PretrainedModel(path="another")))).runs == 0


def test_an_evaluation_takes_as_long_as_the_longest_did_and_grows_with_the_rows():
    runs = [
        past(run_config(), rows, evaluation_of_the_baseline=seconds)
        for rows, seconds in ((100, 4.0), (50, 0.1))
    ]
    guess = Estimates(runs).evaluation(Sought.of(run_config()), "baseline", 200, None)
    assert (guess.seconds, guess.runs) == (8.0, 2)
    assert Estimates(runs).evaluation(Sought.of(run_config()), "baseline", None, None).seconds == 4.0


def test_an_evaluation_that_nobody_ran_is_assumed_from_rows_and_parameters(monkeypatch):
    monkeypatch.setattr("optbench.planning.estimates.available_cores", lambda: 2)
    guess = Estimates().evaluation(Sought.of(run_config()), "baseline", 1000, 22_700_000)
    assert guess.seconds == pytest.approx(3.0 + 1000 * 22_700_000 * 0.4e-9 / 2)
    assert Estimates().evaluation(Sought.of(run_config()), "baseline", None, 5).seconds is None


def test_a_timing_is_known_only_from_the_same_settings():
    longer = run_config(measure=MeasureConfig(budget_seconds=99.0))
    known = Estimates([past(run_config(), timing=12.0)])
    assert (known.timing(Sought.of(run_config())).seconds, known.timing(Sought.of(longer)).seconds) == (
        12.0,
        None,
    )
    assert known.timing(Sought.of(run_config(seed=3))).seconds == 12.0
    server = run_config(measure=MeasureConfig(scenario=Scenario.server))
    assert Estimates([past(server, timing=12.0)]).timing(Sought.of(server)).seconds is None
    assert Estimates([past(server, timing=12.0, serving=8.0)]).timing(Sought.of(server)).seconds == 20.0


def test_the_rows_of_a_dataset_are_those_of_a_run_over_all_of_them():
    part = run_config(quality=QualityConfig(max_eval_samples=10))
    assert Estimates([past(part, 10), past(run_config(), 40)]).rows(Sought.of(run_config())) == 40
    assert Estimates([past(part, 10)]).rows(Sought.of(run_config())) is None


def test_budgets_limit_the_timing():
    assert timing_limit_seconds(MeasureConfig(budget_seconds=30)) == 30
    assert (
        timing_limit_seconds(MeasureConfig(duration_seconds=10, replicates=5, warmup_seconds=1)) == 20 + 5 * 6
    )
    once = MeasureConfig(replicates=1, max_replicates=1, warmup_seconds=2, replicate_seconds=1.5)
    assert timing_limit_seconds(once) == 16
    server = ServerConfig(budget_seconds=180)
    assert timing_limit_seconds(MeasureConfig(scenario=Scenario.server, server=server)) == 60 + 180
    offered = ServerConfig(budget_seconds=10, requests=300, rates=[10.0, 30.0])
    assert timing_limit_seconds(MeasureConfig(scenario=Scenario.server, server=offered)) == 60 + 2 * 5 * 40


def test_earlier_runs_are_those_of_this_machine_in_outputs_and_in_the_history(
    tmp_path, monkeypatch, made_run, write_run
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPTBENCH_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("optbench.planning.estimates.machine_fingerprint", lambda: "m1")
    assert earlier_estimates() == Estimates([])
    assert not (tmp_path / "cache").exists()
    run = replace(made_run(), stage_seconds={"timing": 5.0})
    write_run(tmp_path / "outputs" / "day" / "a", run)
    write_run(tmp_path / "outputs" / "day" / "b", replace(run, environment={"machine": "m2"}))
    write_run(tmp_path / "outputs" / "day" / "c", replace(run, status="failed"))
    write_run(tmp_path / "elsewhere", replace(run, started_at="2026-01-02T00:00:00+00:00"))
    (tmp_path / "outputs" / "day" / "b" / "result.json").write_text("{")
    assert len(earlier_estimates().earlier) == 1
    add([tmp_path / "elsewhere"], history_file())
    assert len(earlier_estimates().earlier) == 2
    add([tmp_path / "outputs"], history_file())
    assert len(known_directories()) == 4
    history_file().write_text("no database")
    assert len(earlier_estimates().earlier) == 1
