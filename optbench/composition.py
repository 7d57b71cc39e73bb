"""Composing a config outside of Hydra's own application, and naming all that cannot be composed."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from hydra import compose, initialize_config_search_path
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.singleton import Singleton
from hydra.core.utils import JobRuntime
from hydra.errors import HydraException
from hydra.version import VersionBase
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from optbench import plugins
from optbench.config import register_run_schema
from optbench.hooks import hydra_message
from optbench.locations import conf_dir
from optbench.resolvers import register_resolvers

SINGLETONS: tuple[type, ...] = (GlobalHydra, HydraConfig, JobRuntime, VersionBase)
"""What Hydra keeps for the whole process; an application of the caller's may have its own in there."""

CONFIG_NAME = "config"
_turn = threading.RLock()


def prepare() -> None:
    """Make schemas, plug-ins and resolvers known; safe to call again."""
    register_run_schema()
    plugins.import_all()
    register_resolvers()


@contextlib.contextmanager
def initialized(directories: Sequence[Path] = ()) -> Iterator[None]:
    """Hydra over the shipped configs and `directories`; afterwards it is as it was. One thread at a time."""
    places = [conf_dir(), *plugins.conf_directories(), *directories]
    with _turn:
        instances = Singleton._instances
        before = {kind: instances.pop(kind) for kind in SINGLETONS if kind in instances}
        try:
            with initialize_config_search_path([f"file://{place.absolute()}" for place in places]):
                yield
        finally:
            for kind in SINGLETONS:
                instances.pop(kind, None)
            instances.update(before)


def composed(overrides: Sequence[str], name: str = CONFIG_NAME) -> DictConfig:
    """The config of these overrides, Hydra's own part included; Hydra must be `initialized`.

    Raises Hydra's and OmegaConf's errors, and ValueError.
    """
    return compose(name, overrides=list(overrides), return_hydra_config=True)


def composition_problems(
    overrides: Sequence[str],
    error: BaseException,
    directories: Sequence[Path] = (),
    name: str = CONFIG_NAME,
) -> list[str]:
    """Every override that cannot be composed: composition itself stops at the first."""
    left = list(overrides)
    problems: list[str] = []
    message: str | None = hydra_message(error)
    while message is not None:
        problems.append(message)
        for override in left:
            fewer = [item for item in left if item != override]
            without = first_problem(fewer, directories, name)
            if without != message:
                left, message = fewer, without
                break
        else:
            message = None
    return list(dict.fromkeys(problems))


def first_problem(overrides: Sequence[str], directories: Sequence[Path], name: str) -> str | None:
    """What Hydra says about composing these overrides; None if they compose."""
    axes = [item for item in overrides if not item.startswith("hydra.")]
    try:
        with initialized(directories):
            composed([first_value(item) for item in axes], name)
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        return hydra_message(error)
    return None


def first_value(override: str) -> str:
    """An override with the first of its values, as a sweep's first point has it."""
    try:
        (parsed,) = OverridesParser.create().parse_overrides([override])
    except HydraException:
        return override
    if not parsed.is_sweep_override():
        return override
    return f"{parsed.get_key_element()}={next(parsed.sweep_string_iterator())}"
