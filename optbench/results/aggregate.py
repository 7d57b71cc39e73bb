"""Many run directories as one record: a row for every point, what became of it, and what it found.

Reads result.json and Hydra's overrides only; nothing is computed anew.
"""

from __future__ import annotations

import gc
import itertools
import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from optbench import __version__
from optbench.claims import Holder, holder_of
from optbench.environment import DISTRIBUTIONS
from optbench.errors import ResultError
from optbench.locations import LOG_FILE
from optbench.records.aggregate import Aggregate, Group, Point, PointStatus, SweepPlan
from optbench.records.values import replace
from optbench.results.points import BASELINE, PLUG_IN, Facts, facts_of, point_of
from optbench.results.walk import (
    RunDirectory,
    SweepDirectory,
    find,
    read_overrides,
    read_plan,
    read_slim,
    split_override,
)

NO_AXES = "the only point"
PLAN_LIMIT = 100_000
"""A larger grid is not listed point by point."""
NEVER_STARTED = "never started: the sweep ended before it"
NO_RESULT = "left no result.json: it ended before it could write one"
NO_RESULT_YET = "no result.json yet: it was started as {}, which cannot be asked from here"
KILLED = "was killed in its stage '{}'"
RUNNING = "still running ({})"
NOT_YET = "has not started yet: its sweep is running ({})"


class Found:
    """Points as they are read, and the facts of their machines, each set of facts kept once."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.points: list[Point] = []
        self.facts: list[Facts | None] = []
        self.plans: list[tuple[str, SweepPlan]] = []
        self.sweeps: dict[str, Holder] = {}
        """Sweeps that still run, or may."""
        self._known: dict[tuple[str | None, ...], Facts] = {}

    def add(self, point: Point, facts: Facts | None) -> None:
        """Keep a point."""
        if facts is not None:
            facts = self._known.setdefault((*facts, *facts.values()), facts)
        self.points.append(point)
        self.facts.append(facts)


def aggregate(directories: Sequence[Path]) -> Aggregate:
    """Everything below `directories`. Raises ResultError if a directory is not there or holds no run."""
    places = [os.path.realpath(directory) for directory in directories]
    found = Found(common_root(places))
    with without_collection():
        for item in find(directories):
            if isinstance(item, SweepDirectory):
                plan = read_plan(item.path)
                holder = holder_of(item.path) if item.has_lock else None
                if holder is not None:
                    found.sweeps[item.path] = holder
                if plan is not None:
                    found.plans.append((item.path, plan))
            else:
                read_into(found, item)
        missing, notes = never_started(found)
        for point in missing:
            found.add(point, None)
        if not found.points:
            raise ResultError(
                f"{', '.join(map(str, directories))} holds no results; give a run or sweep directory, "
                "or one above them"
            )
        return assemble(found, places, notes)


class without_collection:  # noqa: N801 - reads as a statement
    """No garbage collection for a while: it would walk all records over and over."""

    def __enter__(self) -> None:
        self._enabled = gc.isenabled()
        gc.disable()

    def __exit__(self, *_: object) -> None:
        if self._enabled:
            gc.enable()


def common_root(places: Sequence[str]) -> str:
    """The directory that names are relative to."""
    try:
        return os.path.commonpath(places)
    except ValueError:
        return os.path.sep


def read_into(found: Found, item: RunDirectory) -> None:
    """Add the points of one run directory."""
    overrides = read_overrides(item.path) if item.has_hydra else []
    common: dict[str, Any] = {
        "directory": item.path,
        "name": os.path.relpath(item.path, found.root),
        "overrides": overrides,
        "log": f"{item.path}/{LOG_FILE}" if item.has_log else None,
    }
    sweep = found.sweeps.get(parent_of(item.path))
    holder = holder_of(item.path) if item.has_lock else sweep
    if not item.has_result:
        found.add(Point(**common, **without_result(holder)), None)
        return
    try:
        result = read_slim(item.path)
    except ResultError as error:
        found.add(Point(**common, status="unreadable", reason=str(error)), None)
        return
    if result.finished_at is None and result.failure is not None:  # not a run's last word
        if holder is not None and holder.is_certain:
            common |= {"status": "running", "reason": RUNNING.format(holder)}
        elif holder is None and item.has_lock:
            common |= {"reason": KILLED.format(result.failure.stage)}
    candidates = [name for name in result.variants if name != BASELINE] or ["candidate"]
    for name in candidates:
        found.add(point_of(result, name, common), facts_of(result, name))


def without_result(holder: Holder | None) -> dict[str, Any]:
    """Status and reason of a run directory without a result; holder: who claimed it, or its sweep."""
    if holder is None:
        return {"status": "missing", "reason": NO_RESULT}
    if holder.is_certain:
        return {"status": "running", "reason": RUNNING.format(holder)}
    return {"status": "missing", "reason": NO_RESULT_YET.format(holder)}


def parent_of(directory: str) -> str:
    """The directory above."""
    return os.path.dirname(directory)  # noqa: PTH120


def never_started(found: Found) -> tuple[list[Point], list[str]]:
    """Points that a sweep planned and has no directory for, and what is to say about plans."""
    missing: list[Point] = []
    notes: list[str] = []
    for directory, plan in found.plans:
        name = os.path.relpath(directory, found.root)
        total = math.prod(len(values) for values in plan.axes.values())
        own = [point for point in found.points if parent_of(point.directory) == directory]
        started = {point.directory for point in own}
        if total <= len(started):
            continue
        known = {plan_key(plan, point.overrides) for point in own}
        absent = [] if total > PLAN_LIMIT else [p for p in planned(plan) if plan_key(plan, p) not in known]
        if len(absent) != total - len(started):
            notes.append(f"{name}: {total:,} points were planned, {len(started):,} were started")
            continue
        holder = found.sweeps.get(directory)
        reason = NEVER_STARTED if holder is None else NOT_YET.format(holder)
        missing += [
            Point(
                directory=directory,
                name=planned_name(plan, point, name),
                status="missing",
                reason=reason,
                overrides=point,
            )
            for point in absent
        ]
    return missing, notes


def planned(plan: SweepPlan) -> Iterator[list[str]]:
    """The overrides of each point of a plan, the last key running fastest."""
    for values in itertools.product(*plan.axes.values()):
        yield [f"{key}={value}" for key, value in zip(plan.axes, values, strict=True)]


def planned_name(plan: SweepPlan, overrides: Sequence[str], sweep: str) -> str:
    """What sets a point of a plan apart from the others, below the name of its sweep."""
    varied = {split_override(key)[0] for key, values in plan.axes.items() if len(values) > 1}
    pairs = [(key, value) for key, value in map(split_override, overrides) if key in varied]
    own = " ".join(f"{key}={value}" for key, value in pairs) or " ".join(overrides) or NO_AXES
    return own if sweep == os.path.curdir else f"{sweep}/{own}"


def plan_key(plan: SweepPlan, overrides: Iterable[str]) -> tuple[str | None, ...]:
    """Where a point stands in a plan; quotes and spaces are only how a value is written."""
    given = dict(map(split_override, overrides))
    values = (given.get(split_override(key)[0]) for key in plan.axes)
    return tuple(None if value is None else "".join(value.split()).replace("'", "") for value in values)


def assemble(found: Found, places: Sequence[str], notes: list[str]) -> Aggregate:
    """The record: axes, groups and counts over all points."""
    given = [dict(map(split_override, point.overrides)) for point in found.points]
    axes = axes_of(given)
    groups, numbers = groups_of(without_absent(found.facts), [point.status for point in found.points])
    points = [
        replace(point, group=number, axes={key: own[key] for key in axes if key in own})
        for point, own, number in zip(found.points, given, numbers, strict=True)
    ]
    first = groups[0].facts if groups else {}
    names = {key for group in groups for key in group.facts}
    differing = [
        key
        for key in sorted(names, key=lambda name: (list(first).index(name) if name in first else 1000, name))
        if len({group.facts.get(key) for group in groups}) > 1
    ]
    counts: Counter[PointStatus] = Counter(point.status for point in points)
    return Aggregate(
        optbench_version=__version__,
        created_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        root=found.root,
        directories=list(places),
        counts=dict(counts),
        axes=axes,
        groups=groups,
        differing=differing,
        points=sorted(points, key=order_of),
        notes=notes,
    )


def axes_of(given: Sequence[Mapping[str, str]]) -> dict[str, list[str]]:
    """Keys of overrides in which points differ, and their values in natural order.

    Points without any overrides do not count: those of a bare result.json are unknown.
    """
    given = [own for own in given if own]
    values: dict[str, dict[str, None]] = {}
    seen: Counter[str] = Counter()
    for own in given:
        seen.update(own.keys())
        for key, value in own.items():
            values.setdefault(key, {})[value] = None
    return {
        key: sorted(options, key=natural)
        for key, options in values.items()
        if len(options) > 1 or seen[key] < len(given)
    }


def natural(text: str) -> tuple[bool, float, str]:
    """A key that sorts numbers by value, before words."""
    try:
        number = float(text)
    except ValueError:
        return (True, 0.0, text)
    return (True, 0.0, text) if math.isnan(number) else (False, number, text)


def order_of(point: Point) -> tuple[Any, ...]:
    """Rows stand by group, candidate, axes and shape, whatever order they were run in."""
    shapes = ("batch_size", "input_length")
    other = tuple(natural(value) for key, value in point.axes.items() if key not in shapes)
    shape = tuple(
        value if value is not None else natural(point.axes.get(key, "0"))[1]
        for key, value in zip(shapes, (point.batch_size, point.input_length), strict=True)
    )
    group = point.group if point.group is not None else 10**6
    return (group, point.candidate.label if point.candidate else "~", other, shape, point.name)


def without_absent(facts: Sequence[Facts | None]) -> list[Facts | None]:
    """The facts without libraries that are absent in some runs and of one version in all others.

    What was absent cannot have run, so such a library tells no two runs apart.
    """
    versions: dict[str, set[str]] = {}
    every = {id(own): own for own in facts if own is not None}.values()
    plug_ins = {key for known in every for key in known if key.startswith(PLUG_IN)}
    for known in every:
        for key in DISTRIBUTIONS:
            versions.setdefault(key, set()).update({known[key] or ""} if key in known else ())
        for key in plug_ins:
            versions.setdefault(key, set()).add(known.get(key) or "")
    told = {key for key, found in versions.items() if len(found - {""}) < 2 and "" in found}
    kept: dict[tuple[str | None, ...], Facts] = {}
    by_identity: dict[int, Facts] = {}
    for own in facts:
        if own is not None and id(own) not in by_identity:
            rest = {key: value for key, value in own.items() if key not in told}
            by_identity[id(own)] = kept.setdefault((*rest, *rest.values()), rest)
    return [None if own is None else by_identity[id(own)] for own in facts]


def groups_of(
    facts: Sequence[Facts | None], statuses: Sequence[PointStatus]
) -> tuple[list[Group], list[int | None]]:
    """Groups of equal facts in the order of their first point, and each point's group.

    A point that loaded nothing joins the only group that differs from it in threads alone.
    """
    known: dict[int, Facts] = {}
    for own, status in zip(facts, statuses, strict=True):
        if own is not None and status == "ok":
            known[id(own)] = own
    numbers = {key: number for number, key in enumerate(known)}
    joins: dict[int, int | None] = {}
    for own in facts:
        if own is not None and id(own) not in numbers and id(own) not in joins:
            fits = [number for key, number in numbers.items() if fits_into(own, known[key])]
            joins[id(own)] = fits[0] if len(fits) == 1 else None
    assigned = [None if own is None else numbers.get(id(own), joins.get(id(own))) for own in facts]
    groups = [Group(number, assigned.count(number), known[key]) for key, number in numbers.items()]
    return groups, assigned


def fits_into(own: Facts, group: Facts) -> bool:
    """Whether all facts that are known of a point are those of a group."""
    return own.keys() == group.keys() and all(
        value is None or value == group[key] for key, value in own.items()
    )
