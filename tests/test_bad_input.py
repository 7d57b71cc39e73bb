"""Bad input: one clear message that names key, requirement, finding and remedy; exit 2; no trace left.

The catalogue of wrong command lines, configs and files lies in scripts/bad_input; `python
scripts/check_bad_input.py` prints it with what is said about each row.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"
sys.path.insert(0, str(SCRIPTS))

from bad_input import FAILURES, MISTAKES  # noqa: E402
from bad_input.running import attempt  # noqa: E402
from check_bad_input import told  # noqa: E402

EVERY = 25
"""A row of so many is also run as its own process."""


@pytest.mark.parametrize("row", MISTAKES, ids=lambda row: row.title)
def test_a_mistake_is_named_and_leaves_nothing(row, tmp_path, private_cache):
    place = tmp_path / "place"
    place.mkdir()
    done = attempt(row, place, private_cache)
    assert not done.faults(), told(done)


@pytest.mark.slow
@pytest.mark.parametrize("row", FAILURES, ids=lambda row: row.title)
def test_a_run_that_fails_at_work_has_its_code_and_keeps_its_reason(row, tmp_path, private_cache):
    place = tmp_path / "place"
    place.mkdir()
    done = attempt(row, place, private_cache)
    assert not done.faults(), told(done)
    assert list(place.rglob("result.json"))


@pytest.mark.slow
@pytest.mark.parametrize("row", MISTAKES[::EVERY], ids=lambda row: row.title)
def test_the_command_says_the_same(row, tmp_path, private_cache):
    place = tmp_path / "place"
    place.mkdir()
    for make in row.files:
        make(place)
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(SCRIPTS.parent), **row.environment}
    command = [sys.executable, "-m", "optbench", *shlex.split(row.command)]
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == row.code, done.stderr
    assert all(word in done.stderr for word in row.words), done.stderr
    assert "Traceback" not in done.stderr
    assert not list(place.rglob("result.json")) or any("result" in make.__name__ for make in row.files)


BOUNDED = re.compile(r'(?:at_least|positive)\("([\w.]+)", self\.')
"""A range that a component checks, by the name of its field."""


def test_every_range_that_is_checked_has_a_mistake_in_the_catalogue():
    sources = (SCRIPTS.parent / "optbench").rglob("*.py")
    bounded = {key for source in sources for key in BOUNDED.findall(source.read_text(encoding="utf-8"))}
    assert {"batch_size", "replicates", "requests"} <= bounded
    commands = " ".join(row.command for row in MISTAKES)
    missing = [key for key in sorted(bounded) if not re.search(rf"\b{re.escape(key)}=", commands)]
    assert not missing, f"add a row to scripts/bad_input/value_rows.py for {missing}"


def test_the_catalogue_has_no_command_line_twice():
    titles = [row.title for row in MISTAKES if not row.files]
    assert len(set(titles)) == len(titles)
    assert len(MISTAKES) >= 500
