"""Whole runs over the made-up runtime: real processes, no deep-learning library."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest

from optbench.cli import main
from optbench.errors import WorkerError
from optbench.processes import crew
from optbench.processes.child import start
from optbench.processes.template import Template
from optbench.records import KernelReport, read_result
from optbench.stages import preparing
from optbench.stages.starting import kernels_or_reason

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks and signals as on Linux")

SHORT = ["measure.replicates=2", "measure.max_replicates=2", "measure.replicate_seconds=0.2"]


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def fake(bare_model, rows_file):
    """Arguments of a run that compares a made-up runtime with one that takes twice as long."""
    return [
        "baseline=fake",
        "backend=fake",
        "quant=none",
        "baseline.backend.call_seconds=0.004",
        "model=pretrained",
        f"model.path={bare_model}",
        "dataset=labelled",
        f"dataset.path={rows_file}",
        "hydra.run.dir=out",
        *SHORT,
    ]


def test_a_run_leaves_a_whole_result_that_follows_from_its_raw_data(place, fake, rows_file, capfd):
    assert main(fake) == 0
    printed = capfd.readouterr().out
    result = read_result(place / "out")
    assert result.status == "ok"
    assert result.failure is None
    assert set(result.variants) == {"baseline", "candidate"}
    assert result.comparison.speedup.value == pytest.approx(2, rel=0.2)
    assert result.quality.rows == 40
    assert result.quality.agreement.value == 1.0
    assert result.timing.replicates == 2
    assert result.environment["cores_available"] >= 1
    assert result.environment["versions"]["torch"]
    assert result.config["batch_size"] == 1
    assert result.verdict.sentence in printed
    assert "out/result.json" in printed
    assert not (place / "out" / ".work").exists()
    check_figures(place, result)
    check_predictions(place, rows_file)


def check_figures(place, result):
    """Every figure of the result, worked out anew from the raw samples with pandas."""
    samples = pq.read_table(place / "out" / "samples.parquet").to_pandas()
    assert list(samples.columns) == [
        "replicate",
        "pair",
        "block",
        "position",
        "variant",
        "index",
        "settling",
        "nanoseconds",
    ]
    counted = samples[~samples.settling]
    ratios = []
    for _, replicate in counted.groupby("replicate"):
        means = replicate.groupby("variant").nanoseconds.mean()
        ratios.append(math.log(means["baseline"] / means["candidate"]))
    assert result.comparison.replicate_log_ratios == pytest.approx(ratios)
    assert result.comparison.speedup.value == pytest.approx(math.exp(np.mean(ratios)))
    for name, variant in result.variants.items():
        mine = counted[counted.variant == name].nanoseconds / 1e9
        assert variant.latency.calls == len(mine)
        assert variant.latency.mean_seconds == pytest.approx(mine.mean())
        assert variant.latency.max_seconds == pytest.approx(mine.max())
        assert variant.throughput.forwards_per_second == pytest.approx(len(mine) / mine.sum())
    blocks = pq.read_table(place / "out" / "blocks.parquet").to_pandas()
    assert blocks.wall_nanoseconds.sum() == counted.nanoseconds.sum()
    assert (blocks.settling_calls == 1).all()


def check_predictions(place, rows_file):
    """One row for each example, with both answers."""
    rows = pq.read_table(place / "out" / "predictions.parquet").to_pandas()
    assert list(rows.columns) == ["row", "text", "reference", "baseline", "candidate"]
    texts = sorted(json.loads(line)["text"] for line in rows_file.read_text().splitlines())
    assert sorted(rows.text) == texts
    assert (rows.baseline == rows.candidate).all()


@pytest.mark.slow
def test_evaluated_rows_are_a_seeded_sample_not_the_first(place, fake):
    assert main([*fake, "quality.max_eval_samples=10", "measure=quick"]) == 0
    first = read_result(place / "out").dataset
    assert (first.rows, first.rows_available) == (10, 40)
    assert main([*fake, "quality.max_eval_samples=10", "measure=quick"]) == 0
    assert read_result(place / "out").dataset.fingerprint == first.fingerprint
    assert main([*fake, "quality.max_eval_samples=10", "measure=quick", "seed=1"]) == 0
    assert read_result(place / "out").dataset.fingerprint != first.fingerprint


@pytest.mark.slow
def test_speed_alone_needs_no_dataset(place, fake):
    arguments = [item for item in fake if not item.startswith("dataset")]
    assert main([*arguments, "dataset=labelled", "dataset.path=unused", "quality=none"]) == 0
    result = read_result(place / "out")
    assert result.quality is None
    assert result.dataset is None


@pytest.mark.slow
def test_real_texts_can_be_timed(place, fake):
    assert main([*fake, "measure.inputs=dataset", "batch_size=2", "input_length=8"]) == 0
    assert read_result(place / "out").timing.inputs == "dataset"


@pytest.mark.slow
def test_a_quick_look_gives_no_interval(place, fake, capfd):
    quick = [item for item in fake if item not in SHORT]
    assert main([*quick, "measure=quick"]) == 0
    assert read_result(place / "out").comparison.speedup.interval is None
    assert "quick look" in capfd.readouterr().out


@pytest.mark.slow
def test_workers_can_be_started_anew(place, fake):
    assert main([*fake, "measure.start=spawn"]) == 0
    assert read_result(place / "out").timing.start == "spawn"


@pytest.mark.slow
def test_quiet_prints_the_answer_and_the_path_only(place, fake, capfd):
    assert main(["-q", *fake]) == 0
    captured = capfd.readouterr()
    assert captured.err == ""
    assert len(captured.out.splitlines()) == 2


@pytest.mark.slow
def test_output_in_a_pipe_has_no_colour_codes(place, fake, capfd):
    assert main(fake) == 0
    captured = capfd.readouterr()
    assert "\x1b" not in captured.out + captured.err


@pytest.mark.slow
def test_a_sweep_runs_every_point_through_the_grid_sampler(place, fake):
    sweep = ["-m", *fake[:-4], *SHORT, "hydra.sweep.dir=sweep", "batch_size=1,2", "input_length=8,16"]
    assert main(sweep) == 0
    found = [read_result(path) for path in sorted((place / "sweep").glob("*/result.json"))]
    shapes = {(result.timing.batch_size, result.timing.input_length) for result in found}
    assert shapes == {(1, 8), (1, 16), (2, 8), (2, 16)}
    optimization = (place / "sweep" / "optimization_results.yaml").read_text()
    assert "optuna" in optimization


def test_without_a_cold_start_there_is_no_memory_and_all_the_rest(place, fake):
    assert main([*fake, "measure.cold_start=false", "quality=none"]) == 0
    result = read_result(place / "out")
    assert [variant.cold_start for variant in result.variants.values()] == [None, None]
    assert result.variants["candidate"].artifact is not None
    assert result.comparison.speedup.value > 1
    assert result.comparison.peak_memory_ratio is None


@pytest.mark.slow
def test_the_points_of_a_sweep_share_their_templates(place, fake, monkeypatch):
    made = []
    monkeypatch.setattr(crew, "Template", lambda *args: made.append(Template(*args)) or made[-1])
    readers = []
    monkeypatch.setattr(
        preparing, "start", lambda *args, **kw: readers.append(start(*args, **kw)) or readers[-1]
    )
    sweep = ["-m", *fake[:-4], *SHORT, "hydra.sweep.dir=sweep", "batch_size=1,2"]
    assert main(sweep) == 0
    assert len(made) == len(readers) == 1
    assert made[0].has_ended()
    assert readers[0].has_ended()
    first, second = (read_result(place / "sweep" / name) for name in ("0", "1"))
    assert first.dataset == second.dataset
    assert first.quality.metrics == second.quality.metrics


@pytest.mark.slow
def test_a_grid_comes_from_lists(place, fake):
    sweep = ["-m", *fake[:-4], *SHORT, "hydra.sweep.dir=sweep", "sweep=grid", "batch_sizes=[1,2]"]
    assert main([*sweep, "input_lengths=[8]"]) == 0
    assert len(list((place / "sweep").glob("*/result.json"))) == 2


def test_a_sweep_in_the_place_of_another_holds_its_own_points_only(place, fake):
    plain = [*fake[:-4], *SHORT, "hydra.sweep.dir=sweep", "quality=none", "measure.cold_start=false"]
    for batches in ("1,2", "4"):
        assert main(["-m", *plain, f"batch_size={batches}"]) == 0
    assert [path.parent.name for path in (place / "sweep").glob("*/result.json")] == ["0"]
    assert (place / "sweep" / "0" / ".hydra" / "overrides.yaml").is_file()
    assert read_result(place / "sweep" / "0").timing.batch_size == 4


def test_an_experiment_that_is_a_sweep_needs_no_flag(place, fake):
    experiment = place / "mine" / "experiment" / "both.yaml"
    experiment.parent.mkdir(parents=True)
    mode = "hydra: {mode: MULTIRUN, sweeper: {params: {batch_size: '1,2'}}}"
    experiment.write_text(f"# @package _global_\n{mode}\n")
    plain = [*fake[:-4], *SHORT, "hydra.sweep.dir=sweep", "quality=none", "measure.cold_start=false"]
    assert main(["--config-dir", "mine", "+experiment=both", *plain]) == 0
    found = [read_result(path) for path in sorted((place / "sweep").glob("*/result.json"))]
    assert {result.timing.batch_size for result in found} == {1, 2}
    assert all("+experiment=both" in result.command for result in found)


@pytest.mark.slow
def test_a_sweep_goes_on_past_bad_points_and_says_so(place, fake, capfd):
    sweep = ["-m", *fake[:-4], *SHORT, "hydra.sweep.dir=sweep", "input_length=8,99", "graph=default,all"]
    assert main(sweep) == 3
    found = [read_result(path) for path in (place / "sweep").glob("*/result.json")]
    assert sorted(result.status for result in found) == ["failed", "failed", "ok", "skipped"]
    reasons = {result.failure.kind for result in found if result.failure}
    assert reasons == {"ConfigError", "Unsupported"}
    assert "Traceback" not in capfd.readouterr().err


@pytest.fixture
def long_run(place, fake):
    """A run in a process of its own that would time for a minute."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    patient = ["measure.replicates=20", "measure.max_replicates=20", "measure.replicate_seconds=3"]
    command = [sys.executable, "-m", "optbench", *fake, *patient]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    yield process
    process.kill()
    process.wait()


def wait_for(condition, process, seconds=60):
    """The condition's first true value; fails if the process ends before."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert process.poll() is None, process.stderr.read()
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


def timing_worker(process):
    """A grandchild that was forked from a template, once timing has begun."""
    children = psutil.Process(process.pid).children(recursive=True)
    direct = {child.pid for child in psutil.Process(process.pid).children()}
    forked = [child for child in children if child.pid not in direct]
    return forked[0] if len(forked) == 2 else None


def test_a_killed_worker_ends_the_run_with_what_was_measured(long_run, place):
    result_file = place / "out" / "result.json"
    wait_for(lambda: result_file.exists() and read_result(result_file).quality, long_run)
    worker = wait_for(lambda: timing_worker(long_run), long_run)
    time.sleep(1)
    worker.send_signal(signal.SIGKILL)
    assert long_run.wait(30) == 3
    result = read_result(result_file)
    assert result.status == "failed"
    assert result.failure.stage == "timing"
    assert "SIGKILL" in result.failure.message
    assert result.quality is not None
    assert result.variants["baseline"].cold_start is not None
    assert "SIGKILL" in long_run.stderr.read()
    assert not (place / "out" / ".work").exists()


@pytest.mark.slow
def test_an_interrupted_run_stops_at_once_and_keeps_what_it_has(long_run, place):
    result_file = place / "out" / "result.json"
    wait_for(lambda: result_file.exists() and read_result(result_file).quality, long_run)
    family = psutil.Process(long_run.pid).children(recursive=True)
    long_run.send_signal(signal.SIGINT)
    assert long_run.wait(30) == 130
    assert read_result(result_file).failure.kind == "interrupted"
    assert read_result(result_file).quality is not None
    _, alive = psutil.wait_procs(family, timeout=10)
    assert alive == []


@pytest.mark.slow
def test_a_terminated_run_ends_at_once_with_what_it_has_and_its_page(place, fake):
    """`timeout` sends SIGTERM to the run, then to its whole group, the run once more among it."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    patient = ["measure.replicates=20", "measure.max_replicates=20", "measure.replicate_seconds=3"]
    command = [sys.executable, "-m", "optbench", *fake, *patient]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )
    try:
        wait_for(lambda: (place / "out" / "samples.parquet").exists() or timing_worker(process), process)
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        os.killpg(process.pid, signal.SIGTERM)
        assert process.wait(30) == 143
    finally:
        process.kill()
    result = read_result(place / "out")
    assert (result.failure.message, result.failure.stage) == ("terminated (SIGTERM)", "timing")
    assert result.finished_at is not None
    assert (place / "out" / "report.html").is_file()
    assert not (place / "out" / ".running").exists()
    _, alive = psutil.wait_procs(family, timeout=10)
    assert alive == []
    assert "optbench: failed: terminated (SIGTERM)" in process.stderr.read()


@pytest.mark.slow
def test_a_killed_coordinator_leaves_no_process_behind(long_run, place):
    result_file = place / "out" / "result.json"
    wait_for(lambda: result_file.exists() and read_result(result_file).quality, long_run)
    family = psutil.Process(long_run.pid).children(recursive=True)
    assert family
    long_run.kill()
    _, alive = psutil.wait_procs(family, timeout=10)
    assert alive == []
    assert read_result(result_file).status == "failed"
    assert "has not come to its end" in read_result(result_file).failure.message


def test_a_look_at_the_kernels_that_fails_costs_its_answer_and_not_the_run():
    class Worker:
        def kernels(self):
            raise WorkerError("the candidate process was ended by SIGSEGV")

    found = kernels_or_reason(Worker())
    assert found == KernelReport(
        0, 0, reason="the look at the kernels failed: the candidate process was ended by SIGSEGV"
    )
