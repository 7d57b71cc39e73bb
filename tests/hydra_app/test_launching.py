"""Points in a launcher's processes: what they are told, and what becomes of a sweep that loses some."""

import os
import pickle
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest
from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from optbench import main as main_module
from optbench.cli import main
from optbench.hydra_app.hooks import interrupt
from optbench.hydra_app.invocation import Invocation
from optbench.hydra_app.launchers import LostJobError, every_job_awaited, release
from optbench.hydra_app.launching import (
    STOP_FILE,
    RemotePoint,
    completed,
    consecutive,
    finished,
    first_line,
    quoted,
)
from optbench.records import RunResult, read_result, write_result
from optbench.verbosity import Verbosity, verbosity

LOST = "a worker process was killed\nby the kernel"


class Flaky(BasicLauncher):
    """Runs points one by one, and dies as it is told.

    deaths: number of a point to how often it takes its worker along. breaks: it starts nothing at all.
    unwell: points that raise before our task is reached. jobs_lost: as deaths, but the others go on.
    """

    deaths: ClassVar[dict] = {}
    breaks = False
    unwell: ClassVar[set] = set()
    jobs_lost: ClassVar[dict] = {}
    on_start = None
    launched: ClassVar[list] = []

    def __init__(self, n_jobs):
        super().__init__()

    def launch(self, job_overrides, initial_job_idx):
        returned = []
        if Flaky.breaks:
            raise RuntimeError(LOST)
        Flaky.launched.append([initial_job_idx + place for place in range(len(job_overrides))])
        for number, overrides in enumerate(job_overrides, initial_job_idx):
            if Flaky.on_start is not None:
                Flaky.on_start(number)
            if Flaky.deaths.get(number, 0) > 0:
                Flaky.deaths[number] -= 1
                (Path(str(self.config.hydra.sweep.dir)) / str(number) / ".hydra").mkdir(
                    parents=True, exist_ok=True
                )
                raise RuntimeError(LOST)
            if Flaky.jobs_lost.get(number, 0) > 0:
                Flaky.jobs_lost[number] -= 1
                lost = JobReturn(status=JobStatus.FAILED)
                lost.return_value = LostJobError("no output")
                returned.append(lost)
                (Path(str(self.config.hydra.sweep.dir)) / str(number) / ".hydra").mkdir(parents=True)
            elif number in Flaky.unwell:
                failed = JobReturn(status=JobStatus.FAILED)
                failed.return_value = OSError("no such place here")
                returned.append(failed)
            else:
                returned += super().launch([overrides], number)
        return returned


def quick_task(config):
    """A point that is over at once: its result tells what its process was told."""
    directory = Path(HydraConfig.get().runtime.output_dir)
    facts = {"launched": Invocation.launched, "axes": sorted(Invocation.axes), "cwd": str(Path.cwd())}
    facts |= {"verbosity": verbosity().value, "omp": os.environ.get("OMP_NUM_THREADS")}
    result = RunResult(
        optbench_version="0",
        status="ok",
        started_at="2026-01-01T00:00:00+00:00",
        finished_at="2026-01-01T00:00:01+00:00",
        command=sys.argv,
        config=facts,
        config_hash=str(config.batch_size),
        environment={},
    )
    write_result(directory, result)
    return (0.0, float("inf"))


@pytest.fixture
def launcher(monkeypatch, tmp_path):
    """Known to Hydra as hydra/launcher=flaky; a sweep in an empty directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(main_module, "task", quick_task)
    for name, value in (
        ("deaths", {}),
        ("jobs_lost", {}),
        ("breaks", False),
        ("unwell", set()),
        ("launched", []),
    ):
        monkeypatch.setattr(Flaky, name, value)
    monkeypatch.setattr(Flaky, "on_start", None)
    for name in ("exit_code", "interrupted", "sweeping", "launched", "stop_file", "axes", "at_end"):
        monkeypatch.setattr(Invocation, name, getattr(Invocation, name))
    Plugins.instance().register(Flaky)
    target = f"{Flaky.__module__}.{Flaky.__name__}"
    node = {"_target_": target, "n_jobs": 2}
    ConfigStore.instance().store(group="hydra/launcher", name="flaky", node=node, replace=True)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT,)}
    yield Flaky
    for number, handler in handlers.items():
        signal.signal(number, handler)


SWEEP = ["-m", "hydra/launcher=flaky", "hydra.sweep.dir=sweep", "quant=none", "batch_size=1,2,4,8"]


def rows():
    """Number of each point that left a result, and its batch size."""
    found = {}
    for directory in Path("sweep").iterdir():
        if (directory / "result.json").is_file():
            found[int(directory.name)] = read_result(directory)
    return found


def test_a_grid_goes_to_a_launcher_in_one_go_and_every_point_is_a_row(launcher, capfd):
    assert main(SWEEP) == 0
    assert launcher.launched == [[0, 1, 2, 3]]
    assert {result.config_hash for result in rows().values()} == {"1", "2", "4", "8"}
    shown = capfd.readouterr()
    assert "4 points: 4 ok" in shown.out
    assert f"4 points handed to flaky; rows appear in {Path.cwd()}/sweep" in shown.err


def test_a_sampler_that_learns_goes_in_steps_of_as_many_as_run_at_a_time(launcher):
    learning = ["hydra/sweeper/sampler=tpe", "hydra.sweeper.n_trials=4"]
    assert main([*SWEEP[:-1], "batch_size=choice(1,2,4,8)", *learning]) == 0
    assert launcher.launched == [[0, 1], [2, 3]]


def test_hydras_basic_sweeper_works_too(launcher):
    assert main([*SWEEP, "hydra/sweeper=basic"]) == 0
    assert len(rows()) == 4


def test_a_point_is_told_what_its_process_cannot_know(launcher, monkeypatch, tmp_path):
    def as_a_launcher_does(number):
        os.environ["OMP_NUM_THREADS"] = "1"
        os.chdir("/")

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(launcher, "on_start", as_a_launcher_does)
    assert main(["-q", *SWEEP]) == 0
    monkeypatch.chdir(tmp_path)
    for result in rows().values():
        assert result.command == ["optbench", *SWEEP]
        assert result.config == {
            "launched": True,
            "axes": ["batch_size"],
            "cwd": str(tmp_path),
            "verbosity": "quiet",
            "omp": None,
        }


def test_thread_counts_of_the_users_own_shell_reach_the_points(launcher, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert main(SWEEP) == 0
    assert {result.config["omp"] for result in rows().values()} == {"7"}


def test_a_lost_process_costs_nobody_else_anything(launcher, capfd):
    launcher.deaths = {1: 1}
    assert main(SWEEP) == 0
    assert launcher.launched == [[0, 1, 2, 3], [1], [2, 3]]
    assert sorted(rows()) == [0, 1, 2, 3]
    told = "flaky lost a process (a worker process was killed); 3 points to start again"
    assert told in capfd.readouterr().err


def test_a_point_that_always_takes_its_process_along_is_the_only_one_without_a_result(launcher, capfd):
    launcher.deaths = {1: 9}
    assert main(SWEEP) == 3
    assert sorted(rows()) == [0, 2, 3]
    shown = capfd.readouterr()
    assert "4 points: 3 ok, 1 missing" in shown.out
    assert "Traceback" not in shown.err


def test_a_launcher_that_breaks_down_later_leaves_the_rest_missing(launcher, capfd):
    def break_down(number):
        if number == 2:
            launcher.breaks = True
            raise RuntimeError(LOST)

    launcher.on_start = staticmethod(break_down)
    assert main(SWEEP) == 3
    assert sorted(rows()) == [0, 1]
    shown = capfd.readouterr()
    assert "4 points: 2 ok, 2 missing" in shown.out
    assert "starts nothing any more (a worker process was killed); 2 points left out" in shown.err


def test_a_launcher_that_starts_nothing_at_all_is_a_bad_option(launcher, capfd):
    launcher.breaks = True
    assert main(SWEEP) == 2
    shown = capfd.readouterr()
    told = "hydra/launcher=flaky could not start the points: a worker process was killed; set its options"
    assert told in shown.err
    assert "Traceback" not in shown.err
    assert shown.out == ""


def test_a_point_that_fails_before_our_task_is_told_and_the_grid_goes_on(launcher, capfd):
    launcher.unwell = {3}
    assert main(SWEEP) == 3
    assert sorted(rows()) == [0, 1, 2]
    shown = capfd.readouterr()
    assert "point 3 could not begin: no such place here" in shown.err
    assert "3 ok, 1 missing" in shown.out


def test_a_job_that_alone_is_lost_is_started_again_and_no_other(launcher, capfd):
    launcher.jobs_lost = {1: 1}
    assert main(SWEEP) == 0
    assert launcher.launched == [[0, 1, 2, 3], [1]]
    assert "lost a process (no output); 1 point to start again" in capfd.readouterr().err


def test_after_ctrl_c_points_that_have_not_begun_do_not_begin(launcher, capfd):
    def press(number):
        if number == 1:
            interrupt(signal.SIGINT, None)
            Invocation.interrupted = False  # the processes of a launcher have only the file to look at

    launcher.on_start = staticmethod(press)
    assert main(SWEEP) == 3
    found = rows()
    assert found[0].status == "ok"
    assert {found[number].failure.kind for number in (1, 2, 3)} == {"interrupted"}
    shown = capfd.readouterr()
    assert "stopping after the points that run; press Ctrl-C again" in shown.err
    assert "1 ok, 3 failed" in shown.out
    launcher.on_start = None
    assert main(SWEEP) == 0
    assert not (Path("sweep") / STOP_FILE).exists()


def test_a_process_that_is_lost_after_ctrl_c_is_not_started_again(launcher):
    def press(number):
        if number == 1:
            interrupt(signal.SIGINT, None)
            raise RuntimeError(LOST)

    launcher.on_start = staticmethod(press)
    assert main(SWEEP) == 130
    assert launcher.launched == [[0, 1, 2, 3]]


@pytest.mark.slow
def test_a_search_is_not_spread(launcher, capfd):
    assert main(["hydra/launcher=flaky", "+experiment=tune", "quality.margin=0.01"]) == 2
    assert "a search (tune) learns from one point after the other" in capfd.readouterr().err


def test_points_that_left_their_result_elsewhere_only_are_in_the_table(launcher, tmp_path, capfd):
    url = f"file://{tmp_path}/far"
    assert main([*SWEEP, f"results_url={url}"]) == 0
    assert "4 points: 4 ok" in capfd.readouterr().out
    assert (tmp_path / "far" / "sweep" / "results.csv").is_file()
    Path("sweep").rename("shared")
    point = tmp_path / "far" / "sweep" / "2"
    Path("shared", "2").rename(point)
    launcher.deaths = {}
    launcher.unwell = {2}
    assert main([*SWEEP, f"results_url={url}"]) == 0
    assert "4 points: 4 ok" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("option", "extra"), [("ray", "ray"), ("submitit_slurm", "slurm"), ("submitit_local", "slurm")]
)
def test_a_launcher_that_is_not_installed_is_named_with_what_brings_it(launcher, option, extra, capfd):
    if ConfigStore.instance().repo.get("hydra", {}).get("launcher", {}).get(f"{option}.yaml"):
        pytest.skip(f"hydra/launcher={option} is installed")
    assert main(["-m", f"hydra/launcher={option}", "batch_size=1,2"]) == 2
    assert f"run: pip install 'optbench[{extra}]'" in capfd.readouterr().err


def test_a_remote_point_can_be_sent_by_plain_pickle(tmp_path):
    point = RemotePoint(
        task=main_module.task,
        command=["optbench"],
        directory=str(tmp_path),
        axes=frozenset({"quant"}),
        verbosity=Verbosity.quiet,
        stop_file=tmp_path / STOP_FILE,
        thread_counts={},
        niceness=0,
    )
    assert pickle.loads(pickle.dumps(point)) == point


def test_numbers_without_gaps_are_started_together():
    jobs = [(number, []) for number in (0, 1, 4, 6, 7)]
    assert [[number for number, _ in block] for block in consecutive(jobs)] == [[0, 1], [4], [6, 7]]
    assert consecutive([]) == []


def test_only_a_result_with_an_end_is_finished(tmp_path, made_run, write_run):
    assert finished(tmp_path) is None
    write_run(tmp_path / "a", made_run(finished_at=None))
    write_run(tmp_path / "b", made_run(finished_at="2026-01-01T00:00:00+00:00"))
    assert finished(tmp_path / "a") is None
    assert finished(tmp_path / "b").status == "ok"


def test_what_a_sampler_gets_and_how_errors_are_told():
    made = completed((1.0, 2.0))
    assert (made.status, made.return_value) == (JobStatus.COMPLETED, (1.0, 2.0))
    assert first_line(LOST) == "a worker process was killed"
    assert first_line(ValueError("\n  x\ny")) == "x"
    assert first_line(ValueError()) == "ValueError"


@pytest.mark.parametrize("name", ["plain", "with space", "it's", "a\\b", "k=v,w", "ünïcode"])
def test_a_directory_of_any_name_is_an_override(name):
    from hydra.core.override_parser.overrides_parser import OverridesParser

    (parsed,) = OverridesParser.create().parse_overrides([f"hydra.sweep.dir={quoted(f'/x/{name}')}"])
    assert OmegaConf.create({"dir": f"/x/{name}"}).dir == str(parsed.value())


def test_there_is_nothing_to_release_without_a_cluster(monkeypatch):
    monkeypatch.delitem(sys.modules, "ray", raising=False)
    release()
    assert "ray" not in sys.modules


def test_a_cluster_that_runs_is_released(monkeypatch):
    ended = []
    ray = SimpleNamespace(is_initialized=lambda: not ended, shutdown=lambda: ended.append(True))
    monkeypatch.setitem(sys.modules, "ray", ray)
    release()
    release()
    assert ended == [True]


class AJob:
    """Stands in for a job of submitit that left no output."""

    def results(self):
        raise RuntimeError("no output")


def test_a_lost_job_of_submitit_is_an_answer_while_a_sweep_runs(monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", SimpleNamespace(Job=AJob))
    with every_job_awaited():
        (lost,) = AJob().results()
    assert (lost.status, str(lost._return_value)) == (JobStatus.FAILED, "no output")
    with pytest.raises(RuntimeError):
        AJob().results()
    monkeypatch.setitem(sys.modules, "submitit", None)
    with every_job_awaited():
        pass
