"""Plug-ins of the fault matrix: the made-up runtime, which breaks where it is told to, and a stuck step.

$OPTBENCH_FAULTS names a JSON file that maps points to faults, {"1x8": "kill@60"}: while it is timed with
1 row of 8 tokens, a worker kills itself at its call number 60. '*' is every point. Without the file
everything is healthy, and the config of a point is the same: that is what resuming needs.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optbench.backends.fake import Fake
from optbench.components import Artifact, Graph, LoadOptions, ModelSpec, Session, register

FAULTS = "OPTBENCH_FAULTS"
MEBIBYTE = 1 << 20
CGROUPS = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")


def told() -> dict[str, str]:
    """Point to fault, as it stands in the file now."""
    with contextlib.suppress(KeyError, OSError):
        found: dict[str, str] = json.loads(Path(os.environ[FAULTS]).read_text())
        return found
    return {}


@register("backend", "faulty")
@dataclass
class Faulty(Fake):
    """The made-up runtime of `backend=fake`, until it is told to break."""

    def supports(self, spec: ModelSpec, graph: Graph) -> str | None:
        """As the fake one; the place of a plug-in's faults in the coordinator."""
        fault = told().get("coordinator")
        if fault == "hang":
            hang()
        elif fault is not None:
            raise RuntimeError(f"the plug-in was told to break: {fault}")
        return None

    def load(self, artifact: Artifact, options: LoadOptions) -> Session:
        """A session that counts its calls."""
        return FaultySession(super().load(artifact, options))


class FaultySession:
    """A session over another one."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._shape: str | None = None
        self._calls = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def bind(self, feed: Mapping[str, Any]) -> Any:
        """The first feed tells the point."""
        rows, length = feed["input_ids"].shape
        shape = f"{rows}x{length}"
        self._shape = self._shape or shape
        if shape != self._shape and told().get("evaluation") == "hang":
            hang()
        return self._session.bind(feed)

    def forward(self, bound: Any) -> Any:
        """Break, or pass on."""
        faults = told()
        fault, _, call = faults.get(self._shape or "", faults.get("*", "")).partition("@")
        if fault and self._calls == int(call):
            BREAK[fault]()
        self._calls += 1
        return self._session.forward(bound)


def stumble() -> None:
    """An error that nobody foresaw."""
    raise RuntimeError("the runtime was told to break")


def kill() -> None:
    """As the system does for lack of memory."""
    os.kill(os.getpid(), signal.SIGKILL)


def crash() -> None:
    """Read where nothing is."""
    ctypes.string_at(0)


def exhaust() -> None:
    """Ask for more memory than the process may have."""
    resource.setrlimit(resource.RLIMIT_AS, (own_bytes() + 64 * MEBIBYTE,) * 2)
    fill()


def be_killed_for_memory() -> None:
    """Use more memory than a control group of its own has, so that the kernel kills it."""
    groups = [place for place in CGROUPS if (place / "cgroup.procs").is_file()]
    group = groups[0] / f"optbench-fault-{os.getpid()}"
    group.mkdir()
    limit = next(group / n for n in ("memory.limit_in_bytes", "memory.max") if (group / n).exists())
    limit.write_text(str(32 * MEBIBYTE))
    with contextlib.suppress(OSError):
        (group / "memory.swap.max").write_text("0")
    (group / "cgroup.procs").write_text(str(os.getpid()))
    fill(256)


def fill(most: int = 4096) -> None:
    """Allocate mebibytes and touch every page."""
    kept = [b"x" * MEBIBYTE for _ in range(most)]
    raise RuntimeError(f"nothing refused {len(kept)} MiB")


def hang() -> None:
    """Never answer."""
    threading.Event().wait()


BREAK = {
    "raise": stumble,
    "kill": kill,
    "crash": crash,
    "exhaust": exhaust,
    "oom": be_killed_for_memory,
    "hang": hang,
}


def own_bytes() -> int:
    """Address space of this process."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


@register("graph", "stuck")
@dataclass
class Stuck(Graph):
    """Rewrites a graph for ever, in a preparation process."""

    level: str = "default"

    def recipe(self) -> dict[str, Any]:
        """Any."""
        return {"approach": "stuck"}

    def apply(self, source: Path, target: Path) -> dict[str, Any]:
        """Never ends."""
        hang()
        return {}
