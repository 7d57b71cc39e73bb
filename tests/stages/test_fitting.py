"""What is held against the disk and the model before anything else."""

import importlib

import pytest

from optbench.cli import main


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("artifact=nope", "artifact=nope must be a directory"),
        ("baseline.artifact=nope", "baseline.artifact=nope must be a directory"),
        ("quality.metrics=[./gone.py]", "quality.metrics=./gone.py must be a .py file"),
        ("dataset.path=./gone.csv", "dataset.path=./gone.csv must be a file"),
        ("model.path=./gone", "model.path=./gone must be a directory"),
        ("input_length=999", "input_length must not exceed 32"),
    ],
)
def test_what_a_look_at_the_disk_tells_is_told_before_waiting_for_others(
    place, bare_model, rows_file, monkeypatch, capfd, option, told
):
    run = importlib.import_module("optbench.run")
    monkeypatch.setattr(run.host, "beside_others", lambda waiting: pytest.fail("it waits for other runs"))
    own = ["model=pretrained", f"model.path={bare_model}", "dataset=labelled", f"dataset.path={rows_file}"]
    assert main(["baseline=fake", "backend=fake", "quant=none", *own, option]) == 2
    assert told in capfd.readouterr().err


def test_a_model_without_any_file_of_a_tokenizer_is_told_at_once(place, bare_model, monkeypatch, capfd):
    for file in [*bare_model.glob("*token*"), *bare_model.glob("vocab*")]:
        file.unlink()
    run = importlib.import_module("optbench.run")
    monkeypatch.setattr(run.host, "beside_others", lambda waiting: pytest.fail("it waits for other runs"))
    own = ["model=pretrained", f"model.path={bare_model}"]
    assert main(["baseline=fake", "backend=fake", "quant=none", *own]) == 2
    told = capfd.readouterr().err
    assert "holds no tokenizer: tokenizer.json" in told
    assert "save it beside the model with tokenizer.save_pretrained" in told
