"""What a page is made of: cells, tables and charts, each with the exact number beside its text."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from xml.etree import ElementTree

from optbench.records import Estimate
from optbench.units import MISSING_TEXT

LONGEST_TEXT = 4000
UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
KEPT = "\n\t\u200d"
"""Joiners shape scripts and emoji; everything else that cannot be seen is shown as a mark."""


@dataclass(frozen=True)
class Cell:
    """One cell.

    value: the number behind the text, unrounded. kind: a CSS class. href: relative. note: small, below.
    """

    text: str
    value: float | None = None
    kind: str = ""
    href: str | None = None
    note: str = ""

    @property
    def exact(self) -> str | None:
        """The value with all its digits; null for words."""
        return None if self.value is None else repr(self.value)


@dataclass(frozen=True)
class Table:
    """Rows below a head; the first `texts` columns are words, the rest numbers.

    The first cell of a row names it. tools: whether it can be sorted and filtered.
    """

    caption: str
    head: list[str]
    rows: list[list[Cell]]
    texts: int = 1
    tools: bool = False


@dataclass(frozen=True)
class Chart:
    """A drawing with its words and, for those who cannot see it, its table."""

    name: str
    title: str
    description: str
    svg: ElementTree.Element
    table: Table | None = None
    legend: list[tuple[str, str]] = field(default_factory=list)
    wide: bool = False


def visible(text: object, longest: int = LONGEST_TEXT) -> str:
    """Text of unknown origin without characters that hide or turn others round, cut where it is longer."""
    cut = str(text)[: longest + 1]
    if cut.isprintable() and len(cut) <= longest:
        return cut
    kept = "".join(
        one if one in KEPT or unicodedata.category(one) not in UNSEEN else "\N{REPLACEMENT CHARACTER}"
        for one in cut
    )
    return kept if len(kept) <= longest else kept[:longest] + "…"


def words(text: object, kind: str = "", longest: int = LONGEST_TEXT) -> Cell:
    """A cell of words."""
    return Cell(visible(text, longest) if text not in (None, "") else "", kind=kind)


def number(value: float | None, form: Callable[[float], str], kind: str = "") -> Cell:
    """A cell of one number; a dash where it is missing."""
    return Cell(MISSING_TEXT if value is None else form(value), value, kind)


def estimate_cells(estimate: Estimate | None, form: Callable[[float], str]) -> list[Cell]:
    """Value, low and high end; where there is no interval, why not."""
    if estimate is None:
        return [Cell(MISSING_TEXT), Cell(""), Cell("")]
    value = number(estimate.value, form)
    if estimate.interval is None:
        return [value, words(estimate.reason or "no interval", "quiet"), Cell("")]
    return [value, number(estimate.interval.low, form), number(estimate.interval.high, form)]


def between(estimate: Estimate | None, form: Callable[[float], str]) -> str:
    """The interval in words, or why there is none."""
    if estimate is None:
        return ""
    if estimate.interval is None:
        return visible(f"no interval: {estimate.reason or 'a quick look'}")
    low, high = form(estimate.interval.low), form(estimate.interval.high)
    return f"{estimate.interval.level:.0%} interval {low} to {high}"
