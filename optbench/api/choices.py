"""Which config overrides stand for, held against what only a sweep or the command line can mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from optbench import components
from optbench.api.overrides import Overrides, as_overrides, override
from optbench.config import RunConfig
from optbench.errors import ConfigError
from optbench.hydra_app.composition import (
    COMPOSING_ERRORS,
    composed,
    composition_problems,
    initialized,
    prepare,
    reason_of,
)
from optbench.hydra_app.typed import to_config
from optbench.locations import CONFIG_NAME


@dataclass(frozen=True)
class Choice:
    """A config, and the overrides that made it; null where Python code made it."""

    config: RunConfig | ConfigError
    overrides: list[str] | None
    flags: tuple[str, ...] = ()

    @property
    def composed(self) -> RunConfig:
        """The config. Raises ConfigError where it could not be composed."""
        if isinstance(self.config, ConfigError):
            raise self.config
        return self.config

    def checked(self) -> RunConfig:
        """The config, fit to be run. Raises ConfigError that holds every problem of it."""
        components.check(self.composed)
        require_importable(self.composed)
        return self.composed

    @property
    def command(self) -> list[str]:
        """The command line that runs the same; empty where there is none."""
        return [] if self.overrides is None else ["optbench", *self.flags, *self.overrides]


def chosen(overrides: Overrides, config_dir: str | Path | None, config_name: str = CONFIG_NAME) -> Choice:
    """The config of these overrides, or everything in them that cannot be composed."""
    (choice,) = chosen_each([as_overrides(overrides)], config_dir, config_name)
    return choice


def chosen_each(
    points: Sequence[list[str]], config_dir: str | Path | None, config_name: str = CONFIG_NAME
) -> list[Choice]:
    """The config of each point's overrides, or what is wrong with them: all of it in the first one."""
    prepare()
    directories = [] if config_dir is None else [Path(config_dir)]
    flags = [f"--config-dir={config_dir}"] if config_dir is not None else []
    flags += [f"--config-name={config_name}"] if config_name != CONFIG_NAME else []
    found: list[Choice] = []
    with initialized(directories):
        for own in points:
            try:
                made = typed(composed(own, config_name))
            except ConfigError as error:
                made = error
            except COMPOSING_ERRORS as error:
                made = ConfigError(reason_of(error, directories))
                if not found:
                    made = ConfigError(*composition_problems(own, error, directories, config_name))
            found.append(Choice(made, own, tuple(flags)))
    return found


def typed(config: DictConfig) -> RunConfig | ConfigError:
    """The typed config, or what a single run cannot mean. Raises ConfigError for missing values."""
    made = to_config(config)
    problems = only_for_sweeps(config, made)
    return ConfigError(*problems) if problems else made


def only_for_sweeps(composition: DictConfig, config: RunConfig) -> list[str]:
    """What a single run cannot mean."""
    found = []
    if composition.hydra.runtime.choices.get("sweep") not in (None, "none"):
        found.append("sweep must be none here; the points of a grid are the axes of optbench.sweep(...)")
    for key, values in config.grid.items():
        if values:
            found.append(f"{key}s is a list of points; call optbench.sweep({{'{key}': {list(values)}}})")
    if config.tune is not None:
        found.append("tune is a search over many runs; start it with: optbench -m +experiment=tune")
    return found


def raise_problems(points: Sequence[Choice]) -> None:
    """Everything that cannot be composed in any point, as one ConfigError."""
    refused = [point.config for point in points if isinstance(point.config, ConfigError)]
    if refused:
        raise ConfigError(*dict.fromkeys(problem for error in refused for problem in error.problems))
    for point in points:
        require_importable(point.composed)


def require_importable(config: RunConfig) -> None:
    """Raise ConfigError for components that the processes of a run cannot import."""
    own = [part for _, part in components.walk(config) if type(part).__module__ == "__main__"]
    if own:
        raise ConfigError(
            *(
                f"{type(part).__name__} must stand in a module that can be imported: it is defined in the "
                "notebook or script itself, and a run has processes of its own; move it into a file"
                for part in own
            )
        )


def axis_values(axes: Mapping[str, Sequence[object]], fixed: Sequence[str]) -> dict[str, list[str]]:
    """The overrides of each axis. Raises ConfigError for one without values, or given twice."""
    given = {item.partition("=")[0].lstrip("+~") for item in fixed}
    problems = []
    for key, values in axes.items():
        if isinstance(values, str | bytes) or not isinstance(values, Sequence) or not values:
            problems.append(f"axis {key} must be a list of values that is not empty, got {values!r}")
        if key.lstrip("+~") in given:
            problems.append(f"{key} is an axis and an override; give it once")
    if not axes:
        problems.append("axes must name at least one key with its values, such as {'batch_size': [1, 8]}")
    if problems:
        raise ConfigError(*problems)
    return {key: [override(key, value) for value in values] for key, values in axes.items()}


def plan_of(values: Mapping[str, Sequence[str]], fixed: Sequence[str]) -> dict[str, list[str]]:
    """What a sweep walks: every key it was given, with its values."""
    pairs = [item.partition("=") for item in fixed if "=" in item]
    axes = {key: [item.partition("=")[2] for item in items] for key, items in values.items()}
    return {**axes, **{key: [value] for key, _, value in pairs}}
