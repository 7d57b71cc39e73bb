"""Why a command line does not compose: Hydra stops at the first reason, here all of them are found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml
from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from optbench.complaints import complaint
from optbench.locations import conf_dir

COMPOSING_ERRORS = (
    HydraException,
    OmegaConfBaseException,
    yaml.YAMLError,
    OSError,
    ValueError,
    RecursionError,
)
"""What Hydra raises for configs that do not compose; the last four come from the files themselves."""


def composition_problems(arguments: Sequence[str], error: BaseException) -> list[str]:
    """Every override that cannot be composed, beginning with what `error` says."""
    given = get_args_parser().parse_known_intermixed_args(list(arguments))[0]
    directory = None if given.config_dir is None else Path(given.config_dir)
    name = given.config_name or "config"
    overrides = [item for item in given.overrides if not item.startswith("hydra.")]
    if len(overrides) == 1 and directory is None and name == "config":
        return [reason_of(error)]  # the shipped configs alone do compose
    problems: list[str] = []
    told: str | None = reason_of(error, directory)
    while told is not None:
        message, told = told, None
        problems.append(message)
        if directory is not None and not directory.is_dir():
            break
        blamed = [item for item in overrides if key_of(item) in message]
        for override in [*blamed, *(item for item in overrides if item not in blamed)]:
            fewer = [item for item in overrides if item != override]
            without = first_problem(name, directory, fewer)
            if without != message:
                overrides, told = fewer, without
                break
    return list(dict.fromkeys(problems))


def key_of(override: str) -> str:
    """The key of an override."""
    return override.partition("=")[0].lstrip("+~")


def first_problem(name: str, directory: Path | None, overrides: Sequence[str]) -> str | None:
    """What Hydra says about composing the config of that name; None if it composes.

    directory: the user's own configs (--config-dir), which go before the shipped ones.
    """
    places = [conf_dir()]
    if directory is not None:  # the config itself is looked for in the first place only
        own = directory.absolute()
        places = [own, *places] if (own / f"{name}.yaml").is_file() else [*places, own]
    more = [f"hydra.searchpath=['file://{place}']" for place in places[1:]]
    try:
        with initialize_config_dir(config_dir=str(places[0])):
            compose(name, overrides=[*more, *map(first_value, overrides)])
    except COMPOSING_ERRORS as error:
        return reason_of(error, directory)
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


def reason_of(error: BaseException, directory: Path | None = None) -> str:
    """An error of composing as one line that names the key or file."""
    if isinstance(error, RecursionError):
        return "the configs include one another without end; look at their defaults lists"
    if isinstance(error, UnicodeDecodeError):
        return (
            f"{undecodable(directory) or 'a config file'} must be UTF-8: {error.reason} at byte {error.start}"
        )
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename} cannot be read or written: {error.strerror}"
    return complaint(error)


def undecodable(directory: Path | None) -> Path | None:
    """The first of the user's own config files that is not UTF-8."""
    for file in sorted(directory.rglob("*.yaml")) if directory is not None else []:
        try:
            file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            return file
        except OSError:
            continue
    return None
