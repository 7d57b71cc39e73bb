"""The Python API over the made-up runtime: what it returns, raises and prints, and what it leaves alone."""

import logging
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass

import psutil
import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

import optbench
from optbench import run as run_function
from optbench.backends.fake import Fake
from optbench.config import RunConfig
from optbench.errors import ConfigError, DataError, ResultError
from optbench.locations import conf_dir
from optbench.records import RunResult, read_result, write_result
from optbench.results.walk import read_overrides
from optbench.run import Stages

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="forks as on Linux")


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def fake(bare_model, rows_file):
    """Overrides of a run that compares a made-up runtime with one that takes twice as long."""
    return {
        "baseline": "fake",
        "backend": "fake",
        "quant": "none",
        "baseline.backend.call_seconds": 0.004,
        "model": "pretrained",
        "model.path": bare_model,
        "dataset": "labelled",
        "dataset.path": rows_file,
        "measure.replicates": 2,
        "measure.max_replicates": 2,
        "measure.replicate_seconds": 0.1,
        "measure.cold_start": False,
    }


@pytest.fixture
def untouched(capfd):
    """Everything of this process that a call must leave as it was."""
    watched = {
        "signals": lambda: {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)},
        "environment": lambda: {**os.environ, "PYTEST_CURRENT_TEST": ""},
        "arguments": lambda: list(sys.argv),
        "hydra": lambda: (GlobalHydra.instance().hydra, HydraConfig.instance().cfg),
        "logging": lambda: (list(logging.getLogger().handlers), list(logging.getLogger("optbench").handlers)),
        "directory": os.getcwd,
        "children": lambda: [child.pid for child in psutil.Process().children(recursive=True)],
        "threads": threading.active_count,
    }
    before = {name: look() for name, look in watched.items()}
    yield
    assert {name: look() for name, look in watched.items()} == before
    assert capfd.readouterr().out == ""


def test_a_config_is_what_the_command_line_composes(capfd):
    config = optbench.compose({"quant": "dynamic", "quantization.per_channel": False, "batch_size": 8})
    assert isinstance(config, RunConfig)
    assert (config.batch_size, config.quantization.per_channel) == (8, False)
    assert optbench.compose(["batch_size=8"]).batch_size == optbench.compose("batch_size=8").batch_size == 8
    assert capfd.readouterr().out == ""


def test_every_problem_of_a_config_is_raised_at_once():
    with pytest.raises(ConfigError) as caught:
        optbench.compose(["bogus=1", "quant=nope", "batch_size=x"])
    assert len(caught.value.problems) == 3
    with pytest.raises(ConfigError) as caught:
        optbench.compose({"batch_size": 0, "measure.precision": 2})
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        ({"sweep": "grid"}, r"optbench\.sweep"),
        ({"batch_sizes": [1, 8]}, r"call optbench\.sweep\(\{'batch_size': \[1, 8\]\}\)"),
        (["batch_size=1,8"], "batch_size"),
        ({"model.path": object()}, "model.path must be a number"),
    ],
)
def test_what_only_a_sweep_or_nobody_can_run_is_refused(overrides, told):
    with pytest.raises(ConfigError, match=told):
        optbench.compose(overrides)


def test_configs_of_ones_own_are_found(tmp_path):
    (tmp_path / "quant").mkdir()
    (tmp_path / "quant" / "mine.yaml").write_text(
        "# @package quantization\ndefaults: [dynamic_schema, _self_]\nreduce_range: true\n"
    )
    (tmp_path / "own.yaml").write_text("defaults: [config, {override quant: mine}, _self_]\nbatch_size: 4\n")
    assert optbench.compose("quant=mine", tmp_path).quantization.reduce_range is True
    assert optbench.compose(config_dir=tmp_path, config_name="own").batch_size == 4
    with pytest.raises(ConfigError) as caught:
        optbench.compose(["quant=mine", "bogus=1"], tmp_path)
    assert len(caught.value.problems) == 1


@linux_only
def test_a_run_comes_back_with_its_raw_values_and_leaves_nothing_behind(place, fake, untouched):
    run = optbench.run(fake, "out")
    assert isinstance(run, optbench.Run)
    assert isinstance(run, RunResult)
    assert run.status == "ok"
    assert run.comparison.speedup.value == pytest.approx(2, rel=0.2)
    counted = run.samples()[lambda rows: ~rows.settling]
    means = counted.groupby("variant").nanoseconds.mean()
    assert run.variants["candidate"].latency.mean_seconds == pytest.approx(means["candidate"] / 1e9)
    assert run.blocks().calls.sum() == len(run.samples())
    assert len(run.predictions()) == run.quality.rows == 40
    with pytest.raises(ResultError, match=r"requests\.parquet is not there: this run \(ok\)"):
        run.requests()
    again = optbench.load_run("out")
    assert again == run
    assert read_result(place / "out").command[:2] == ["optbench", "baseline=fake"]
    assert read_overrides("out") == read_result(place / "out").command[1:]
    assert (place / "out" / "report.html").is_file()


@linux_only
def test_a_config_that_python_changed_runs_and_stands_for_no_command_line(place, fake):
    config = optbench.compose(fake)
    config.quality.enabled = False
    run = optbench.run(config)
    assert run.quality is None
    assert run.command == []
    assert run.directory.startswith("outputs/")
    assert run.directory.endswith("_bare_fake_none")
    assert "```bash" not in run._repr_markdown_()


@linux_only
def test_runs_in_another_thread_and_aloud(place, fake, capfd):
    found = []
    thread = threading.Thread(target=lambda: found.append(optbench.run(fake, "out", quiet=False)))
    thread.start()
    thread.join()
    assert found[0].status == "ok"
    shown = capfd.readouterr()
    assert found[0].verdict.sentence in shown.out
    assert "timing both, in turn" in shown.err


def test_a_run_that_cannot_start_raises_and_leaves_no_directory(place, fake, untouched):
    with pytest.raises(DataError, match=r"model\.path=\./nowhere must be a directory"):
        optbench.run({**fake, "model.path": "./nowhere"})
    with pytest.raises(ConfigError, match="batch_size must be >= 1"):
        optbench.run({**fake, "batch_size": 0})
    (place / "kept").mkdir()
    (place / "kept" / "mine.txt").write_text("mine")
    with pytest.raises(DataError):
        optbench.run({**fake, "model.path": "./nowhere"}, place / "kept")
    assert [item.name for item in place.iterdir() if item.name not in ("bare", "rows.jsonl")] == ["kept"]
    assert [item.name for item in (place / "kept").iterdir()] == ["mine.txt"]
    with pytest.raises(ConfigError, match=r"directory=.*mine\.txt.* must be a writable directory"):
        optbench.run(fake, place / "kept" / "mine.txt" / "out")


@linux_only
def test_a_run_that_fails_on_its_way_is_a_result(place, fake, monkeypatch):
    monkeypatch.setattr(Stages, "start_once", lambda *arguments: 1 / 0)
    run = optbench.run(fake, "out")
    assert run.status == "failed"
    assert "division by zero" in run.failure.message
    assert "division by zero" in repr(run)
    assert "ZeroDivisionError" in (place / "out" / "optbench.log").read_text()
    with pytest.raises(ResultError, match="this run \\(failed\\) left no samples"):
        run.samples()


@linux_only
def test_an_interrupt_is_raised_and_the_result_is_kept(place, fake, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(Stages, "start_once", interrupt)
    with pytest.raises(KeyboardInterrupt):
        optbench.run(fake, "out")
    assert read_result(place / "out").failure.kind == "interrupted"
    with pytest.raises(KeyboardInterrupt):
        optbench.sweep({"batch_size": [1, 2]}, fake, "all")
    assert [item.name for item in sorted((place / "all").glob("[0-9]"))] == ["0"]


def test_a_component_of_a_notebook_cannot_reach_the_processes_of_a_run(fake):
    @dataclass
    class Mine(Fake):
        pass

    Mine.__module__ = "__main__"
    config = optbench.compose(fake)
    config.backend = Mine()
    with pytest.raises(ConfigError, match="Mine must stand in a module that can be imported"):
        optbench.run(config)


@linux_only
def test_a_sweep_is_a_table_with_failed_points_and_the_files_of_the_command_line(place, fake, untouched):
    axes = {"batch_size": [1, 0], "backend.call_seconds": [0.002, 0.001]}
    found = optbench.sweep(axes, {**fake, "quality": "none"}, "all")
    assert isinstance(found, optbench.Results)
    assert found.counts == {"ok": 2, "failed": 2}
    assert set(found.axes) == {"batch_size", "backend.call_seconds"}
    frame = found.to_frame()
    assert len(frame) == 4
    assert frame["candidate_latency_mean_seconds"].notna().sum() == 2
    assert set(frame[frame.status == "failed"]["axis_batch_size"]) == {"0"}
    assert [run.status for run in found.runs()] == [point.status for point in found.points]
    names = {item.name for item in (place / "all").iterdir()}
    assert {"results.csv", "results.json", "results.parquet", "report.html", "sweep.json"} <= names
    assert optbench.load_results("all").points == found.points


@pytest.mark.parametrize(
    ("axes", "told"),
    [
        ({}, "axes must name at least one key"),
        ({"quant": "dynamic"}, "axis quant must be a list of values"),
        ({"quant": []}, "axis quant must be a list of values"),
        ({"backend": ["fake"]}, "backend is an axis and an override"),
        ({"quant@baseline.quantization": ["none", "nope"]}, "nope"),
        ({"seed": [object()]}, "seed must be a number"),
    ],
)
def test_a_sweep_that_cannot_be_composed_ends_before_its_first_point(place, fake, axes, told):
    with pytest.raises(ConfigError, match=told):
        optbench.sweep(axes, fake, "all")
    assert not (place / "all").exists()


@linux_only
def test_a_sweep_takes_over_what_an_earlier_one_finished(place, fake):
    for path in (*fake["model.path"].iterdir(), fake["dataset.path"]):
        os.utime(path, (0, 0))  # not written in the second in which the sweep begins
    speed = {**fake, "quality": "none"}
    optbench.sweep({"seed": [0]}, speed, "first")
    found = optbench.sweep({"seed": [0, 1]}, {**speed, "resume": "first"}, "second")
    notes = [" ".join(run.notes) for run in found.runs()]
    assert [("taken over" in note) for note in notes] == [True, False]


def test_two_runs_are_compared_and_conditions_judged(place, made_run, write_run):
    write_run(place / "a", made_run(speedup=2.0))
    write_run(place / "b", made_run(speedup=1.5))
    found = optbench.compare(optbench.load_run("a"), optbench.load_results("b"), "speedup<0.9")
    assert isinstance(found, optbench.Compared)
    assert found.exit_code == 1
    assert found.points[0].finding == "slower"
    assert optbench.compare("a", "a", ["speedup<0.9"]).exit_code == 0
    with pytest.raises(ConfigError, match="--fail-if must be METRIC OP NUMBER"):
        optbench.compare("a", "b", ["slower"])
    with pytest.raises(ResultError, match="results of 2 directories"):
        optbench.compare(optbench.load_results("a", "b"), "b")


def test_results_that_are_not_there_are_a_clear_error(place):
    with pytest.raises(ResultError, match="cannot be read"):
        optbench.load_run("nowhere")
    with pytest.raises(ResultError, match="must be a directory that holds results"):
        optbench.load_results("nowhere")
    with pytest.raises(ResultError, match="needs a directory"):
        optbench.load_results()


def test_raw_values_that_are_damaged_are_a_clear_error(place, made_run):
    (place / "run").mkdir()
    write_result(place / "run", made_run())
    (place / "run" / "samples.parquet").write_bytes(b"no parquet")
    with pytest.raises(ResultError, match=r"samples\.parquet cannot be read"):
        optbench.load_run(place / "run" / "result.json").samples()


def test_a_hydra_application_of_the_callers_own_is_left_as_it_was():
    with initialize_config_dir(str(conf_dir()), job_name="theirs"):
        theirs = GlobalHydra.instance()
        hydra = theirs.hydra
        optbench.compose("batch_size=2")
        assert GlobalHydra.instance() is theirs
        assert theirs.hydra is hydra


def test_the_functions_keep_their_names_when_the_modules_load():
    script = (
        "import optbench, optbench.run, optbench.results.compare, optbench.results.aggregate as a; "
        "assert callable(optbench.run) and callable(optbench.compare) and callable(optbench.sweep); "
        "from optbench.run import Stages; "
        "assert set(optbench.__all__) <= set(dir(optbench)); "
        "[getattr(optbench, name) for name in optbench.__all__]"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    assert run_function is optbench.run
    with pytest.raises(AttributeError, match="has no attribute 'nope'"):
        _ = optbench.nope
