"""What every acceptance procedure shares: the options, the figures, and the registry."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

DECISIVE_RUNS = 2000
"""From here on a threshold is taken at its word; with fewer runs chance alone breaks some of them."""
CHANCE_SD = 2.33


@dataclass(frozen=True)
class Options:
    """What was asked for: runs per cell, the seed of everything, and which cells."""

    runs: int
    seed: int
    cell: str

    def includes(self, cell: str) -> bool:
        """Whether a cell was asked for."""
        return self.cell in cell

    def random_state(self, cell: str, run: int) -> list[int]:
        """The seed of one run; it depends on nothing but the options, the cell's name and the run."""
        return [self.seed, zlib.crc32(cell.encode()), run]


@dataclass(frozen=True)
class Figure:
    """One number that was promised; `passed` is None where it is only reported."""

    cell: str
    name: str
    value: float
    threshold: str
    passed: bool | None
    note: str = ""

    @property
    def result(self) -> str:
        """PASS, FAIL, or - where nothing is decided."""
        return {True: "PASS", False: "FAIL", None: "-"}[self.passed]

    def __str__(self) -> str:
        columns = f"{self.cell:32} {self.name:14} {self.value:8.2%}  {self.threshold:9}"
        return f"{columns} {self.result:5} {self.note}".rstrip()


Check = Callable[[Options], Iterator[Figure]]
PROCEDURES: dict[str, Check] = {}


def procedure(check: Check) -> Check:
    """Register a procedure under its function's name."""
    PROCEDURES[check.__name__] = check
    return check


def share_figure(
    cell: str,
    name: str,
    share: float,
    runs: int,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    note: str = "",
) -> Figure:
    """A share of runs against its threshold, of which one is given.

    With fewer than 2,000 runs a breach within 2.33 standard errors decides nothing.
    """
    bound = at_least if at_least is not None else at_most
    if bound is None:
        raise ValueError(f"{cell}: a figure needs at_least or at_most")
    breach = bound - share if at_least is not None else share - bound
    threshold = f"{'>=' if at_least is not None else '<='} {bound:.0%}"
    passed: bool | None = breach <= 0
    chance = CHANCE_SD * math.sqrt(bound * (1 - bound) / runs)
    if 0 < breach <= chance and runs < DECISIVE_RUNS:
        passed, note = None, f"{note}; undecided, use --runs {DECISIVE_RUNS}".removeprefix("; ")
    return Figure(cell, name, share, threshold, passed, note)
