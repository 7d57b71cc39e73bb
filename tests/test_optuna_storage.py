"""A grid in a study of its own: what Optuna keeps of it, and what it does not."""

import sys

import pytest

from optbench.cli import main
from optbench.config import Objective
from optbench.records import read_result
from optbench.search.objectives import WORST, objective

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="forks and signals as on Linux"),
]


@pytest.fixture
def sweep(bare_model, rows_file, tmp_path, monkeypatch):
    """Runs a sweep of the made-up runtime whose study lies in a database."""
    monkeypatch.chdir(tmp_path)
    storage = f"sqlite:///{tmp_path / 'studies.db'}"

    def run(*overrides, directory="sweep"):
        fixed = ["baseline=fake", "backend=fake", "quant=none", "quality=none", "measure=quick"]
        fixed += [f"model.path={bare_model}", f"dataset.path={rows_file}", "model=pretrained"]
        fixed += ["dataset=labelled", "measure.replicate_seconds=0.2", "measure.cold_start=false"]
        study = [f"hydra.sweeper.storage={storage}", "hydra.sweeper.study_name=grid"]
        return main(["-m", *fixed, *study, *overrides, f"hydra.sweep.dir={directory}"])

    run.storage = storage
    return run


def test_a_study_in_a_database_holds_the_objectives_of_every_point(sweep, tmp_path):
    import optuna

    assert sweep("sweep=grid", "batch_sizes=[1,2]", "input_lengths=[8,99]") == 3
    study = optuna.load_study(study_name="grid", storage=sweep.storage)
    directions = [direction.name for direction in study.directions]
    assert directions == ["MAXIMIZE", "MINIMIZE"]
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 4
    for trial in study.trials:
        result = read_result(tmp_path / "sweep" / str(trial.number))
        shape = {"batch_size": result.config["batch_size"], "input_length": result.config["input_length"]}
        assert {key: int(value) for key, value in trial.params.items()} == shape
        kinds = (Objective.samples_per_second, Objective.p95_seconds)
        assert trial.values == [objective(kind, result) for kind in kinds]
        if shape["input_length"] == 99:  # longer than the model's longest input
            assert trial.values == [WORST[kind] for kind in kinds]
        else:
            assert 100 < trial.values[0] / shape["batch_size"] < 1000
            assert 0.001 < trial.values[1] < 0.1


def test_a_study_that_is_used_again_does_not_skip_what_is_done_and_resume_does(sweep, capfd):
    import optuna

    grid = ["batch_size=1,2", "input_length=8"]
    assert sweep(*grid) == 0
    assert sweep(*grid, "resume=sweep", directory="again") == 0
    assert capfd.readouterr().err.count("taken over from") == 2
    study = optuna.load_study(study_name="grid", storage=sweep.storage)
    values = {(trial.params["batch_size"], tuple(trial.values)) for trial in study.trials}
    assert len(study.trials) == 4
    assert len(values) == 2
