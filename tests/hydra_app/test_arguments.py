"""The words of a command line: what cannot be one, and what was meant."""

import pytest

from optbench.cli import TOOLS
from optbench.hydra_app.arguments import argument_problems


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["batch_size=8", "+experiment=demo", "~measure.server", "model.path=a=b"],
        ["-m", "quant=none,dynamic", "--config-dir", "mine", "-cn", "own"],
        ["--cfg", "job", "--resolve", "-p", "measure"],
        ["--info", "defaults", "--help"],
        ["--version"],
        ["--shell-completion", "install=bash"],
    ],
)
def test_what_hydra_takes_is_no_problem(arguments):
    assert argument_problems(arguments, TOOLS) == []


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--batch-size", "8"], "--batch-size is no flag of optbench; settings are written batch_size=8"),
        (["--quant=dynamic"], "--quant is no flag of optbench; settings are written quant=dynamic"),
        (["--seed", "-m"], "settings are written seed=VALUE"),
        (["--quiet"], "--quiet is no flag of optbench; write -q"),
        (["-z"], "-z is no flag of optbench; see optbench --help"),
        (["--cfg"], "argument --cfg/-c: expected one argument; see optbench --help"),
        (["agregate", "outputs"], "did you mean optbench aggregate?"),
        (["seed", "=", "3"], "without spaces around the equals sign"),
        (["=3"], "=3 must be KEY=VALUE, and names no key"),
        (["task.label_map={a:", "b}"], "'task.label_map={a: b}' must be put in quotes"),
    ],
)
def test_what_was_meant_is_told(arguments, problem):
    (found,) = argument_problems(arguments, TOOLS)
    assert problem in found


def test_every_word_that_is_none_is_told():
    assert len(argument_problems(["seed=1", "fast", "demo"], TOOLS)) == 2
