"""Tries mutants made by mutmut, a fork of one collected session each: a plug-in of pytest, not of optbench.

mutmut itself starts pytest for every mutant, which costs more than most tests. Here the tests are collected
once; a first pass, without a mutant, times them and notes which functions each reaches. A mutant is then a
forked child that runs the tests that reach its function, the quickest first, until one fails.
Files and settings: docs/mutation.md.

    cd mutants
    PYTHONPATH=.:scripts pytest -q -p try_mutants --mutants "optbench.conditions*" tests/test_conditions.py
"""

import contextlib
import fnmatch
import json
import os
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from _pytest.runner import runtestprotocol
from hypothesis import Phase, settings
from mutmut.state import state

SETTLE_SECONDS = 10
PATIENCE = 10
"""A mutant has timed out once it takes ten times the seconds of all its tests, and ten more."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Which mutants, and where to write what became of them."""
    parser.addoption("--mutants", action="append", help="pattern of names of mutants; all without")
    parser.addoption("--mutants-report", default="mutants.tsv", help="mutant, outcome and test, a line each")


def pytest_configure() -> None:
    """Hypothesis draws the same examples for every mutant and does not shrink what fails."""
    phases = (Phase.explicit, Phase.generate)
    settings.register_profile("mutants", derandomize=True, database=None, deadline=None, phases=phases)
    settings.load_profile("mutants")


def mutants(patterns: Sequence[str]) -> Iterator[str]:
    """Names of the mutants below the working directory that match a pattern."""
    for file in sorted(Path().rglob("*.meta")):
        for name in json.loads(file.read_text())["exit_code_by_key"]:
            if any(fnmatch.fnmatch(name, pattern) for pattern in patterns):
                yield name


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool:
    """All tests once without a mutant, then every mutant in a child."""
    reached: dict[str, list[tuple[float, pytest.Item]]] = defaultdict(list)
    for item in session.items:
        began = time.perf_counter()
        os.environ["MUTANT_UNDER_TEST"] = "stats"
        if not passes(item):
            session.shouldfail = f"{item.nodeid} fails without a mutant"
            raise session.Failed(session.shouldfail)
        for function in state()._stats:
            reached[function].append((time.perf_counter() - began, item))
        state()._stats.clear()
    if tried("", session.items, 60.0)[0] != "survived":
        raise session.Failed("a test fails in a second run, without any mutant")
    config = session.config
    outcomes: Counter[str] = Counter()
    with Path(config.getoption("--mutants-report")).open("w", buffering=1) as report:
        for name in mutants(config.getoption("--mutants") or ["*"]):
            tests = sorted(reached[name.rpartition("__mutmut_")[0]], key=lambda timed: timed[0])
            outcome, test = tried(name, [item for _, item in tests], sum(seconds for seconds, _ in tests))
            outcomes[outcome] += 1
            report.write(f"{name}\t{outcome}\t{test or ''}\n")
    config.get_terminal_writer().line(str(dict(outcomes)))
    return True


def passes(item: pytest.Item) -> bool:
    """Whether a test passes or is skipped."""
    return not any(report.failed for report in runtestprotocol(item, log=False, nextitem=None))


def tried(name: str, tests: Sequence[pytest.Item], seconds: float) -> tuple[str, str | None]:
    """What became of a mutant, and the test that noticed it."""
    if not tests:
        return "reached by no test", None
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(round(SETTLE_SECONDS + PATIENCE * seconds))
        os.environ["MUTANT_UNDER_TEST"] = name
        status = 3
        with contextlib.suppress(BaseException):
            noticed = next((test for test in tests if not passes(test)), None)
            os.write(write, noticed.nodeid.encode() if noticed is not None else b"")
            status = 0 if noticed is None else 1
        os._exit(status)
    os.close(write)
    with os.fdopen(read) as pipe:
        noticed_by = pipe.read() or None
    _, code = os.waitpid(child, 0)
    if os.WIFSIGNALED(code):
        return ("timed out" if os.WTERMSIG(code) == signal.SIGALRM else "died"), None
    return {0: "survived", 1: "killed"}.get(os.WEXITSTATUS(code), "died"), noticed_by
