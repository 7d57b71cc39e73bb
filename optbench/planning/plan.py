"""What a run or sweep would do, before it does it: its points, time, disk, and what cannot run.

Nothing is prepared, started, fetched or written. A plan is as honest as what is known: limits are told
apart from guesses, and each guess says what it rests on.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optbench.artifacts.cache import listing
from optbench.artifacts.entries import FOLDER
from optbench.checkpoint import read_spec
from optbench.components import Dataset, ModelSpec, Task, collect_problems
from optbench.config import RunConfig, Variant
from optbench.errors import DataError, MissingExtra, OptbenchError, Unsupported
from optbench.hub import looks_like_path
from optbench.locations import cache_directory
from optbench.planning.estimates import Estimates, Guess, Sought, earlier_estimates, timing_limit_seconds
from optbench.planning.lookup import FLOAT32_BYTES, Lookup, Step, float32_bytes
from optbench.stages.draft import hash_of
from optbench.stages.fitting import require_files, require_fit, require_labels
from optbench.stages.preparing import prepared_source
from optbench.stages.resume import finished_before


@dataclass(frozen=True)
class PlannedPoint:
    """A point of a sweep: what sets it apart (empty for a single run), and its config."""

    title: str
    config: RunConfig


@dataclass(frozen=True)
class Refusal:
    """Why some points give no answer. status: skipped (it cannot work) or failed (something is wrong)."""

    status: str
    reason: str
    points: list[str]


@dataclass(frozen=True)
class Cost:
    """Time of a part of the work. seconds: null where nobody knows. basis: what it rests on.

    at_most: a limit that the config sets rather than a guess.
    """

    part: str
    seconds: float | None
    at_most: bool
    basis: str


@dataclass(frozen=True)
class Disk:
    """The cache's folder, what it holds, what it will take at most, and what is free there."""

    folder: Path
    holds_bytes: int
    needed_bytes: int
    free_bytes: int


@dataclass(frozen=True)
class Plan:
    """What would be run.

    points: how many there are; of a search the most it may try. axes: number of values by key. examined:
    of a large grid each value once, else all points; refusals are among those. taken_over: points that an
    earlier sweep has finished. expected_timing_seconds: as the same settings took before; null if never.
    install: commands for what is missing. unknown: what a plan cannot tell.
    """

    points: int
    examined: int
    axes: Mapping[str, int]
    is_search: bool
    taken_over: int
    refusals: list[Refusal]
    costs: list[Cost]
    expected_timing_seconds: float | None
    steps: list[Step]
    disk: Disk
    install: list[str]
    unknown: list[str]

    @property
    def can_run(self) -> bool:
        """Whether any point would give an answer."""
        return sum(len(refusal.points) for refusal in self.refusals) < self.examined

    @property
    def seconds(self) -> float:
        """All parts whose time is known or limited, together."""
        return sum(cost.seconds or 0.0 for cost in self.costs)


def plan_of(points: Sequence[PlannedPoint], count: int, axes: Mapping[str, int]) -> Plan:
    """The plan of `points`, all of a sweep's `count` or a sample of them. Raises OptbenchError."""
    with offline():
        planner = Planner(earlier_estimates())
        for point in points:
            planner.look_at(point)
    return planner.plan(points, count, axes)


class Planner:
    """Looks at one point after the other and sums up what they take."""

    def __init__(self, estimates: Estimates) -> None:
        self._estimates = estimates
        self._store = Lookup(cache_directory(), Path(os.devnull))
        self._specs: dict[tuple[str, bool], ModelSpec | None] = {}
        self._plain: dict[str, Mapping[str, Sequence[Any]] | None] = {}
        self._evaluated: set[str] = set()
        self._refused: dict[tuple[str, str], list[str]] = {}
        self._install: dict[str, None] = {}
        self._unknown: dict[str, None] = {}
        self._taken_over = 0
        self._runs = 0
        self._limit = 0.0
        self._expected: list[float | None] = []
        self._starting: list[Guess] = []
        self._evaluating: list[Guess] = []

    def look_at(self, point: PlannedPoint) -> None:
        """Add what a point takes, or why it gives no answer."""
        config, sought = point.config, Sought.of(point.config)
        try:
            if problems := collect_problems(config):
                raise DataError("; ".join(problems))
            require_files(config)
            spec = self._spec(config)
            if spec is not None:
                require_fit(config, spec)
            rows = self._rows(sought)
            if finished_before(config) is not None:
                self._taken_over += 1
                return
            if spec is not None and config.quality.enabled:
                self._look_at_labels(config, spec)
            if spec is not None:
                for variant in config.variants.values():
                    look_up(self._store, config.task, variant, spec)
        except OptbenchError as error:
            if isinstance(error, MissingExtra):
                self._install[error.install] = None
            status = "skipped" if isinstance(error, Unsupported) else "failed"
            self._refused.setdefault((status, " ".join(str(error).splitlines())), []).append(point.title)
            return
        self._add(sought, spec, rows)

    def _add(self, sought: Sought, spec: ModelSpec | None, rows: int | None) -> None:
        """The time of a point that runs."""
        config = sought.config
        self._runs += 1
        self._limit += timing_limit_seconds(config.measure)
        self._expected.append(self._estimates.timing(sought).seconds)
        self._starting.append(self._estimates.starting(sought))
        if not config.quality.enabled:
            return
        parameters = None if spec is None else float32_bytes(spec.directory) // FLOAT32_BYTES
        for name in config.variants:
            once = answers_key(sought, name)
            if config.quality.reuse and once in self._evaluated:
                continue
            self._evaluated.add(once)
            self._evaluating.append(self._estimates.evaluation(sought, name, rows, parameters))

    def _spec(self, config: RunConfig) -> ModelSpec | None:
        """What the checkpoint says; null where it must be fetched first. Raises DataError, ConfigError."""
        key = (config.model.path, config.model.trust_remote_code)
        if key not in self._specs:
            try:
                self._specs[key] = read_spec(config.model.resolve(), config.model.trust_remote_code)
            except DataError:
                if looks_like_path(config.model.path):
                    raise
                self._specs[key] = None
                self._unknown[
                    f"model.path={config.model.path} is not here: it would be fetched first, and whether the "
                    "rest fits it shows then"
                ] = None
        return self._specs[key]

    def _look_at_labels(self, config: RunConfig, spec: ModelSpec) -> None:
        """Hold the labels of the rows against the model's where a glance can. Raises DataError.

        Of a sample nobody knows whether it holds the label that does not fit.
        """
        task, dataset = config.task, config.dataset
        if task.labels_show_in is None:
            return
        columns = self._columns(dataset) if task.labels_show_in == "columns" else None
        drawn = config.quality.max_eval_samples is not None or config.quality.skip_samples
        doubt = f"whether the labels of dataset.path={dataset.path} are those of the model"
        if columns is None:
            self._unknown[doubt] = None
            return
        try:
            require_labels(config, task.unlabelled(spec, dataset, columns))
        except DataError as error:
            if not drawn:
                raise
            self._unknown[f"{doubt}: in all rows, of which some are drawn, {error}"] = None

    def _columns(self, dataset: Dataset) -> Mapping[str, Sequence[Any]] | None:
        """The plain columns of the evaluated rows, read once."""
        key = repr(dataset)
        if key not in self._plain:
            self._plain[key] = dataset.plain_columns(dataset.eval_split)
        return self._plain[key]

    def _rows(self, sought: Sought) -> int | None:
        """Rows that would be evaluated; null where nobody can tell before they are read."""
        config = sought.config
        if not config.needs_rows:
            return 0
        known = config.dataset.rows_known(config.dataset.eval_split)
        if config.quality.max_eval_samples is not None:
            return config.quality.max_eval_samples
        found = known if known is not None else self._estimates.rows(sought)
        if found is None:
            self._unknown[f"how many rows dataset.path={config.dataset.path} holds"] = None
        return found

    def plan(self, points: Sequence[PlannedPoint], count: int, axes: Mapping[str, int]) -> Plan:
        """All that was seen, and as much more as a grid has more points than were looked at."""
        share = count / len(points)
        search = next((point.config for point in points if point.config.tune is not None), None)
        costs = self._costs(share, count) if search is None else search_costs(search)
        complete = None not in self._expected and share == 1 and search is None
        steps = list(self._store.steps.values())
        return Plan(
            points=count,
            examined=len(points),
            axes=axes,
            is_search=search is not None,
            taken_over=self._taken_over,
            refusals=[Refusal(*key, titles) for key, titles in self._refused.items()],
            costs=costs,
            expected_timing_seconds=sum(one or 0.0 for one in self._expected) if complete else None,
            steps=steps,
            disk=disk(cache_directory(), sum(step.size_bytes for step in steps if step.state == "made")),
            install=list(self._install),
            unknown=list(self._unknown),
        )

    def _costs(self, share: float, count: int) -> list[Cost]:
        """The parts of a run or grid."""
        made = [step for step in self._store.steps.values() if step.state == "made"]
        preparing = Cost(
            "preparation",
            sum(step.seconds for step in made),
            at_most=False,
            basis=basis([Guess(step.seconds, 0 if step.assumed else 1) for step in made], "earlier entries"),
        )
        runs = round(self._runs * share)
        each = "" if count == 1 else f" of {runs} run{'' if runs == 1 else 's'}"
        return [
            Cost("timing", self._limit * share, at_most=True, basis=f"budgets in measure{each}"),
            total("starting", self._starting, share),
            preparing,
            total("evaluation", self._evaluating, share),
        ]


def total(part: str, guesses: Sequence[Guess], share: float) -> Cost:
    """Guesses of all points as one cost; not known if one of them is not."""
    known = [guess.seconds for guess in guesses if guess.seconds is not None]
    if len(known) < len(guesses):
        return Cost(part, None, at_most=False, basis="not known before the rows and the model are read")
    return Cost(part, sum(known) * share, at_most=False, basis=basis(guesses, "earlier runs here"))


def basis(guesses: Sequence[Guess], source: str) -> str:
    """What guesses rest on, in words."""
    told = sum(guess.runs > 0 for guess in guesses)
    if not guesses:
        return "none needed"
    if told == len(guesses):
        return f"as in {source}"
    return f"partly as in {source}, else assumed" if told else "assumed: nothing like it was run here before"


def search_costs(config: RunConfig) -> list[Cost]:
    """A search ends with its budget; the final that is under way then is finished."""
    tune = config.tune
    if tune is None:
        return []
    return [
        Cost("search", tune.budget_seconds, at_most=False, basis="tune.budget_seconds"),
        Cost("last final", timing_limit_seconds(tune.measure), at_most=True, basis="budgets in tune.measure"),
    ]


def look_up(store: Lookup, task: Task, variant: Variant, spec: ModelSpec) -> None:
    """Let `store` note what the files of a variant are made of. Raises DataError for artifacts that lack."""
    if variant.artifact is not None:
        store.existing(Path(variant.artifact).expanduser(), variant.backend.artifact_formats)
        return
    source = prepared_source(store, task, variant, spec)
    if variant.quantization.target_format is not None:
        store.quantized(source, variant.quantization)


def answers_key(sought: Sought, name: str) -> str:
    """Equal for variants of points that share their answers."""
    plain = sought.plain
    side = (
        plain["baseline"] if name == "baseline" else {key: plain[key] for key in ("backend", "quantization")}
    )
    quality = {key: value for key, value in plain["quality"].items() if key not in ("margin", "comparisons")}
    parts = {key: plain[key] for key in ("model", "task", "dataset", "seed")}
    graph = sought.config.variants[name].graph.level
    return hash_of(
        {**parts, "side": side, "named": plain["chosen"][name], "graph": graph, "quality": quality}
    )


def disk(root: Path, needed_bytes: int) -> Disk:
    """The cache at `root` and the disk it lies on; nothing is made."""
    place = root
    while not place.exists():
        place = place.parent
    holds = sum(item.size_bytes for item in listing(root))
    return Disk(root / FOLDER, holds, needed_bytes, shutil.disk_usage(place).free)


@contextlib.contextmanager
def offline() -> Iterator[None]:
    """Let nothing be fetched from a hub."""
    before = os.environ.get("HF_HUB_OFFLINE")
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["HF_HUB_OFFLINE"]
        else:
            os.environ["HF_HUB_OFFLINE"] = before
