"""The result of a run while it grows: saved after every stage, so that nothing measured is lost."""

from __future__ import annotations

import hashlib
import json
import logging
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from optbench import __version__, extensions
from optbench.components import component_name, walk
from optbench.config import MeasureConfig, RunConfig
from optbench.environment import capture
from optbench.errors import FULL, Unsupported, WorkerError
from optbench.processes.termination import told
from optbench.records import GRID_KEYS, RESULT_FILE, Failure, RunResult, replace, write_result

NOT_SETTINGS = ("resume", "results_url", "run", "tracking")
"""Keys of a config that change nothing about what is measured."""

INTERRUPTED = "interrupted"
"""The kind of failure of a run that was ended from outside, or killed."""


class Draft:
    """The result as far as it has come; saved after every stage, so that nothing measured is lost."""

    def __init__(self, config: RunConfig, directory: Path, command: Sequence[str] | None = None) -> None:
        self.directory = directory
        self.stage = "configuration"
        resolved = plain_config(config)
        self.result = RunResult(
            optbench_version=__version__,
            status="failed",
            started_at=now(),
            command=sys.argv if command is None else list(command),
            config=resolved,
            config_hash=point_hash(resolved),
            environment=environment_of(config),
            failure=unfinished(self.stage),
        )

    def begin(self, stage: str) -> None:
        """Note which stage runs and save it, so that a run that is killed tells where."""
        self.stage = stage
        self.update(failure=unfinished(stage))
        self.save()

    def update(self, **changes: Any) -> None:
        """Change fields of the result."""
        self.result = replace(self.result, **changes)

    def add_notes(self, notes: Iterable[str]) -> None:
        """Say more aloud; what was said before is not repeated."""
        self.update(notes=list(dict.fromkeys([*self.result.notes, *notes])))

    def add_cautions(self, name: str, cautions: Iterable[str]) -> None:
        """Say aloud what is known of a variant, or what its runtime did otherwise than asked."""
        self.add_notes(f"{name}: {caution}" for caution in cautions)

    def variant(self, name: str, **changes: Any) -> None:
        """Change fields of one variant."""
        changed = replace(self.result.variants[name], **changes)
        self.update(variants={**self.result.variants, name: changed})

    def fail(self, error: BaseException) -> None:
        """Note why the run ended early."""
        interrupted = isinstance(error, KeyboardInterrupt)
        failure = Failure(
            kind=INTERRUPTED if interrupted else type(error).__name__,
            stage=self.stage,
            message=told(error) if interrupted else str(error),
            details=getattr(error, "details", None) or None,
        )
        status = "skipped" if isinstance(error, Unsupported) else "failed"
        self.update(status=status, failure=failure)
        if failure.details:
            logging.getLogger(__name__).error("%s\n%s", failure.message, failure.details)

    def save(self) -> None:
        """Write result.json. Raises OptbenchError when the disk refuses."""
        try:
            write_result(self.directory, self.result)
        except OSError as error:
            raise WorkerError(refused(self.directory / RESULT_FILE, error)) from error

    def finish(self) -> None:
        """Write the last state. Raises WorkerError if that cannot be; it says where the result lies then."""
        if self.result.status == "ok":
            self.update(failure=None)
        self.update(finished_at=now())
        try:
            self.save()
        except WorkerError as error:
            kept = rescue(self.result) if self.result.variants else None
            if kept is None:
                raise
            raise WorkerError(f"{error}; what was measured lies in {kept}") from error


def unfinished(stage: str) -> Failure:
    """What a result says while its run goes on, and for ever if it is killed."""
    return Failure(
        INTERRUPTED,
        stage,
        f"the run has not come to its end: it still runs, or was killed, in its stage '{stage}'",
    )


def rescue(result: RunResult) -> Path | None:
    """Write a result that its own directory does not take into a temporary one; null if that fails too."""
    try:
        return write_result(Path(tempfile.mkdtemp(prefix="optbench-result-")), result)
    except OSError:
        return None


def refused(place: Path | str, error: OSError) -> str:
    """What the system refused about a file of a run, and what to do."""
    told = f"{place} cannot be written or read: {error.strerror or error}"
    if error.errno in FULL:
        return f"{told}; free space there, or write elsewhere with hydra.run.dir=DIR (hydra.sweep.dir=DIR)"
    return told


def plain_config(config: RunConfig) -> dict[str, Any]:
    """The config as resolved, in plain JSON types; components carry their registered names."""
    container = OmegaConf.to_container(OmegaConf.structured(config), enum_to_str=True)
    if not isinstance(container, dict):
        raise TypeError("a run config is a mapping")
    named = {str(key): value for key, value in container.items()}
    named["chosen"] = {
        name: {
            "backend": component_name(variant.backend),
            "quantization": component_name(variant.quantization),
        }
        for name, variant in config.variants.items()
    } | {"task": component_name(config.task), "model_class": config.task.model_class}
    return named


def environment_of(config: RunConfig) -> dict[str, Any]:
    """The machine and the software of a run; `plug_ins`: version by distribution of those it uses."""
    used = extensions.versions_behind(type(component) for _, component in walk(config))
    return {**capture(directory=Path.cwd()), "plug_ins": used}


def config_hash(config: RunConfig) -> str:
    """What tells a point's settings from all others'; keys of a sweep, a tracker or a limit do not count.

    A point that was finished within one limit is the same under a higher one.
    """
    return point_hash(plain_config(config))


def point_hash(resolved: Mapping[str, Any]) -> str:
    """The same of a config that is resolved already."""
    own = {key: value for key, value in resolved.items() if key not in NOT_SETTINGS}
    measure = {**(own.get("measure") or {}), "timeout_seconds": MeasureConfig.timeout_seconds}
    return hash_of({**own, "measure": measure, **dict.fromkeys(GRID_KEYS)})


def hash_of(resolved: Mapping[str, Any]) -> str:
    """SHA-256 of a resolved config."""
    return hashlib.sha256(json.dumps(resolved, sort_keys=True).encode()).hexdigest()


def now() -> str:
    """The time of day in UTC, ISO 8601 with seconds."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
