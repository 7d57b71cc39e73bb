"""Where a checkpoint and labelled rows come from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import MISSING

from optbench.components.component import Component, component_name
from optbench.errors import ConfigError


@dataclass
class Model(Component, ABC):
    """Where the checkpoint comes from.

    path: where it is.
    trust_remote_code: run Python code that comes with the checkpoint; without it one that needs such
    code is refused.
    """

    path: str = MISSING
    trust_remote_code: bool = False

    @abstractmethod
    def resolve(self) -> Path:
        """The local directory of the checkpoint. Raises DataError that says what to do."""


@dataclass
class DataKeys(Component):
    """Columns that hold the model's input.

    primary: the text, the question, the words or the image. secondary: the second sentence of a pair, or
    the context of a question. null: guessed where there is no doubt.
    """

    primary: str | None = None
    secondary: str | None = None


@dataclass
class Dataset(Component, ABC):
    """Where labelled rows come from, and which columns hold what.

    path: where the rows are.
    eval_split: the rows that are evaluated. calibration_split: those that static int8 finds its scales
    with; null takes rows that are not evaluated.
    streaming: read the rows once and keep only the sample that is drawn, for data beyond the memory.
    ref_keys: columns that hold the right answer; empty: guessed where there is no doubt.
    """

    path: str = MISSING
    eval_split: str = "test"
    calibration_split: str | None = None
    streaming: bool = False
    data_keys: DataKeys = field(default_factory=DataKeys)
    ref_keys: list[str] = field(default_factory=list)

    @abstractmethod
    def load(self, split: str) -> Any:
        """The rows of a split as a `datasets.Dataset`. Raises DataError."""

    def require_there(self, split: str) -> None:
        """Raise DataError if a look at the disk tells that a split cannot be loaded."""
        return

    def rows_known(self, split: str) -> int | None:
        """How many rows a split has, where that can be told without loading it; else null.

        Raises DataError where it is known that there is nothing to load.
        """
        return None

    def plain_columns(self, split: str) -> Mapping[str, Sequence[Any]] | None:
        """The columns of a split where a glance at a small local file tells them without doubt; else null."""
        return None

    def sample(self, split: str, count: int, seed: int) -> tuple[Any, int]:
        """`count` seeded rows of a split, in its order, read as a stream; and how many it held.

        All of them if they are fewer. Raises DataError, ConfigError where it cannot be read so.
        """
        raise ConfigError(f"dataset.streaming must be false for dataset={component_name(self)}")
