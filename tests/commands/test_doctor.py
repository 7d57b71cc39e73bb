"""The examination of a machine."""

import pytest

from optbench.cli import main
from optbench.commands.doctor import findings

SOUND = {
    "cores_available": 4,
    "cpu_quota_cores": None,
    "frequency": {"governor": "performance"},
    "isa_flags": ["avx2", "avx512_vnni"],
    "cpu_model": "A CPU",
    "cores_logical": 4,
    "psi": True,
    "os": "Linux",
}


def advice(environment, load=0.0, platform="linux"):
    return {f.name: f.advice for f in findings(environment, load, platform) if f.advice}


def test_a_sound_machine_needs_nothing():
    assert advice(SOUND) == {}


@pytest.mark.parametrize(
    ("change", "name", "words"),
    [
        ({"cpu_quota_cores": 1.5}, "cores to use", "whole cores"),
        ({"isa_flags": ["avx2"]}, "int8 instructions", "slower"),
        ({"frequency": {"governor": "powersave"}}, "frequency governor", "cpupower"),
        ({"psi": False}, "pressure information", "no PSI"),
    ],
)
def test_each_lack_comes_with_advice(change, name, words):
    (found,) = advice({**SOUND, **change}).items()
    assert found[0] == name
    assert words in found[1]


def test_load_and_other_systems_are_named():
    assert "stop it" in advice(SOUND, load=0.9)["load on each core"]
    assert "measure.start=spawn" in advice(SOUND, platform="darwin")["system"]
    assert advice(SOUND, load=None) == {}


def test_the_command_prints_one_line_for_each_finding(capfd):
    assert main(["doctor", "--no-measure"]) == 0
    lines = [line for line in capfd.readouterr().out.splitlines() if line.startswith(("ok ", "!! "))]
    assert len(lines) == len(findings({**SOUND}, None, "linux"))


@pytest.mark.parametrize("arguments", [["--budget-seconds", "0"], ["--bogus"], ["extra"]])
def test_wrong_options_of_a_tool_are_bad_input(arguments, capfd):
    assert main(["doctor", *arguments]) == 2
    assert "Traceback" not in capfd.readouterr().err
