"""From Hydra's config to the typed one, and every problem on the way told at once."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import sys
from difflib import get_close_matches

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from optbench.config import RunConfig
from optbench.errors import ConfigError


def to_config(config: DictConfig) -> RunConfig:
    """The typed config below Hydra's. Raises ConfigError for missing and mistyped values."""
    plain = copy.deepcopy(config)
    OmegaConf.set_readonly(plain, False)
    OmegaConf.set_struct(plain, False)
    plain.pop("hydra", None)
    try:
        built = OmegaConf.to_object(plain)
    except MissingMandatoryValue as error:
        keys = missing_keys(plain) or [error.full_key or str(error)]
        raise ConfigError(
            *(f"{key} must be set, it has no default; set it with {key}=VALUE" for key in keys)
        ) from error
    except OmegaConfBaseException as error:
        raise ConfigError(f"{error.full_key}: {str(error).splitlines()[0]}") from error
    if not isinstance(built, RunConfig):
        name = HydraConfig.get().job.config_name if HydraConfig.initialized() else "the config"
        raise ConfigError(
            f"{name} must start from optbench's schema; put '- config' first in its defaults list"
        )
    if unknown := unknown_settings(plain):
        raise ConfigError(*unknown)
    return built


def missing_keys(config: DictConfig) -> list[str]:
    """Every key without a value; empty where an interpolation to nowhere hides them."""
    with contextlib.suppress(OmegaConfBaseException):
        return sorted(OmegaConf.missing_keys(config))
    return []


def unknown_settings(node: DictConfig, path: str = "") -> list[str]:
    """Keys that were added to a component that has no such setting: Hydra adds whatever +KEY=VALUE says."""
    holder = OmegaConf.get_type(node)
    fields = [one.name for one in dataclasses.fields(holder)] if dataclasses.is_dataclass(holder) else None
    found = []
    for name in node:
        key = f"{path}{name!s}"
        if fields is not None and name not in fields:
            close = get_close_matches(str(name), fields, n=1)
            meant = f"did you mean {path}{close[0]}?" if close else f"there are {', '.join(fields)}"
            found.append(f"{key} is no setting, so +{key}= has nothing to add to; {meant}")
        elif isinstance(child := node[name], DictConfig):
            found += unknown_settings(child, f"{key}.")
    return found


def leave(error: ConfigError) -> None:
    """Print every problem and end the process with the code for bad configuration."""
    print_problems(error)
    raise SystemExit(error.exit_code)


def print_problems(error: ConfigError) -> None:
    """All problems on stderr, one line each."""
    count = len(error.problems)
    head = (
        "optbench: the configuration has a problem:"
        if count == 1
        else (f"optbench: the configuration has {count} problems:")
    )
    sys.stderr.write("\n  ".join([head, *error.problems]) + "\n")
