"""Composing a config outside of Hydra's own application, and naming all that cannot be composed."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml
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

from optbench.components import collect_problems
from optbench.config import register_run_schema
from optbench.errors import ConfigError
from optbench.hydra_app import plugins
from optbench.hydra_app.complaints import KEYS_THERE_ARE, complaint
from optbench.hydra_app.resolvers import register_resolvers
from optbench.hydra_app.typed import to_config
from optbench.locations import CONFIG_NAME, conf_dir

SINGLETONS: tuple[type, ...] = (GlobalHydra, HydraConfig, JobRuntime, VersionBase)
"""What Hydra keeps for the whole process; an application of the caller's may have its own in there."""

COMPOSING_ERRORS = (
    HydraException,
    OmegaConfBaseException,
    yaml.YAMLError,
    OSError,
    ValueError,
    RecursionError,
)
"""What Hydra raises for configs that do not compose; the last four come from the files themselves."""

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

    Raises COMPOSING_ERRORS.
    """
    return compose(name, overrides=list(overrides), return_hydra_config=True)


def composition_problems(
    overrides: Sequence[str],
    error: BaseException,
    directories: Sequence[Path] = (),
    name: str = CONFIG_NAME,
) -> list[str]:
    """Every override that cannot be composed, beginning with what `error` says: Hydra stops at the first.

    Then what is wrong with the values of the others, unless they are those of a sweep: each of its points is
    judged alone. directories: the user's own configs (--config-dir). name: of the config to start from
    (--config-name).
    """
    told: str | None = reason_of(error, directories)
    if not all(place.is_dir() for place in directories):
        return [str(told)]
    if len(overrides) == 1 and not directories and name == CONFIG_NAME:
        return [str(told)]  # the shipped configs alone do compose
    left = list(overrides)
    problems: list[str] = []
    while told is not None:
        message, told = told, None
        problems.append(message)
        for override in likeliest_first(left, message):
            fewer = [item for item in left if item != override]
            without = tried(fewer, directories, name)
            if isinstance(without, DictConfig):
                sweeps = any(first_value(item) != item for item in fewer)
                problems += [] if sweeps else value_problems(without)
                break
            if without != message:
                left, told = fewer, without
                break
    return list(dict.fromkeys(problems))


def value_problems(config: DictConfig) -> list[str]:
    """What is wrong with the values of a config that composes."""
    try:
        return collect_problems(to_config(config))
    except ConfigError as error:
        return error.problems


def likeliest_first(overrides: Sequence[str], message: str) -> list[str]:
    """Overrides in the order in which to blame them: those whose key the message is about go first."""
    subject = message.partition(KEYS_THERE_ARE)[0]

    def is_innocent(override: str) -> bool:
        key = override.partition("=")[0].lstrip("+~")
        return re.search(rf"(?<![\w.]){re.escape(key)}(?![\w.])", subject) is None

    return sorted(overrides, key=is_innocent)


def tried(overrides: Sequence[str], directories: Sequence[Path], name: str) -> DictConfig | str:
    """The config of the first point of these overrides, or what Hydra says about composing it."""
    axes = [item for item in overrides if not item.startswith("hydra.")]
    try:
        with initialized(directories):
            return composed([first_value(item) for item in axes], name)
    except COMPOSING_ERRORS as error:
        return reason_of(error, directories)


def first_value(override: str) -> str:
    """An override with the first of its values, as a sweep's first point has it."""
    try:
        (parsed,) = OverridesParser.create().parse_overrides([override])
    except HydraException:
        return override
    if not parsed.is_sweep_override():
        return override
    return f"{parsed.get_key_element()}={next(parsed.sweep_string_iterator())}"


def reason_of(error: BaseException, directories: Sequence[Path] = ()) -> str:
    """One of COMPOSING_ERRORS as one line that names the key or file."""
    if isinstance(error, RecursionError):
        return "the configs include one another without end; look at their defaults lists"
    if isinstance(error, UnicodeDecodeError):
        file = undecodable(directories) or "a config file"
        return f"{file} must be UTF-8: {error.reason} at byte {error.start}"
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename} cannot be read or written: {error.strerror}"
    return complaint(error)


def undecodable(directories: Sequence[Path]) -> Path | None:
    """The first of the user's own config files that is not UTF-8."""
    for file in (file for directory in directories for file in sorted(directory.rglob("*.yaml"))):
        try:
            file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            return file
        except OSError:
            continue
    return None
