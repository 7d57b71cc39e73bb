"""The wheel, installed away from the checkout: configs and demo are inside, and it runs."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    place = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--wheel-dir",
        str(place),
        str(ROOT),
    ]
    subprocess.run(command, check=True, capture_output=True)
    (made,) = place.glob("optbench-*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A folder that holds the unpacked wheel and nothing of the checkout."""
    place = tmp_path_factory.mktemp("installed")
    zipfile.ZipFile(wheel).extractall(place)
    return place


def call(installed, where, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=where, env=environment, capture_output=True, text=True, check=False)


def test_the_wheel_holds_what_a_run_needs_and_no_tests(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for needed in (
        "optbench/conf/config.yaml",
        "optbench/conf/experiment/demo.yaml",
        "optbench/demo/tiny-sentiment/model.safetensors",
        "optbench/demo/data/sentiment-test.jsonl",
        "optbench/demo/NOTICE.md",
        "optbench/py.typed",
        "optbench/reports/html/files/page.html.j2",
        "optbench/reports/html/files/page.css",
        "optbench/reports/html/files/chart.css",
        "optbench/reports/html/files/page.js",
    ):
        assert needed in names
    assert not [name for name in names if name.startswith(("tests/", "scripts/", "outputs/"))]


def test_it_runs_away_from_the_checkout(installed, tmp_path):
    found = call(installed, tmp_path, "-c", "import optbench; print(optbench.__file__)")
    assert found.stdout.strip() == str(installed / "optbench" / "__init__.py")
    shown = call(installed, tmp_path, "-m", "optbench", "--cfg", "job")
    assert "batch_size: 1" in shown.stdout
    ran = call(
        installed, tmp_path, "-m", "optbench", "+experiment=demo", "measure=quick", "hydra.run.dir=out"
    )
    assert ran.returncode == 0, ran.stderr
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["status"] == "ok"
    assert result["quality"]["metrics"][0]["baseline"] == 0.778
    assert str(installed) in result["config"]["model"]["path"]
    assert "<svg" in (tmp_path / "out" / "report.html").read_text()
