"""The command line before a run: help, version, composition, and what it does not import."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from optbench import __version__, cli
from optbench.cli import main
from optbench.delivery.command_line import resuming
from optbench.hydra_app.endings import ended_early
from optbench.hydra_app.help import GROUPS, meaning
from optbench.hydra_app.invocation import Invocation
from optbench.locations import conf_dir
from optbench.measure.samples import Block, Placed, Samples
from optbench.stages.storage import write_samples

HEAVY = ("torch", "transformers", "onnxruntime", "datasets", "optimum", "sklearn", "pandas", "optuna")
HEAVY_BEFORE_A_RUN = (*HEAVY, "scipy")
PROBE = """
import sys
from optbench.cli import main
code = main({arguments!r})
print("loaded:", *[name for name in {heavy!r} if name in sys.modules], file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["--help"], 0), (["--cfg", "job"], 0), (["--version"], 0), (["batch_size=0"], 2), (["bogus=1"], 2)],
)
def test_heavy_libraries_are_not_imported_before_a_run(arguments, code, tmp_path):
    script = PROBE.format(arguments=arguments, heavy=HEAVY_BEFORE_A_RUN)
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == code, done.stderr
    assert "loaded:\n" in done.stderr


def test_a_plan_imports_nothing_that_runs_models(tmp_path, private_cache):
    script = PROBE.format(arguments=["--plan"], heavy=HEAVY)
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert "loaded:\n" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_tables_of_results_need_no_heavy_library(tmp_path, made_run, write_run):
    for number in range(10):
        write_run(tmp_path / "all" / str(number), made_run(batch=number + 1), [f"batch_size={number + 1}"])
    samples = Samples([Placed(0, 0, 0, "baseline", Block([80, 70], 1, 60, 2000))], [(0, 0, 555)])
    write_samples(tmp_path / "all" / "0", samples)
    for arguments in (["aggregate", "all"], ["compare", "all", "all"], ["report", "all/0"], ["--version"]):
        script = PROBE.format(arguments=arguments, heavy=(*HEAVY, "hydra", "IPython"))
        command = [sys.executable, "-c", script]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stderr.endswith("loaded:\n"), (arguments, done.stderr)


def test_importing_the_package_costs_nothing_and_its_api_needs_no_heavy_library():
    script = (
        "import sys, optbench; before = {name.partition('.')[0] for name in sys.modules}; "
        "light = not before & {'hydra', 'omegaconf', 'numpy', 'msgspec', 'rich'}; "
        "optbench.compose('batch_size=2'); "
        f"heavy = [name for name in {(*HEAVY, 'scipy')!r} if name in sys.modules]; "
        "sys.exit(0 if light and not heavy else f'{before} {heavy}')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_reading_and_showing_results_needs_no_heavy_library():
    script = "import optbench.records, optbench.reports.terminal, optbench.judgement.verdict, sys; "
    script += f"sys.exit(' '.join(name for name in {HEAVY!r} if name in sys.modules) or 0)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_help_page_names_every_option_with_its_meaning(capfd):
    assert main(["--help"]) == 0
    page = capfd.readouterr().out
    for group in GROUPS:
        for file in (conf_dir() / group).glob("*.yaml"):
            assert f"    {file.stem}" in page
            assert meaning(file)
            assert meaning(file) in page
    assert page.count("  optbench ") >= 4
    assert max(map(len, page.splitlines())) <= 120


def test_every_config_group_of_ours_is_on_the_help_page():
    folders = {path.name for path in conf_dir().iterdir() if path.is_dir()}
    assert folders - {"hydra", "experiment"} == set(GROUPS)


def test_the_version(capfd):
    assert main(["--version"]) == 0
    assert capfd.readouterr().out == f"optbench {__version__}\n"


def test_the_composed_config_can_be_looked_at(capfd):
    assert main(["--cfg", "job", "backend=onnxruntime", "quant=dynamic", "batch_size=8"]) == 0
    shown = capfd.readouterr()
    assert "batch_size: 8" in shown.out
    assert "per_channel: true" in shown.out
    assert shown.err == ""


def test_the_baseline_takes_its_own_parts(capfd):
    own = ["baseline=onnxruntime", "quant@baseline.quantization=dynamic", "baseline.threads=1"]
    assert main(["--cfg", "job", "-p", "baseline", *own]) == 0
    shown = capfd.readouterr().out
    assert "weight_type: auto" in shown
    assert "threads: 1" in shown


def test_a_config_of_ones_own_works_and_the_command_line_wins(tmp_path, capfd):
    (tmp_path / "quant").mkdir()
    (tmp_path / "quant" / "mine.yaml").write_text(
        "# @package quantization\ndefaults: [dynamic_schema, _self_]\nreduce_range: true\n"
    )
    (tmp_path / "my_run.yaml").write_text(
        "defaults: [config, {override quant: mine}, _self_]\nbatch_size: 4\ninput_length: 8\n"
    )
    arguments = ["--config-dir", str(tmp_path), "--config-name", "my_run", "--cfg", "job"]
    assert main([*arguments, "batch_size=2"]) == 0
    shown = capfd.readouterr().out
    assert "reduce_range: true" in shown
    assert "batch_size: 2" in shown
    assert "input_length: 8" in shown


@pytest.mark.parametrize(
    "file", sorted(conf_dir().glob("*/*.yaml")), ids=lambda file: f"{file.parent.name}/{file.stem}"
)
def test_every_shipped_option_composes(file, capfd):
    group = file.parent.name
    if group in ("hydra",):
        pytest.skip("Hydra's own")
    sign = "+" if group == "experiment" else ""
    multirun = ["-m"] if file.stem == "grid" else []
    code = main(["--cfg", "job", *multirun, f"{sign}{group}={file.stem}"])
    if group == "cluster" and "needs a package that is not installed" in (told := capfd.readouterr().err):
        pytest.skip(told.splitlines()[-1].strip())
    assert code == 0 or multirun


def test_ctrl_c_before_anything_has_begun_is_one_word(monkeypatch, capsys):
    def interrupted(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "main", interrupted)
    with pytest.raises(SystemExit) as caught:
        cli.console()
    assert caught.value.code == 130
    assert capsys.readouterr().err == "optbench: interrupted\n"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            OSError(28, "No space left on device", "sweep/3/.hydra"),
            "sweep/3/.hydra cannot be written or read",
        ),
        (
            RuntimeError("a worker of the launcher died\nand more"),
            "RuntimeError: a worker of the launcher died;",
        ),
        (RuntimeError(), "RuntimeError: ;"),
    ],
)
def test_a_sweep_that_ends_early_says_why_and_how_to_go_on(monkeypatch, capsys, error, words):
    monkeypatch.setattr(Invocation, "claim", SimpleNamespace(directory=Path("sweep")))
    monkeypatch.setattr(Invocation, "exit_code", 0)
    assert ended_early(error) == 3
    told = capsys.readouterr().err
    assert words in told
    assert "resume=sweep" in told
    monkeypatch.setattr(Invocation, "interrupted", True)
    assert ended_early(error) == 130
    monkeypatch.setattr(Invocation, "terminated", True)
    assert ended_early(error) == 143


def test_a_sweep_goes_on_in_a_new_directory_with_what_the_old_one_has():
    command = ["optbench", "-m", "quant=none,dynamic", "hydra.sweep.dir=old", "resume=older", "seed=1"]
    assert resuming(command, Path("my sweep")) == "optbench -m quant=none,dynamic seed=1 'resume=my sweep'"
