"""Where finished runs are logged beside their directories: what a tracker such as MLflow has to offer.

A tracker runs in a process of its own (`optbench.delivery.publishing`), after the measurement and before
the next one.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import ClassVar

from optbench.components import Component
from optbench.locations import HYDRA_DIRECTORY
from optbench.records import RESULT_FILE, RunResult, TrackedRun

RUN_FILES = (RESULT_FILE, "report.html")
SWEEP_FILES = ("results.json", "results.csv", "report.html", "sweep.json", "tune.json")
PASSWORD = re.compile(r"(?<=://)[^/@\s]+@")


@dataclass(frozen=True)
class Group:
    """The sweep that a run belongs to; `key` is its own, whatever its directory is called."""

    name: str
    key: str
    directory: Path


@dataclass
class Tracking(Component):
    """Base of `tracking=`; by itself it logs nothing."""


@dataclass
class Tracker(Tracking, ABC):
    """Logs a finished run somewhere.

    run_name: null names the candidate and the shape. log_artifacts: also result.json, report.html and
    .hydra. log_raw_values: also the Parquet files. timeout_seconds: what logging one run may take.
    """

    run_name: str | None = None
    log_artifacts: bool = True
    log_raw_values: bool = False
    timeout_seconds: float = 120.0

    environment: ClassVar[Mapping[str, str]] = {}
    """Of the process that logs; a variable that the user has set stays as it is."""

    def problems(self) -> list[str]:
        """Ranges, and raw values without a place."""
        found = []
        if self.timeout_seconds < 1:
            found.append(f"timeout_seconds must be >= 1, got {self.timeout_seconds:g}")
        if self.log_raw_values and not self.log_artifacts:
            found.append("log_raw_values=true needs log_artifacts=true, got false; set both")
        return found

    @abstractmethod
    def store(self) -> str:
        """Which store this is, without any password; a run is logged to it once."""

    @abstractmethod
    def publish(self, result: RunResult, directory: Path, group: Group | None = None) -> TrackedRun:
        """Log a run whole or not at all. May raise anything the library raises."""

    def finish_group(self, group: Group) -> None:
        """Close a sweep whose points have all been logged; nothing to do unless overridden."""

    def files(self, directory: Path) -> list[Path]:
        """The files of a run that are logged."""
        if not self.log_artifacts:
            return []
        found = [directory / name for name in RUN_FILES]
        found += sorted((directory / HYDRA_DIRECTORY).glob("*.yaml"))
        if self.log_raw_values:
            found += sorted(directory.glob("*.parquet"))
        return [file for file in found if file.is_file() and not file.is_symlink()]


def without_passwords(text: str) -> str:
    """The text with user names and passwords of addresses left out."""
    return PASSWORD.sub("***@", text)


def milliseconds(moment: str | None) -> int | None:
    """A time of day in ISO 8601 as milliseconds since 1970; null where it is none."""
    try:
        found = datetime.fromisoformat(moment or "")
    except ValueError:
        return None
    known = found if found.tzinfo is not None else found.replace(tzinfo=timezone.utc)
    return round(1000 * known.timestamp())
