"""Directories of runs that Python code starts: named, claimed, and filled as the command line does."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from optbench import components
from optbench.claims import Claim
from optbench.config import RunConfig
from optbench.errors import ConfigError
from optbench.hydra_app.hooks import directory_problems
from optbench.locations import HYDRA_DIRECTORY, OVERRIDES_FILE

LOG_FORMAT = "[%(asctime)s][%(name)s][%(levelname)s] %(message)s"
"""As in conf/hydra/job_logging/optbench.yaml."""

NO_FOLDING = 1 << 20


@contextlib.contextmanager
def logged(file: Path) -> Iterator[None]:
    """What optbench logs meanwhile goes to `file`."""
    logger = logging.getLogger("optbench")
    handler = logging.FileHandler(file)
    handler.setFormatter(logging.Formatter(LOG_FORMAT))
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()


def keep_overrides(place: Path, overrides: Sequence[str]) -> None:
    """The overrides where Hydra keeps those of the command line, so that tables know the axes."""
    import yaml

    directory = place / HYDRA_DIRECTORY
    directory.mkdir(exist_ok=True)
    content = yaml.safe_dump(list(overrides), width=NO_FOLDING)
    (directory / OVERRIDES_FILE).write_text(content, encoding="utf-8")


def run_name(config: RunConfig) -> str:
    """What tells a run's directory from others, as in conf/config.yaml."""
    parts = [config.backend, config.quantization]
    return "_".join([Path(config.model.path).name, *map(components.component_name, parts)])


def new_directory(name: str) -> Path:
    """A place below outputs/ that is named by the time, as the command line does."""
    now = datetime.now()
    return Path("outputs") / f"{now:%Y-%m-%d}" / f"{now:%H-%M-%S-%f}_{name}"


def claimed(place: Path) -> Claim:
    """The directory of a run or sweep, made and ours alone. Raises ConfigError where that cannot be."""
    if problems := directory_problems(place, "directory"):
        raise ConfigError(*problems)
    return Claim.take(place, "directory")
