"""What is printed where nobody reads it any more, as behind `head`, vanishes without a word."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from optbench import cli
from optbench.cli import PIPE_CODE
from optbench.reports.console import console, emit, say

posix = pytest.mark.skipif(sys.platform == "win32", reason="pipes as POSIX has them")


@pytest.fixture
def unread():
    """A stream whose reader has gone."""
    ours, theirs = os.pipe()
    os.close(ours)
    with os.fdopen(theirs, "w", buffering=1) as stream:
        yield stream


@posix
def test_a_table_that_nobody_reads_costs_nothing(unread):
    screen = console(unread)
    say(screen, "one")
    assert screen.quiet  # what follows is not even written
    say(screen, "two")


@posix
def test_a_document_that_nobody_reads_costs_nothing(unread, monkeypatch):
    monkeypatch.setattr(sys, "stdout", unread)
    emit("one\n")
    assert os.path.samestat(os.fstat(unread.fileno()), Path(os.devnull).stat())
    emit("two\n")


@posix
@pytest.mark.parametrize("arguments", [["--help"], ["aggregate", "--help"], ["--version"]])
def test_a_command_that_nobody_reads_ends_without_a_word(unread, arguments):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "optbench", *arguments]
    done = subprocess.run(
        command, stdout=unread, stderr=subprocess.PIPE, text=True, env=environment, check=False
    )
    assert (done.returncode, done.stderr) == (PIPE_CODE, "")


def test_typers_own_end_on_a_broken_pipe_is_not_taken_for_a_finding(monkeypatch):
    from optbench.commands import tools

    def app(*arguments, **options):
        raise SystemExit(1)

    monkeypatch.setattr(tools, "app", app)
    assert cli.run_tool(["aggregate", "outputs"]) == PIPE_CODE
