"""Real launchers: whatever runs the points, the rows are those of a sweep that runs them one by one."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from optbench.records import read_result
from optbench.results.aggregate import aggregate

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="forks and signals as on Linux"),
]
HERE = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
SHORT = [
    "baseline=fake",
    "backend=fake",
    "quant=none",
    "quality=none",
    "measure=quick",
    "measure.warmup_calls=1",
    "measure.cold_start=false",
    "hydra.sweep.dir=sweep",
]
BRIEF = ["measure.replicate_seconds=0.05"]
LONG = ["measure.replicates=4", "measure.max_replicates=4", "measure.replicate_seconds=2"]
AXES = ["batch_size=1,2", "input_length=8,16"]


def needs(package, extra):
    """Skip where a launcher is not installed."""
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"needs pip install 'optbench[{extra}]'")


@pytest.fixture
def short_place():
    """A temporary folder with a short name: a path longer than 107 bytes is no socket of Ray's."""
    place = tempfile.mkdtemp(prefix="ob-", dir="/tmp")
    yield place
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def sweep(tmp_path, bare_model, short_place):
    """Runs a sweep in a process of its own, as from a shell; returns what it printed, and its code."""

    own = {
        "PYTHONPATH": HERE,
        "OPTBENCH_LOCK_DIR": str(tmp_path),
        "HOME": str(tmp_path),
        "TMPDIR": short_place,
    }

    def start(*arguments, lasting=BRIEF):
        given = ["-m", "model=pretrained", f"model.path={bare_model}", *SHORT, *lasting, *AXES, *arguments]
        return subprocess.Popen(
            [sys.executable, "-m", "optbench", *given],
            cwd=tmp_path,
            env={**os.environ, **own},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(*arguments, **options):
        process = start(*arguments, **options)
        out, err = process.communicate(timeout=300)
        return process.returncode, out, err

    run.start = start
    return run


def rows(directory):
    """Status and axes of every point of a sweep."""
    found = aggregate([directory])
    return sorted((point.status, *point.axes.items()) for point in found.points)


EXPECTED = sorted(
    ("ok", ("batch_size", batch), ("input_length", length)) for batch in "12" for length in ("8", "16")
)


def check(tmp_path, done):
    """The rows, the exit code, the table at the end, and results that say how they came to be."""
    code, out, err = done
    assert code == 0, out + err
    assert rows(tmp_path / "sweep") == EXPECTED
    assert "4 points: 4 ok" in out
    assert "Traceback" not in err
    results = [read_result(path.parent) for path in (tmp_path / "sweep").glob("*/result.json")]
    assert {result.command[1] for result in results} == {"-m"}
    assert all(result.environment["thread_variables"] == {} for result in results)
    assert all(result.notes == [] for result in results)
    assert left_behind(tmp_path) == []


def left_behind(tmp_path):
    """Processes that still run for a sweep whose command has ended."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        found = [process.cmdline() for process in psutil.process_iter() if belongs(process, tmp_path)]
        if not found:
            break
        time.sleep(0.1)
    return found


def belongs(process, tmp_path):
    """Whether a process was started for a sweep in this directory."""
    try:
        return process.environ().get("HOME") == str(tmp_path)
    except (psutil.Error, OSError):
        return False


def test_one_point_after_the_other(sweep, tmp_path):
    check(tmp_path, sweep())


@pytest.mark.parametrize("backend", ["loky", pytest.param("multiprocessing", marks=pytest.mark.release)])
def test_joblib(sweep, tmp_path, backend):
    needs("hydra_plugins.hydra_joblib_launcher", "joblib")
    check(tmp_path, sweep("cluster=joblib", f"hydra.launcher.backend={backend}"))


@pytest.mark.release
def test_a_launcher_can_be_named_without_its_cluster_file(sweep, tmp_path):
    needs("hydra_plugins.hydra_joblib_launcher", "joblib")
    check(tmp_path, sweep("hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra/sweeper=basic"))


@pytest.mark.release
def test_the_same_as_slurm_on_this_machine(sweep, tmp_path):
    needs("hydra_plugins.hydra_submitit_launcher", "slurm")
    check(tmp_path, sweep("cluster=local_slurm"))


@pytest.mark.release
def test_a_ray_cluster_that_is_started_here(sweep, tmp_path):
    needs("hydra_plugins.hydra_ray_launcher", "ray")
    check(tmp_path, sweep("cluster=ray", "hydra.launcher.ray.init.num_cpus=2"))


@pytest.fixture
def two_nodes(short_place, monkeypatch):
    """A running Ray cluster of two nodes with one CPU each, started elsewhere; gives its address."""
    needs("hydra_plugins.hydra_ray_launcher", "ray")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("PYTHONPATH", HERE)
    monkeypatch.setenv("RAY_TMPDIR", short_place)
    monkeypatch.chdir("/")
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}, connect=False
    )
    cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    yield cluster
    cluster.shutdown()


@pytest.mark.release
def test_a_ray_cluster_of_two_nodes(sweep, tmp_path, two_nodes):
    done = sweep("cluster=ray", f"hydra.launcher.ray.init.address={two_nodes.address}")
    check(tmp_path, done)


def wait_for(condition, process, seconds=120):
    """The condition's first true value; fails if the process ends before."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError("it did not happen in time")


def coordinator(tmp_path, driver):
    """A process that a launcher started and that runs a point: others work for it already."""
    for process in psutil.process_iter():
        try:
            parent = process.parent() if works_for_a_point(process) and belongs(process, tmp_path) else None
            if parent is not None and parent.pid != driver.pid and not works_for_a_point(parent):
                return parent
        except (psutil.Error, OSError):
            continue
    return None


def works_for_a_point(process):
    """Whether it is one of the processes that a run starts for itself."""
    return "child_main" in " ".join(process.cmdline())


def kill_one(tmp_path, process):
    """Kill the first process that has begun to work on a point."""
    wait_for(lambda: coordinator(tmp_path, process), process).send_signal(signal.SIGKILL)


@pytest.mark.release
def test_a_killed_worker_of_joblib_costs_no_point(sweep, tmp_path):
    needs("hydra_plugins.hydra_joblib_launcher", "joblib")
    process = sweep.start("cluster=joblib", lasting=LONG)
    kill_one(tmp_path, process)
    out, err = process.communicate(timeout=300)
    assert "joblib lost a process" in err
    check(tmp_path, (process.returncode, out, err))


@pytest.mark.release
def test_a_killed_worker_of_ray_costs_no_point(sweep, tmp_path):
    needs("hydra_plugins.hydra_ray_launcher", "ray")
    process = sweep.start("cluster=ray", "hydra.launcher.ray.init.num_cpus=2", lasting=LONG)
    kill_one(tmp_path, process)
    out, err = process.communicate(timeout=300)
    check(tmp_path, (process.returncode, out, err))


@pytest.mark.release
def test_a_killed_job_of_submitit_leaves_the_others(sweep, tmp_path):
    needs("hydra_plugins.hydra_submitit_launcher", "slurm")
    process = sweep.start("cluster=local_slurm", lasting=LONG)
    kill_one(tmp_path, process)
    out, err = process.communicate(timeout=300)
    check(tmp_path, (process.returncode, out, err))


@pytest.mark.release
def test_ctrl_c_ends_a_sweep_after_the_points_that_run(sweep, tmp_path):
    needs("hydra_plugins.hydra_joblib_launcher", "joblib")
    process = sweep.start("cluster=joblib", lasting=LONG)
    wait_for(lambda: coordinator(tmp_path, process), process)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 130, err
    assert "stopping after the points that run" in err
    found = [read_result(path.parent) for path in sorted((tmp_path / "sweep").glob("*/result.json"))]
    assert any(result.status == "ok" for result in found)
    assert any(result.failure is not None and result.failure.kind == "interrupted" for result in found)
    assert left_behind(tmp_path) == []


@pytest.mark.release
def test_a_point_that_is_timed_has_the_machine_to_itself(sweep, tmp_path):
    needs("hydra_plugins.hydra_joblib_launcher", "joblib")
    assert sweep("cluster=joblib", "hydra.launcher.n_jobs=4", lasting=LONG)[0] == 0
    results = [read_result(path.parent) for path in (tmp_path / "sweep").glob("*/result.json")]
    assert any(result.stage_seconds.get("waiting", 0) > 1 for result in results)
