"""Runs a row: in this process, in a directory of its own, without any network."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import re
import shlex
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from bad_input.row import Row

MESSAGE = re.compile(
    r"optbench: (?P<head>the configuration has (a problem|(?P<count>\d+) problems):)?(?P<text>[^\n]*)\n"
    r"(?P<problems>(  \S[^\n]*\n)*)"
)
"""One line; or a head and a line for each problem."""
MISTAKE = 2
"""Exit code of what is found before anything is measured; other failures keep a result."""
NEUTRAL = {
    "HF_HUB_OFFLINE": "1",
    "OPTBENCH_VERBOSITY": "normal",
    "NO_COLOR": "1",
    "COLUMNS": "100",
}
UNSET = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "HF_ENDPOINT")


@dataclass(frozen=True)
class Attempt:
    """What came of a row. left: paths that were not there before. addresses: what it tried to reach."""

    row: Row
    code: int
    message: str
    printed: str
    left: list[str]
    addresses: list[object]

    @property
    def problems(self) -> list[str]:
        """The lines that say what is wrong; empty where the message has not the form of one."""
        found = MESSAGE.fullmatch(self.message)
        if found is None:
            return []
        if found["head"] is None:
            return [found["text"]] if not found["problems"] else []
        problems = [line.strip() for line in found["problems"].splitlines()]
        return problems if len(problems) == int(found["count"] or 1) and not found["text"] else []

    def faults(self) -> list[str]:
        """What is not as it must be; empty where all is."""
        found = []
        everything = self.message + self.printed
        if self.code != self.row.code:
            found.append(f"exit code {self.code} instead of {self.row.code}")
        if self.row.code == MISTAKE and not self.problems:
            found.append("not one message")
        if len(set(self.problems)) < len(self.problems):
            found.append("the same is said twice")
        found += [f"says nothing of {word!r}" for word in self.row.words if word not in self.message]
        found += [
            f"shows {word}" for word in ("Traceback", "Warning", "HYDRA_FULL_ERROR") if word in everything
        ]
        if self.left and self.row.code == MISTAKE:
            found.append(f"leaves {', '.join(self.left[:5])}")
        if self.addresses:
            found.append(f"asks the network: {self.addresses}")
        return found


class LocalChild:
    """Stands in for the process that owns the rows: the same object, asked in this process."""

    def __init__(self, factory: str, *args: Any) -> None:
        module, name = factory.split(":")
        self._host: Any = getattr(importlib.import_module(module), name)(*args)

    def receive(self) -> None:
        """It is ready at once."""

    def close(self) -> None:
        """There is nothing to end."""

    def call(self, method: str, *args: Any) -> Any:
        """What the object answers; libraries speak to nobody."""
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            return getattr(self._host, method)(*args)


def local_start(
    name: str,
    factory: str,
    *args: Any,
    environment: Mapping[str, str],
    log: Path,
    is_shared: bool = False,
) -> LocalChild:
    """As `optbench.processes.child.start`."""
    return LocalChild(factory, *args)


@contextlib.contextmanager
def inside(place: Path) -> Iterator[None]:
    """The working directory for a while."""
    before = Path.cwd()
    os.chdir(place)
    try:
        yield
    finally:
        os.chdir(before)


@contextlib.contextmanager
def cut_off() -> Iterator[list[object]]:
    """No connection but to this machine; yields what was tried to be reached."""
    tried: list[object] = []
    connect = socket.socket.connect

    def refuse(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1"):
            tried.append(address)
            raise OSError(f"no network: {address}")
        connect(self, address)

    with mock.patch.object(socket.socket, "connect", refuse):
        yield tried


def made_in(place: Path) -> set[str]:
    """Everything below a directory but for the empty place of results."""
    found = {path.relative_to(place).as_posix() for path in place.rglob("*")}
    return found - {"outputs"}


@contextlib.contextmanager
def surroundings(row: Row, place: Path, cache: Path) -> Iterator[list[object]]:
    """Directory, environment and network of a row."""
    settings = {**NEUTRAL, "OPTBENCH_CACHE_DIR": str(cache), **row.environment}
    with inside(place), mock.patch.dict(os.environ, settings), cut_off() as tried:
        for name in set(UNSET) - set(row.environment):
            os.environ.pop(name, None)
        for name, value in row.environment.items():
            if not value:
                os.environ.pop(name, None)
        yield tried


def attempt(row: Row, place: Path, cache: Path) -> Attempt:
    """Make the files of a row in the empty directory `place` and run its command line there."""
    from optbench.cli import main
    from optbench.stages import preparing

    for make in row.files:
        make(place)
    before = made_in(place)
    out, err = io.StringIO(), io.StringIO()
    with (
        surroundings(row, place, cache) as tried,
        mock.patch.object(preparing, "start", local_start),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        code = main(shlex.split(row.command))
    left = sorted(made_in(place) - before)
    return Attempt(row, code, err.getvalue(), out.getvalue(), left, tried)
