"""Every command in the documentation composes or parses: a wrong option, key or file is found here.

A command whose first word is no program of ours stands in NOT_OURS with what it does.
"""

import importlib.util
import os
import re
import shlex
from pathlib import Path, PurePath

import documented
import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode

from optbench import cli
from optbench.components import collect_problems
from optbench.config import register_run_schema
from optbench.hydra_app import hooks, plugins
from optbench.hydra_app.complaints import complaint
from optbench.hydra_app.resolvers import register_resolvers
from optbench.locations import conf_dir
from optbench.results.conditions import parse as parse_condition

ROOT = documented.ROOT

NOT_OURS = {
    "pip": "installs packages",
    "mutmut": "tries mutants; it has an environment of its own",
    "git": "fetches or commits",
    "cd": "changes the folder",
    "cp": "copies files",
    "ls": "lists files",
    "head": "shows the beginning of a file",
    "cat": "shows a file",
    "jq": "reads JSON",
    "[": "tests a condition of the shell",
    "export": "sets a variable of the shell",
    "sudo": "needs an administrator",
    "cpupower": "sets the CPU's frequency",
    "taskset": "runs what follows on some cores",
    "docker": "runs containers",
    "source": "enters an environment",
    "pytest": "runs tests",
    "pre-commit": "runs checks before a commit",
    "ray": "starts or joins a cluster",
    "sbatch": "hands a job to Slurm",
    "scancel": "ends a job of Slurm",
    "optuna-dashboard": "shows a study of Optuna",
}
"""First words of commands that are no business of this test, and what they do."""


NOT_CHECKED = {
    "=reference": "belongs to the plug-in that the page writes; tests/test_extensions.py",
    "cluster=ray": "needs the packages of an extra that is not part of the development tools",
    "s3://": "needs the package that reaches such a place",
}
"""Parts of commands that are refused where these tests run, and why."""


def name_of(command):
    return f"{command.file}:{command.line} {command.text}"[:110]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the config files that the documents show, under the names of their first comments."""
    root = tmp_path_factory.mktemp("place")
    for path in documented.documents():
        for language, _, lines in documented.blocks(path):
            named = (re.match(r"# ([\w/.-]+\.ya?ml)\s*$", line) for line in lines[:2])
            name = next(filter(None, named), None)
            if language == "yaml" and name:
                (root / name[1]).parent.mkdir(parents=True, exist_ok=True)
                (root / name[1]).write_text("\n".join(lines) + "\n")
    register_run_schema()
    plugins.import_all()
    register_resolvers()
    return root


@pytest.mark.parametrize("command", documented.commands(), ids=name_of)
def test_a_documented_command_composes_or_parses(command, place, monkeypatch, capfd):
    if reasons := [reason for part, reason in NOT_CHECKED.items() if part in command.text]:
        pytest.skip(reasons[0])
    monkeypatch.chdir(place)
    monkeypatch.setattr(hooks.Invocation, "axes", hooks.Invocation.axes)
    problem = problem_of(list(command.words), capfd)
    assert problem is None, f"{command.file}, line {command.line}: {command.text}\n  {problem}"


def problem_of(words, capfd):
    """What is wrong with a command; null if nothing is."""
    program = words[0] if words[0].startswith("scripts/") else PurePath(words[0]).name
    if program in NOT_OURS:
        return None
    if program == "optbench":
        return optbench_problem(words[1:], capfd)
    if program == "make":
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        unknown = [word for word in words[1:] if "=" not in word and word not in targets]
        return f"the Makefile has no {', '.join(unknown)}" if unknown else None
    if program.startswith("scripts/"):
        return None if os.access(ROOT / program, os.X_OK) else f"{program} is not there or not executable"
    if program in ("python", "python3"):
        return python_problem(words[1:], capfd)
    return f"{program} is unknown; name it in NOT_OURS with what it does"


def python_problem(words, capfd):
    """What is wrong with a call of python."""
    if words[0] == "-c":
        compile(words[1], "<documentation>", "exec")
        return None
    if words[0] != "-m":
        return None if (ROOT / words[0]).is_file() else f"there is no {words[0]}"
    if words[1] == "optbench":
        return optbench_problem(words[2:], capfd)
    known = words[1] == "venv" or importlib.util.find_spec(words[1])
    return None if known else f"there is no module {words[1]}"


def optbench_problem(arguments, capfd):
    """What is wrong with the arguments of optbench."""
    rest = [argument for argument in arguments if argument not in ("-q", "-v", "--plan")]
    if {"--help", "--version", "--hydra-help"} & set(rest):
        return None
    if rest and rest[0] in cli.TOOLS:
        return tool_problem(rest)
    rest = [with_a_real_name(argument) for argument in rest]
    if any(argument.startswith("--") for argument in rest):
        code = cli.main(rest if "--cfg" in rest else [*rest, "--cfg", "job"])
        return None if code == 0 else capfd.readouterr().err
    return run_problem([argument for argument in rest if argument not in ("-m", "--multirun")], "-m" in rest)


def with_a_real_name(argument):
    """GROUP=NAME stands for any option of the group, and outputs/... for a sweep that lies there."""
    key, _, value = argument.partition("=")
    options = sorted((conf_dir() / key.lstrip("+")).glob("*.yaml"))
    if value == "NAME" and options:
        return f"{key}={options[0].stem}"
    if key == "resume":
        Path(value).mkdir(parents=True, exist_ok=True)
    return argument


def tool_problem(arguments):
    """What a tool says about its arguments; it is not run."""
    import typer

    from optbench.commands.tools import app

    command, name, rest = typer.main.get_command(app), "optbench", arguments
    while hasattr(command, "commands"):
        name, *rest = rest
        if name not in command.commands:
            return f"there is no {name}"
        command = command.commands[name]
    try:
        context = command.make_context(name, rest)
        for condition in context.params.get("fail_if") or []:
            parse_condition(condition)
    except Exception as error:
        return str(error)
    return None


def run_problem(overrides, multirun):
    """What optbench would refuse before a run or a sweep starts."""
    try:
        with initialize_config_dir(config_dir=str(conf_dir())):
            compose = GlobalHydra.instance().hydra.compose_config
            if any("experiment=" in item for item in overrides):  # one may say that it is a sweep
                whole = compose("config", overrides, RunMode.MULTIRUN, validate_sweep_overrides=False)
                multirun = multirun or whole.hydra.mode is RunMode.MULTIRUN
            config = compose("config", overrides, RunMode.MULTIRUN if multirun else RunMode.RUN)
            if multirun:
                problems = [problem for point in points(config) for problem in point_problems(config, point)]
            else:
                checked = hooks.to_config(config)
                problems = collect_problems(checked) + hooks.single_run_problems(config, checked)
    except Exception as error:
        return complaint(error)
    return "\n".join(problems) or None


def points(config):
    """The first point of a sweep, and one for each further value of an axis."""
    axes = hooks.sweep_axes(config)
    first = {name: values[0] for name, values in axes.items()}
    others = [{**first, name: value} for name, values in axes.items() for value in values[1:]]
    return [[f"{name}={value}" for name, value in point.items()] for point in (first, *others)]


def point_problems(config, point):
    """What is wrong with one point of a sweep."""
    loader = GlobalHydra.instance().config_loader()
    return collect_problems(hooks.to_config(loader.load_sweep_config(config, point)))


def test_commands_are_found_where_they_are(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "```bash\nA=1 optbench -m 'a=[1,2]' \\\n  b=3   # why\n```\n\n- x\n\n  ```bash\n"
        "  optbench report RUN >> out && optbench x | jq '.a'\n  ```\n```text\noptbench no\n```\n"
    )
    read = list(documented.commands_of(page))
    assert read == [
        (2, ("optbench", "-m", "a=[1,2]", "b=3")),
        (9, ("optbench", "report", "RUN")),
        (9, ("optbench", "x")),
        (9, ("jq", ".a")),
    ]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("optbench quant=dynamik", "dynamic"),
        ("optbench batch_size=0", "batch_size must be >= 1"),
        ("optbench -m quant=none,dynamik", "dynamik"),
        ("optbench batch_size=1,8", "needs -m"),
        ("optbench report", "directory"),
        ("optbench compare A B --fail-if speed<1", "speed"),
        ("optbench cache empty", "there is no empty"),
        ("make coffee", "no coffee"),
        ("python scripts/none.py", "no scripts/none.py"),
        ("brew install", "NOT_OURS"),
    ],
)
def test_a_wrong_command_is_found_out(command, said, place, monkeypatch, capfd):
    monkeypatch.chdir(place)
    assert said in (problem_of(shlex.split(command), capfd) or "nothing")
