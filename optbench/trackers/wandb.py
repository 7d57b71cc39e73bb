"""Weights & Biases: a run for each result; the points of a sweep share a group."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from optbench.components import register
from optbench.errors import DataError
from optbench.locations import HYDRA_DIRECTORY
from optbench.records import RunResult, TrackedRun
from optbench.tracking.log_entry import entry_of
from optbench.tracking.tracker import Group, Tracker, without_passwords

if TYPE_CHECKING:
    import wandb

NAME = "wandb"
OFF = ("disabled", "dryrun")


class Mode(Enum):
    """Files here, to be uploaded with `wandb sync`; or a server, at once."""

    offline = "offline"
    online = "online"


@register("tracking", NAME)
@dataclass
class Wandb(Tracker):
    """Weights & Biases.

    project: null takes WANDB_PROJECT, else 'optbench'. entity: user or team; null takes WANDB_ENTITY.
    mode: null takes WANDB_MODE, else offline: nothing leaves the machine unless it is asked for.
    tags: of every run.
    """

    project: str | None = None
    entity: str | None = None
    mode: Mode | None = None
    tags: list[str] = field(default_factory=list)

    extra: ClassVar[str] = NAME
    packages: ClassVar[tuple[str, ...]] = (NAME,)
    environment: ClassVar[Mapping[str, str]] = {"WANDB_ERROR_REPORTING": "false", "WANDB_SILENT": "true"}

    def problems(self) -> list[str]:
        """As of all trackers, and tags that the server refuses."""
        found = super().problems()
        found += [
            f"tags must hold words of 1 to 64 characters, got {tag!r}"
            for tag in self.tags
            if not 0 < len(tag) <= 64
        ]
        if self.project is not None and (not self.project or set(self.project) & set("/\\#?%:")):
            found.append(f"project must be a name without / \\ # ? % and :, got {self.project!r}")
        return found

    def store(self) -> str:
        """The mode, where the server or the directory is, and the project there."""
        mode = self._mode()
        base = os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai"
        place = without_passwords(base) if mode == "online" else str(self._place() / NAME)
        names = [self.entity or os.environ.get("WANDB_ENTITY"), self._project()]
        return f"{mode} at {place}, project {'/'.join(name for name in names if name)}"

    def publish(self, result: RunResult, directory: Path, group: Group | None = None) -> TrackedRun:
        """Log config, summary and files. Raises DataError where W&B is switched off."""
        import wandb

        entry = entry_of(result)
        if self._mode() in OFF:
            raise DataError(f"WANDB_MODE={self._mode()} switches W&B off; unset it, or set tracking.mode")
        run = wandb.init(
            project=self._project(),
            entity=self.entity,
            name=self.run_name or entry.name,
            id=secrets.token_hex(4),
            group=None if group is None else f"{group.name}-{group.key}",
            job_type="run" if group is None else "point",
            tags=self.tags or None,
            config=entry.params,
            notes=entry.tags.get("sentence"),
            mode=self._mode(),  # type: ignore[arg-type]
            dir=str(self._place()),
            settings=self._settings(),
        )
        run.log(entry.metrics)
        run.summary.update(entry.tags)
        for file in self.files(directory):
            keep(run, file)
        address = run.url or str(Path(run.dir).parent)
        run.finish(exit_code=0 if result.status == "ok" else 1)
        wandb.teardown()
        return TrackedRun(NAME, self.store(), run.id, None if group is None else group.name, address)

    def _mode(self) -> str:
        return self.mode.value if self.mode is not None else os.environ.get("WANDB_MODE") or "offline"

    def _project(self) -> str:
        return self.project or os.environ.get("WANDB_PROJECT") or "optbench"

    def _place(self) -> Path:
        """The directory that holds W&B's own."""
        return Path(os.environ.get("WANDB_DIR") or Path.cwd()).absolute()

    def _settings(self) -> wandb.Settings:
        """No capture of the terminal, of code, or of the machine's load: nothing runs any more."""
        import wandb

        return wandb.Settings(
            console="off",
            silent=True,
            save_code=False,
            disable_git=True,
            x_disable_stats=True,
            init_timeout=max(1.0, self.timeout_seconds / 2),
        )


def keep(run: Any, file: Path) -> None:
    """Copy a file into the run's own directory: a link would lose it when the results move."""
    below = HYDRA_DIRECTORY.lstrip(".") if file.parent.name == HYDRA_DIRECTORY else ""
    target = Path(run.dir) / below / file.name
    target.parent.mkdir(exist_ok=True)
    shutil.copyfile(file, target)
    run.save(str(target), base_path=run.dir, policy="now")
