"""Code in the documentation runs as it stands there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def blocks(name, language="python"):
    """Code blocks of a language in a page, in their order."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.slow
def test_the_page_about_python_runs_from_top_to_bottom(tmp_path):
    script = "\n".join(blocks("docs/api.md"))
    assert script.count("optbench.") >= 10
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "optbench run: ok, grade quick look" in done.stdout
    assert "optbench results: 4 points: 4 ok" in done.stdout
    assert "batch_size must be >= 1, got 0" in done.stdout
    assert done.stderr == ""


def test_what_the_page_about_python_names_is_there():
    import optbench

    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    for name in set(re.findall(r"optbench\.([a-z_A-Z]+)\(", text)):
        assert name in optbench.__all__, name
