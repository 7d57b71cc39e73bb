"""Around a run: which points a sweep has, what is wrong with them, and the exit code afterwards."""

import os
import signal
import types

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import ConfigCompositionException, HydraException
from omegaconf import OmegaConf

from optbench import claims
from optbench.claims import Holder
from optbench.config import RunConfig
from optbench.delivery.summary import summarise
from optbench.errors import ConfigError
from optbench.hydra_app import hooks
from optbench.hydra_app.axes import ALL_POINTS_LIMIT, keep_plan, point_title, sweep_axes, sweep_points
from optbench.hydra_app.complaints import complaint
from optbench.hydra_app.hooks import (
    RunHooks,
    directory_problems,
    resume_problems,
    single_run_problems,
    sweep_exit_code,
)
from optbench.hydra_app.invocation import Invocation
from optbench.hydra_app.typed import leave, print_problems, to_config
from optbench.processes.termination import Terminated
from optbench.records import RunResult, write_result
from optbench.results.walk import read_plan


@pytest.fixture(autouse=True)
def session(monkeypatch):
    """The shared state as at the start, and nothing of it left for other tests."""
    for name, value in (("exit_code", 0), ("interrupted", False), ("sweeping", False)):
        monkeypatch.setattr(Invocation, name, value)
    monkeypatch.setattr(Invocation, "axes", frozenset())
    for name, value in (("terminated", False), ("stop_file", None), ("claim", None)):
        monkeypatch.setattr(Invocation, name, value)
    handler = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, handler)


def sweep(*overrides, **params):
    """The part of a composed config that tells what is swept."""
    return OmegaConf.create(
        {"hydra": {"sweeper": {"params": params or None}, "overrides": {"task": list(overrides)}}}
    )


def test_axes_are_the_lists_of_the_command_line_and_fixed_values_have_one():
    assert sweep_axes(sweep("quant=none,dynamic", "batch_size=1,8,16", "seed=3")) == {
        "quant": ["none", "dynamic"],
        "batch_size": ["1", "8", "16"],
        "seed": ["3"],
    }


def test_a_list_in_brackets_is_one_value():
    assert sweep_axes(sweep("quality.metrics=[accuracy,f1]"))["quality.metrics"] == ["[accuracy,f1]"]
    assert sweep_axes(sweep("quality.metrics=[a],[b,c]"))["quality.metrics"] == ["[a]", "[b,c]"]


def test_choices_are_axes_too():
    assert sweep_axes(sweep("batch_size=choice(1,8)"))["batch_size"] == ["1", "8"]


def test_ranges_are_axes_too():
    assert sweep_axes(sweep("seed=range(0,3)"))["seed"] == ["0", "1", "2"]


def test_axes_of_the_sweepers_config_come_first_and_the_command_line_wins():
    axes = sweep_axes(sweep("input_length=16,64", "batch_size=2", batch_size="1,8", seed="0,1"))
    assert axes == {"batch_size": ["2"], "seed": ["0", "1"], "input_length": ["16", "64"]}


def test_added_and_forced_keys_are_axes_by_their_names():
    assert list(sweep_axes(sweep("+experiment=demo,noise_floor", "++seed=1"))) == ["+experiment", "++seed"]


def test_a_grid_without_points_is_refused_with_what_to_give():
    with pytest.raises(ConfigError, match=r"give batch_sizes=\[\.\.\.\] and input_lengths=\[\.\.\.\]"):
        sweep_axes(sweep(batch_size="", input_length=""))


@pytest.mark.parametrize("again", ["quant=none,dynamic", "+quant=none", "++quant=none"])
def test_a_key_given_twice_is_refused(again):
    with pytest.raises(ConfigError, match="quant is given more than once; give it once"):
        sweep_axes(sweep("quant=none", again))


def test_every_key_given_twice_is_told():
    with pytest.raises(ConfigError) as caught:
        sweep_axes(sweep("b=1", "a=1", "b=2", "a=2", "c=1"))
    assert [problem.split()[0] for problem in caught.value.problems] == ["a", "b"]


def test_all_points_of_a_small_grid_are_checked():
    points = sweep_points({"a": ["1", "2"], "b": ["x"], "c": ["7", "8"]})
    assert points == [
        ["a=1", "b=x", "c=7"],
        ["a=1", "b=x", "c=8"],
        ["a=2", "b=x", "c=7"],
        ["a=2", "b=x", "c=8"],
    ]


def test_a_grid_as_large_as_the_limit_is_checked_whole():
    numbers = [str(number) for number in range(ALL_POINTS_LIMIT // 4)]
    points = sweep_points({"a": numbers, "b": ["1", "2", "3", "4"]})
    assert len(points) == len({tuple(point) for point in points}) == ALL_POINTS_LIMIT


def test_of_a_larger_grid_each_value_is_checked_once_beside_the_others_first():
    numbers = [str(number) for number in range(ALL_POINTS_LIMIT)]
    points = sweep_points({"a": numbers, "b": ["x", "y", "z"]})
    assert len(points) == 1 + (ALL_POINTS_LIMIT - 1) + 2
    assert points[0] == ["a=0", "b=x"]
    assert ["a=63", "b=x"] in points
    assert points[-2:] == [["a=0", "b=y"], ["a=0", "b=z"]]


def test_a_sweep_without_axes_has_one_point():
    assert sweep_points({}) == [[]]


def result(status):
    return RunResult(
        optbench_version="0",
        status=status,
        started_at="2025-01-01T00:00:00+00:00",
        command=[],
        config={},
        config_hash="",
        environment={},
    )


def point(directory, number, status=None):
    """A point's directory as Hydra and a run leave it; without a result if there is no status."""
    place = directory / str(number)
    (place / ".hydra").mkdir(parents=True)
    if status is not None:
        write_result(place, result(status))
    return place


@pytest.mark.parametrize(
    ("statuses", "code"),
    [
        (["ok", "ok"], 0),
        (["ok", "skipped"], 0),
        (["skipped"], 0),
        (["ok", "failed", "ok"], 3),
        (["ok", None], 3),
        ([], 3),
    ],
)
def test_the_exit_code_of_a_sweep_follows_its_points(tmp_path, statuses, code):
    for number, status in enumerate(statuses):
        point(tmp_path, number, status)
    (tmp_path / "optimization_results.yaml").write_text("name: optuna")
    (tmp_path / "notes").mkdir()
    assert sweep_exit_code(tmp_path) == code


def test_a_damaged_result_counts_as_a_failure(tmp_path):
    (point(tmp_path, 0, "ok") / "result.json").write_text("{")
    point(tmp_path, 1, "ok")
    assert sweep_exit_code(tmp_path) == 3


def test_an_interrupted_sweep_has_the_code_of_an_interrupt(tmp_path, monkeypatch):
    point(tmp_path, 0, "ok")
    monkeypatch.setattr(Invocation, "interrupted", True)
    assert sweep_exit_code(tmp_path) == 130


def test_a_terminated_sweep_has_the_code_of_sigterm_and_starts_nothing_more(tmp_path, monkeypatch):
    point(tmp_path, 0, "ok")
    monkeypatch.setattr(Invocation, "sweeping", True)
    Invocation.stop_file = tmp_path / "stop"
    Invocation.end_now()
    assert Invocation.stop_file.exists()  # a launcher's processes look for it
    assert sweep_exit_code(tmp_path) == 143
    with pytest.raises(Terminated):
        RunHooks().on_job_end(OmegaConf.create({}), None)


def test_a_directory_that_holds_a_result_is_overwritten_with_a_word(tmp_path, capsys):
    write_result(tmp_path, result("ok"))
    hooks.claim(tmp_path, "hydra.run.dir")
    Invocation.claim.release()
    assert capsys.readouterr().err == (
        f"optbench: {tmp_path} holds an earlier result, which this run overwrites\n"
    )
    hooks.claim(tmp_path / "new", "hydra.run.dir")
    Invocation.claim.release()
    assert capsys.readouterr().err == ""


def test_a_directory_in_which_another_run_or_its_sweep_works_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(claims, "holder_of", lambda place: Holder(7, "here") if place == tmp_path else None)
    with pytest.raises(SystemExit) as ended:
        hooks.claim(tmp_path / "0", "hydra.run.dir")
    assert ended.value.code == 2
    assert "one is running there (pid 7 on here)" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_can_be_made_has_no_problem_and_is_not_made(tmp_path):
    assert directory_problems(tmp_path, "hydra.run.dir") == []
    assert directory_problems(tmp_path / "a" / "b", "hydra.run.dir") == []
    assert list(tmp_path.iterdir()) == []


def test_a_relative_directory_is_seen_from_the_current_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    assert directory_problems(type(tmp_path)("outputs/x"), "hydra.run.dir") == []
    (problem,) = directory_problems(type(tmp_path)("file/x"), "hydra.run.dir")
    assert problem == (
        f"hydra.run.dir=file/x must be a writable directory, but {tmp_path / 'file'} is not a directory; "
        "choose another"
    )


def test_a_dangling_link_is_no_directory(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    (problem,) = directory_problems(tmp_path / "link" / "x", "hydra.sweep.dir")
    assert f"{tmp_path / 'link'} is not a directory" in problem


def test_a_directory_without_permission_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda place, mode: False)
    (problem,) = directory_problems(tmp_path / "x", "hydra.run.dir")
    assert f"{tmp_path} is not writable" in problem


def caused(message, cause=None):
    error = ConfigCompositionException(message)
    error.__cause__ = None if cause is None else ValueError(cause)
    return error


def test_a_message_of_hydra_becomes_one_line_without_what_helps_nobody():
    message = (
        "In 'config': Could not find 'quant/dynamik'\n\nAvailable options in 'quant':\n\tdynamic\n"
        "\tdynamic_schema\n\tnone\nConfig search path:\n\tprovider=main, path=file:///conf\n"
        "Set the environment variable HYDRA_FULL_ERROR=1"
    )
    assert complaint(caused(message)) == (
        "Could not find 'quant/dynamik' Available options in 'quant': dynamic none"
    )


def test_the_cause_of_a_message_is_told_once():
    error = caused("Could not override 'batch_siz'.", "Did you mean 'batch_size'?\n  full_key: batch_siz")
    assert complaint(error) == "Could not override 'batch_siz'. Did you mean 'batch_size'?"
    assert complaint(caused("Key 'x' is unknown", "Key 'x'")) == "Key 'x' is unknown"
    assert complaint(caused("Key 'x' is unknown", "  ")) == "Key 'x' is unknown"


def test_a_message_of_the_parser_is_one_line():
    with pytest.raises(HydraException) as caught:
        OverridesParser.create().parse_overrides(["batch_size=[1"])
    assert "\n" not in complaint(caught.value)


def test_a_point_is_named_by_what_sets_it_apart(monkeypatch):
    overrides = ["quant=none", "batch_size=8", "seed=3"]
    monkeypatch.setattr(Invocation, "axes", frozenset({"quant", "batch_size"}))
    assert point_title(2, overrides) == "point 2: quant=none batch_size=8"
    monkeypatch.setattr(Invocation, "axes", frozenset())
    assert point_title("0", overrides) == "point 0: quant=none batch_size=8 seed=3"


def test_a_missing_value_is_named_with_how_to_set_it():
    config = OmegaConf.create({"hydra": {}, "model": {"path": "???"}})
    with pytest.raises(ConfigError, match=r"model\.path must be set.*set it with model\.path=VALUE"):
        to_config(config)


def test_all_missing_values_are_named_at_once():
    config = OmegaConf.create({"model": {"path": "???"}, "dataset": {"path": "???", "name": "x"}})
    with pytest.raises(ConfigError) as caught:
        to_config(config)
    assert [problem.split()[0] for problem in caught.value.problems] == ["dataset.path", "model.path"]


def test_an_interpolation_to_nowhere_is_named_with_its_key():
    with pytest.raises(ConfigError, match=r"^model: ") as caught:
        to_config(OmegaConf.create({"model": "${nowhere}"}))
    assert len(caught.value.problems) == 1
    assert "\n" not in str(caught.value)


def test_a_config_that_does_not_start_from_the_schema_is_refused():
    with pytest.raises(ConfigError, match="must start from optbench's schema"):
        to_config(OmegaConf.create({"batch_size": 1}))


def test_the_config_of_hydra_is_not_part_of_the_config_and_stays_as_it_was():
    config = OmegaConf.create({"hydra": {"run": {"dir": "out"}}, "a": 1})
    OmegaConf.set_readonly(config, True)
    with pytest.raises(ConfigError):
        to_config(config)
    assert config == {"hydra": {"run": {"dir": "out"}}, "a": 1}


def test_one_problem_and_several_are_told_on_stderr(capsys):
    print_problems(ConfigError("a must be 1"))
    assert capsys.readouterr().err == "optbench: the configuration has a problem:\n  a must be 1\n"
    print_problems(ConfigError("a must be 1", "b must be 2"))
    assert capsys.readouterr().err == (
        "optbench: the configuration has 2 problems:\n  a must be 1\n  b must be 2\n"
    )


def test_bad_configuration_ends_the_process_with_its_code(capsys):
    with pytest.raises(SystemExit) as caught:
        leave(ConfigError("a must be 1"))
    assert caught.value.code == 2
    assert "a must be 1" in capsys.readouterr().err


def choices(sweep=None):
    return OmegaConf.create({"hydra": {"runtime": {"choices": {"sweep": sweep} if sweep else {}}}})


def lists(**values):
    return types.SimpleNamespace(grid={"batch_size": [], "input_length": [], **values})


def test_a_grid_needs_a_multirun():
    assert single_run_problems(choices("grid"), lists()) == [
        "sweep=grid walks a grid, which needs a multirun; add -m"
    ]
    assert single_run_problems(choices("none"), lists()) == single_run_problems(choices(), lists()) == []


def test_a_list_needs_a_multirun_and_is_told_how():
    batch, length = single_run_problems(choices(), lists(batch_size=[1, 8], input_length=[16]))
    assert "optbench -m sweep=grid 'batch_sizes=[1,8]', or give" in batch
    assert "batch_size=" in batch
    assert "optbench -m sweep=grid 'input_lengths=[16]'" in length


def test_the_first_interrupt_of_a_sweep_waits_for_the_point_and_the_second_does_not(capsys):
    hooks.interrupt(signal.SIGINT, None)
    assert Invocation.interrupted
    assert "press Ctrl-C again" in capsys.readouterr().err
    with pytest.raises(KeyboardInterrupt):
        hooks.interrupt(signal.SIGINT, None)


def test_a_sweep_stops_after_the_point_that_was_interrupted(monkeypatch):
    RunHooks().on_job_end(OmegaConf.create({}), None)
    monkeypatch.setattr(Invocation, "interrupted", True)
    RunHooks().on_job_end(OmegaConf.create({}), None)  # a single run says itself how it ended
    monkeypatch.setattr(Invocation, "sweeping", True)
    with pytest.raises(KeyboardInterrupt):
        RunHooks().on_job_end(OmegaConf.create({}), None)


def test_the_end_of_a_sweep_gives_its_code_and_ctrl_c_back(tmp_path, monkeypatch):
    point(tmp_path, 0, "ok")
    config = OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path)}}})
    monkeypatch.setattr(Invocation, "exit_code", 7)
    RunHooks().on_multirun_end(config)
    assert Invocation.exit_code == 7
    monkeypatch.setattr(Invocation, "sweeping", True)
    RunHooks().on_multirun_end(config)
    assert Invocation.exit_code == 0
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_sweep_whose_directory_vanished_has_failed(tmp_path, monkeypatch):
    monkeypatch.setattr(Invocation, "sweeping", True)
    config = OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path / "gone")}}})
    with pytest.raises(OSError):
        RunHooks().on_multirun_end(config)
    assert Invocation.exit_code == 3


def test_a_run_config_is_made_of_a_structured_config():
    structured = OmegaConf.structured(RunConfig)
    with pytest.raises(ConfigError, match="must be set"):
        to_config(structured)


def grid(directory, *overrides, sampler="optuna.samplers.GridSampler"):
    """The part of a composed config that a sweep's plan is made of."""
    sweeper = {"params": None, "sampler": {"_target_": sampler}}
    parts = {"sweep": {"dir": str(directory)}, "sweeper": sweeper, "overrides": {"task": list(overrides)}}
    return OmegaConf.create({"hydra": parts})


def test_a_grid_writes_down_its_points_and_a_search_cannot(tmp_path):
    keep_plan(grid(tmp_path / "grid", "quant=none,dynamic", "seed=1"))
    assert read_plan(str(tmp_path / "grid")).axes == {"quant": ["none", "dynamic"], "seed": ["1"]}
    keep_plan(grid(tmp_path / "search", "quant=none,dynamic", sampler="optuna.samplers.TPESampler"))
    assert not (tmp_path / "search").exists()
    (tmp_path / "file").write_text("")
    keep_plan(grid(tmp_path / "file" / "x", "quant=none"))


def test_the_end_of_a_sweep_prints_and_writes_its_table(tmp_path, capsys):
    point(tmp_path, 0, "failed")
    summarise(tmp_path)
    shown = capsys.readouterr()
    assert "1 point: 1 failed" in shown.out
    assert (tmp_path / "results.csv").is_file()
    assert shown.err.startswith(f"Written: {tmp_path}/")


def test_a_quiet_sweep_writes_its_table_only(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("OPTBENCH_VERBOSITY", "quiet")
    point(tmp_path, 0, "failed")
    summarise(tmp_path)
    assert capsys.readouterr().out == ""
    assert (tmp_path / "results.json").is_file()


def test_a_table_that_cannot_be_made_costs_a_sweep_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Invocation, "sweeping", True)
    point(tmp_path, 0, "ok")
    (tmp_path / "results.json").mkdir()
    RunHooks().on_multirun_end(OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path)}}}))
    assert Invocation.exit_code == 0
    assert f"their results lie in {tmp_path}" in capsys.readouterr().err


def test_a_sweep_must_not_overwrite_the_one_it_resumes(tmp_path):
    config = OmegaConf.create({"resume": str(tmp_path / "x" / "..")})
    (problem,) = resume_problems(config, tmp_path)
    assert "must not be the directory of the new sweep" in problem
    assert resume_problems(config, tmp_path / "new") == []
    assert resume_problems(OmegaConf.create({"resume": None}), tmp_path) == []
