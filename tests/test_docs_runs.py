"""Commands of the documentation, run as they are written where that costs little.

The models, rows and results that they name lie in one folder under those names; budgets are cut short.
"""

import csv
import json
import os
import re
import shutil
from pathlib import Path, PurePath

import documented
import pytest

from optbench import cli
from optbench.locations import package_file

pytestmark = [pytest.mark.slow, pytest.mark.release]

COMMANDS = documented.commands()

NOT_RUN = {
    "doctor": "measures for half a minute; tests/commands/test_doctor.py",
    "torch_compile": "compiles for minutes; tests/test_torch_compile.py",
    "torch-compile": "compiles for minutes; tests/test_torch_compile.py",
    "measure=server": "needs streams of many seconds; tests/stages/test_serving.py",
    "measure=strict": "takes ten minutes",
    "experiment=": "decides its own length; what it composes to is checked",
    "task=": "needs a model and rows of that task; tests/tasks",
    "sst2": "comes from a hub",
    "minilm": "is built by a command of its own",
    "CUDAExecutionProvider": "needs a GPU",
    "device=cuda": "needs a GPU",
    "device=GPU": "needs a GPU",
    "resume=": "needs the sweep that it names; tests/stages/test_resume.py",
    "calibration_split": "needs data with two splits; tests/test_dynamic_quantization.py",
    "baseline.artifact": "needs files of both sides; tests/test_real_runs.py",
    "openvino_directory": "needs a model that OpenVINO has saved; tests/test_openvino.py",
    "/srv/": "is a place on somebody's runner",
    "/models/": "is a place on somebody's machine",
    "--config-name": "is composed, which reads the file",
    "launcher": "needs a cluster or a package of its own",
    "cluster=": "starts processes of its own, on machines of its own; tests/hydra_app/test_launchers.py",
    "s3://": "needs the package that reaches such a place",
    "=reference": "belongs to the plug-in that the page writes; tests/test_extensions.py",
    "tracking=": "needs the package of an extra, or an account; tests/trackers",
    "NAME": "stands for a name",
}
"""Parts of commands that are checked by tests/test_docs_commands.py and not run here, and why."""

CAPS = {
    "measure.replicates": "1",
    "measure.max_replicates": "1",
    "measure.replicate_seconds": "0.1",
    "measure.warmup_seconds": "0.2",
    "measure.budget_seconds": "1",
    "measure.duration_seconds": None,
    "measure.cold_start": "false",
    "quality.max_eval_samples": "40",
}
"""What a run gets instead of, or besides, what its command says; null leaves it out."""

MOST_POINTS = 2
"""Sweeps of more points are checked and not run."""


def affordable():
    """Runs that differ in more than numbers, each once, and every tool."""
    chosen = {}
    for command in COMMANDS:
        words = command.words
        if words[0] != "optbench" or command.file.startswith("conf/"):
            continue
        if any(part in command.text for part in NOT_RUN) or points_of(words) > MOST_POINTS:
            continue
        kind = words if tool_of(command) else tuple(sorted(re.sub(r"=[\d.]+$", "=N", word) for word in words))
        chosen.setdefault(kind, command)
    return list(chosen.values())


def points_of(words):
    """How many points a command's sweep has."""
    count = 1
    for word in words[1:]:
        count *= len(word.split(",")) if "-m" in words and "[" not in word else 1
    return 99 if "sweep=grid" in words else count


def tool_of(command):
    """The tool that a command calls; null if it calls none."""
    words = command.words
    return words[1] if words[0] == "optbench" and len(words) > 1 and words[1] in cli.TOOLS else None


def values_of(key):
    """What commands give a key."""
    words = [word for command in COMMANDS for word in command.words]
    return {word.partition("=")[2] for word in words if word.startswith(f"{key}=")}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with the checkpoints and rows that commands name."""
    root = tmp_path_factory.mktemp("workplace")
    test_rows = Path(package_file("demo/data/sentiment-test.jsonl")).read_text(encoding="utf-8")
    rows = [json.loads(line) for line in test_rows.splitlines()[:60]]
    for name in values_of("dataset.path"):
        if name.endswith(".jsonl"):
            (root / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
        elif name.endswith(".csv"):
            with (root / name).open("w", newline="") as file:
                table = [("text", "label"), *((row["text"], row["label"]) for row in rows)]
                csv.writer(file).writerows(table)
    for name in values_of("model.path"):
        if not PurePath(name).is_absolute():
            shutil.copytree(package_file("demo/tiny-sentiment"), root / name)
    return root


@pytest.fixture(scope="module")
def results(workplace):
    """A run and a sweep of the demo, copied to every name that tools are given, and an exported model."""
    before = Path.cwd()
    os.chdir(workplace)
    try:
        assert cli.main([*capped([]), "hydra.run.dir=made/run"]) == 0
        assert cli.main(["-m", *capped(["quant=none,dynamic"]), "hydra.sweep.dir=made/sweep"]) == 0
        for name in values_of("artifact"):
            assert cli.main(["export", "made/run", name]) == 0
    finally:
        os.chdir(before)
    for word in sorted({word for command in COMMANDS if tool_of(command) for word in command.words[2:]}):
        kind = "sweep" if re.search(r"SWEEP|BEFORE|NOW|sweep|^now$", word) else "run"
        if re.fullmatch(r"[A-Z_]+|now|out|outputs(/\S+)?", word) and not (workplace / word).exists():
            shutil.copytree(workplace / "made" / kind, workplace / word)
    return workplace


def capped(arguments):
    """Overrides with short budgets, in place of those that they have."""
    kept = [argument for argument in arguments if argument.partition("=")[0] not in CAPS]
    return [*kept, *(f"{key}={value}" for key, value in CAPS.items() if value is not None)]


@pytest.mark.parametrize("command", affordable(), ids=lambda command: f"{command.file} {command.text}"[:110])
def test_a_documented_command_runs(command, results, monkeypatch, capfd):
    monkeypatch.chdir(results)
    arguments = list(command.words[1:])
    tool = tool_of(command)
    if tool is None and not any(word.startswith("--") for word in arguments):
        arguments = capped(arguments)
    if tool == "export":
        shutil.rmtree(command.words[3], ignore_errors=True)
    if tool == "cache" and "clear" in arguments:
        arguments.append("--yes")
    judged = any(word.startswith(("gates.", "--fail-if")) for word in arguments)
    code = cli.main(arguments)
    shown = capfd.readouterr()
    assert code in ((0, 1, 4) if judged else (0,)), f"{command.file}, line {command.line}: {shown.err}"
    assert "Traceback" not in shown.err
