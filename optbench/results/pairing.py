"""Which point of one sweep answers to which of another: by the config, less what differs on purpose."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from optbench.environment import DISTRIBUTIONS
from optbench.errors import ResultError
from optbench.records import GRID_KEYS, RESULT_FILE, RunResult, read_result
from optbench.records.aggregate import Point
from optbench.records.comparison import Difference
from optbench.results.aggregate import aggregate
from optbench.results.points import PLUG_IN, Facts, facts_of
from optbench.results.walk import read_slim

OF_A_SWEEP = (*GRID_KEYS, "resume", "results_url")
LONGEST_VALUE = 60
ABSENT = "absent"

Settings = dict[str, str]


@dataclass(frozen=True)
class Loaded:
    """A point with its whole result, its settings by their dotted keys, and its machine's facts."""

    point: Point
    result: RunResult
    settings: Settings
    facts: Facts


@dataclass(frozen=True)
class Pair:
    """A point in A and B; one of them is None where it has no counterpart."""

    name: str
    a: Loaded | None
    b: Loaded | None


def load(directory: Path) -> tuple[list[Loaded], list[Point]]:
    """Points whose config can be read, and the others.

    Raises ResultError where there is none at all, or `directory` is one run whose result cannot be read.
    """
    loaded: list[Loaded] = []
    others: list[Point] = []
    points = aggregate([directory]).points
    if len(points) == 1 and is_run(directory):
        read_result(directory)
    for point in points:
        try:
            if point.config_hash is None:
                raise ResultError(point.reason or point.status)
            result, slim = read_result(Path(point.directory)), read_slim(point.directory)
        except ResultError:
            others.append(point)
            continue
        settings = dict(flat(result.config)) | {"variant": point.variant}
        loaded.append(Loaded(point, result, settings, facts_of(slim, point.variant)))
    return loaded, others


def is_run(directory: Path) -> bool:
    """Whether a place is a run itself: its directory, or its result.json."""
    return directory.name == RESULT_FILE or (directory / RESULT_FILE).exists()


def flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Dotted keys and JSON values of a config; what only a sweep reads is left out."""
    for key, value in config.items():
        if isinstance(value, dict) and value:
            yield from flat(value, f"{prefix}{key}.")
        elif prefix or key not in OF_A_SWEEP:
            yield f"{prefix}{key}", msgspec.json.encode(value).decode()


def on_purpose(a: Sequence[Loaded], b: Sequence[Loaded]) -> tuple[list[str], list[Difference]]:
    """Keys that make up the grid, and what differs between A and B as a whole.

    A key that has one value throughout A and another throughout B differs on purpose; one that changes
    within A or within B is an axis.
    """
    axes: list[str] = []
    differences = []
    for key in dict.fromkeys(key for item in (*a, *b) for key in item.settings):
        one, two = ({item.settings.get(key, ABSENT) for item in side} for side in (a, b))
        if len(one) > 1 or len(two) > 1:
            axes.append(key)
        elif one and two and one != two:
            differences.append(Difference(key, short(one.pop()), short(two.pop())))
    return axes, differences


def short(value: str) -> str:
    """A JSON value for people."""
    text = value.strip('"')
    return text if len(text) <= LONGEST_VALUE else f"…{text[-LONGEST_VALUE + 1 :]}"


def pairs(a: Sequence[Loaded], b: Sequence[Loaded], axes: Sequence[str]) -> tuple[list[Pair], list[str]]:
    """Points by their place in the grid; of several at one place the latest, which is said."""
    notes: list[str] = []
    sides = []
    for name, items in (("A", a), ("B", b)):
        latest: dict[tuple[str, ...], Loaded] = {}
        for item in items:
            place = tuple(item.settings.get(key, ABSENT) for key in axes)
            if place not in latest or item.result.started_at >= latest[place].result.started_at:
                latest[place] = item
        if len(latest) < len(items):
            notes.append(f"{name}: of {len(items)} runs the latest of each point counts, {len(latest)}")
        sides.append(latest)
    keys = list(dict.fromkeys([*sides[0], *sides[1]]))
    return [named(sides[0].get(key), sides[1].get(key)) for key in keys], notes


def named(a: Loaded | None, b: Loaded | None) -> Pair:
    """A pair by the axes in which its points differ from the others."""
    places = [place_of(item.point) for item in (a, b) if item is not None]
    return Pair(next(filter(None, places), "the run"), a, b)


def place_of(point: Point) -> str:
    """Where a point stands in its grid, in words; empty for a single run."""
    return " ".join(f"{key}={value}" for key, value in point.axes.items())


def unlike(pair: Pair) -> list[Difference]:
    """What must be equal for two runs' timings to be compared, and is not."""
    if pair.a is None or pair.b is None:
        return []
    one, two = ({**item.facts, **conditions_of(item)} for item in (pair.a, pair.b))
    found = []
    for key in dict.fromkeys([*one, *two]):
        values = (one.get(key), two.get(key))
        not_installed = (key in DISTRIBUTIONS or key.startswith(PLUG_IN)) and None in values
        if values[0] != values[1] and not not_installed:
            found.append(Difference(key, values[0] or ABSENT, values[1] or ABSENT))
    return found


def conditions_of(item: Loaded) -> Facts:
    """The baseline and the shape: a speed-up is told against the one, at the other."""
    point, timing = item.point, item.result.timing
    side = point.baseline
    baseline = {
        "baseline": None if side is None else side.label,
        "graph of the baseline": None if side is None else side.graph,
        "files of the baseline": None if side is None or side.sha256 is None else side.sha256[:12],
    }
    shape = {"scenario": point.scenario, "batch_size": point.batch_size, "input_length": point.input_length}
    known = {key: None if value is None else str(value) for key, value in shape.items()}
    return {**baseline, **known, "processes": None if timing is None else str(timing.processes)}
