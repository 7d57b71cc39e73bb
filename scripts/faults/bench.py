"""A place to break things in: starts real runs, waits for a moment, and looks at what they leave."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from optbench.records import Aggregate, RunResult, read_result
from optbench.results.aggregate import aggregate

PLUGIN = Path(__file__).parent / "plugin"
PACKAGE_PARENT = Path(__file__).parents[2]
MARK = "OPTBENCH_FAULT_BENCH"
BOOT = "import sys, faulty; from optbench.cli import console; console()"
FAKE = [
    "baseline=fake",
    "backend=faulty",
    "quant=none",
    "input_length=8",
    "measure.replicates=2",
    "measure.max_replicates=2",
    "measure.replicate_seconds=0.3",
    "measure.warmup_seconds=1",
]
"""A short run of the made-up runtimes on the demo's model."""


class Unfit(Exception):  # noqa: N818 - it is a finding about the machine
    """This machine cannot show a fault; the message is the reason."""


@dataclass(frozen=True)
class Ended:
    """A process that is no more."""

    code: int
    out: str
    err: str


class Running:
    """A run in a process of its own, whose stderr is read as it comes."""

    def __init__(self, command: list[str], environment: Mapping[str, str], place: Path) -> None:
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=dict(environment),
            cwd=place,
            start_new_session=True,
        )
        self.said: list[str] = []
        self.out: list[str] = []
        self._readers = [
            threading.Thread(target=read, args=(stream, into), daemon=True)
            for stream, into in ((self.process.stderr, self.said), (self.process.stdout, self.out))
        ]
        for reader in self._readers:
            reader.start()

    def wait_until(self, condition: Callable[[], object], seconds: float = 120) -> None:
        """Wait for a condition. Raises AssertionError if the process ends or the time is over before."""
        deadline = time.monotonic() + seconds
        while not condition():
            if self.process.poll() is not None and not condition():
                raise AssertionError(f"it ended before its moment came: {''.join(self.said)}")
            if time.monotonic() > deadline:
                raise AssertionError(f"its moment did not come within {seconds} s: {''.join(self.said)}")
            time.sleep(0.01)

    def wait_for(self, text: str, seconds: float = 120) -> None:
        """Wait until the process has said something on stderr."""
        self.wait_until(lambda: text in "".join(self.said), seconds)

    def interrupt(self) -> None:
        """Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def terminate(self) -> None:
        """SIGTERM twice, as `timeout` sends it: to the run, and to all processes of its group."""
        self.process.send_signal(signal.SIGTERM)
        os.killpg(self.process.pid, signal.SIGTERM)

    def end(self, seconds: float = 1200) -> Ended:
        """Wait for its end. Raises AssertionError if it does not come."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"it did not end within {seconds} s: {''.join(self.said)}") from error
        finally:
            self.process.kill()
        for reader in self._readers:
            reader.join(5)
        return Ended(code, "".join(self.out), "".join(self.said))


def read(stream: Iterator[str], into: list[str]) -> None:
    """Keep every line."""
    for line in stream:
        into.append(line)


@dataclass
class Bench:
    """One fault's own directory, and what was found wrong."""

    place: Path
    problems: list[str] = field(default_factory=list)
    ended: Ended | None = None
    message: str = ""
    own: dict[str, str] = field(default_factory=dict)

    @property
    def faults(self) -> Path:
        """The file that tells the faulty runtime where to break."""
        return self.place / "faults.json"

    def environment(self) -> dict[str, str]:
        """Variables of the runs: a cache and a temporary folder of their own, and a mark to find them by."""
        for name in ("cache", "tmp"):
            (self.place / name).mkdir(exist_ok=True)
        path = [str(PLUGIN), str(PACKAGE_PARENT), os.environ.get("PYTHONPATH", "")]
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, path)),
            "OPTBENCH_CACHE_DIR": str(self.place / "cache"),
            "OPTBENCH_FAULTS": str(self.faults),
            "TMPDIR": str(self.place / "tmp"),
            "HF_HUB_OFFLINE": "1",
            "COLUMNS": "200",
            MARK: str(self.place),
            **self.own,
        }

    def start(self, *arguments: str, faults: Mapping[str, str] | None = None) -> Running:
        """Start optbench with the plug-ins of the matrix."""
        if faults is not None:
            self.faults.write_text(json.dumps(dict(faults)))
        given = ["--config-dir", str(PLUGIN / "conf"), *arguments]
        return Running([sys.executable, "-c", BOOT, *given], self.environment(), self.place)

    def run(self, *arguments: str, faults: Mapping[str, str] | None = None) -> Ended:
        """Run optbench with the plug-ins of the matrix to its end."""
        return self.keep(self.start(*arguments, faults=faults).end())

    def tool(self, *arguments: str) -> Ended:
        """Run a tool of optbench to its end."""
        command = [sys.executable, "-m", "optbench", *arguments]
        return self.keep(Running(command, self.environment(), self.place).end())

    def keep(self, ended: Ended) -> Ended:
        """Note how a run ended, and that it never shows a traceback."""
        self.ended = ended
        self.message = message_of(ended.err)
        if "Traceback" in ended.err + ended.out:
            self.problems.append(f"a traceback: {ended.err[-2000:]}")
        return ended

    def expect(self, holds: object, otherwise: str) -> None:
        """Note a problem unless something holds."""
        if not holds:
            self.problems.append(otherwise)

    def expect_end(self, ended: Ended, code: int, *words: str) -> None:
        """The exit code, and what must be said on stderr."""
        self.expect(ended.code == code, f"exit code {ended.code} instead of {code}: {ended.err[-1500:]}")
        for word in words:
            self.expect(word in ended.err, f"{word!r} is not said: {ended.err[-1500:]}")

    def result(self, name: str = "out") -> RunResult:
        """The result of a run directory."""
        return read_result(self.place / name)

    def rows(self, name: str = "sweep") -> Aggregate:
        """All points of a sweep."""
        return aggregate([self.place / name])

    def orphans(self, seconds: float = 10) -> list[int]:
        """Processes of the bench that still run after a while."""
        deadline = time.monotonic() + seconds
        while (found := marked(str(self.place))) and time.monotonic() < deadline:
            time.sleep(0.05)
        return found

    def stale_locks(self) -> list[str]:
        """Locks that nobody could take now; all runs have ended."""
        held = []
        for file in self.place.rglob("*.lock"):
            try:
                FileLock(file, timeout=0).acquire().lock.release()
            except Timeout:
                held.append(file.name)
            except OSError:  # a folder that is read-only on purpose
                continue
        return held

    def leftovers(self) -> list[str]:
        """Working directories and half-written files."""
        patterns = (".work", ".*.tmp", ".*-????????/entry")
        return sorted({path.name for pattern in patterns for path in self.place.rglob(pattern)})


def message_of(said: str) -> str:
    """The last thing that optbench itself said on stderr; a list of problems with its first item."""
    lines = said.splitlines()
    told = [
        number
        for number, line in enumerate(lines)
        if line.startswith("optbench:") and "no report" not in line
    ]
    if not told:
        return ""
    message, after = lines[told[-1]].removeprefix("optbench: "), lines[told[-1] + 1 :]
    return after[0].strip() if message.endswith("problem:") and after else message


def marked(mark: str) -> list[int]:
    """Pids of running processes that were started for a bench, by a variable that they all inherit."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            variables = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
            if wanted in variables and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found


@contextlib.contextmanager
def mounted(place: Path, options: str) -> Iterator[Path]:
    """A small file system of its own. Raises Unfit where nothing can be mounted."""
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise Unfit(f"nothing can be mounted here: {error}") from error
    if done.returncode:
        raise Unfit(f"nothing can be mounted here: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)
