"""How long the parts of a run will take: as in earlier runs on this machine, else by stated assumptions."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from optbench.config import MeasureConfig, RunConfig, Scenario
from optbench.environment import available_cores, machine_fingerprint
from optbench.errors import ResultError
from optbench.records import DECODE_ERRORS, RESULT_FILE
from optbench.results import history
from optbench.results.walk import RunDirectory, find
from optbench.stages.draft import plain_config, point_hash

OUTPUTS = Path("outputs")
"""Where runs go unless told otherwise."""
MOST_RUNS = 1000
"""Of the latest earlier runs that are read."""

ASSUMED_SECONDS = {"model": 0.5, "rows": 4.0, "cold start": 6.0, "start": 2.0, "quality": 2.0}
"""Of stages by the beginning of their names, for models that load in a moment."""
EVALUATION_START_SECONDS = 3.0
EVALUATION_SECONDS_PER_PARAMETER = 0.4e-9
"""Of a row of some 30 tokens on one core: MiniLM-L6, 22.7M parameters, takes about 9 ms in float32."""


class PastEnvironment(msgspec.Struct):
    """Where it ran."""

    machine: Any = None


class PastDataset(msgspec.Struct):
    """How many rows were evaluated."""

    rows: int


class Past(msgspec.Struct):
    """The part of an earlier result that tells how long it took."""

    status: str
    config_hash: str
    config: dict[str, Any] = msgspec.field(default_factory=dict)
    environment: PastEnvironment = msgspec.field(default_factory=PastEnvironment)
    dataset: PastDataset | None = None
    stage_seconds: dict[str, float] = msgspec.field(default_factory=dict)


DECODER = msgspec.json.Decoder(Past)


@dataclass(frozen=True)
class Guess:
    """Seconds, null where nobody knows, and how many earlier runs tell them; with none it is assumed."""

    seconds: float | None
    runs: int = 0


@dataclass(frozen=True)
class Sought:
    """A config whose time is asked for, with its plain form, which takes a while to make, and its hash."""

    config: RunConfig
    plain: Mapping[str, Any]
    point_hash: str

    @classmethod
    def of(cls, config: RunConfig) -> Sought:
        """From a config."""
        plain = plain_config(config)
        return cls(config, plain, point_hash(plain))


@dataclass(frozen=True)
class Estimates:
    """Guesses from `earlier` runs of this machine."""

    earlier: Sequence[Past] = field(default_factory=list)

    def starting(self, sought: Sought) -> Guess:
        """Of one run: reading model and rows, first starts, comparing answers."""
        config = sought.config
        start = "cold start" if config.measure.cold_start else "start"
        names = ["model", "rows", *(f"{start} of the {name}" for name in config.variants)]
        names += ["quality"] if config.quality.enabled else []
        alike = self.alike(sought)
        found = [median_of(name, alike) for name in names]
        assumed = [ASSUMED_SECONDS[name.split(" of the ")[0]] for name in names]
        seconds = sum(one if one is not None else other for one, other in zip(found, assumed, strict=True))
        return Guess(seconds, len(alike) if None not in found else 0)

    def evaluation(self, sought: Sought, name: str, rows: int | None, parameters: int | None) -> Guess:
        """Of one variant on all rows; as long as the longest of earlier ones, whose answers may be reused."""
        stage = f"evaluation of the {name}"
        known = [run for run in self.alike(sought, sides=True) if stage in run.stage_seconds]
        if known:
            return Guess(max(run.stage_seconds[stage] * growth(run, rows) for run in known), len(known))
        if rows is None or parameters is None:
            return Guess(None)
        each = rows * parameters * EVALUATION_SECONDS_PER_PARAMETER / available_cores()
        return Guess(EVALUATION_START_SECONDS + each)

    def timing(self, sought: Sought) -> Guess:
        """Of the timing and serving, where the same was measured before with the same settings."""
        measure = sought.plain["measure"]
        alike = [run for run in self.alike(sought, sides=True) if run.config.get("measure") == measure]
        names = ["timing", "serving"] if sought.config.measure.scenario is Scenario.server else ["timing"]
        found = [median_of(name, alike) for name in names]
        known = [seconds for seconds in found if seconds is not None]
        return Guess(sum(known), len(alike)) if len(known) == len(names) else Guess(None)

    def rows(self, sought: Sought) -> int | None:
        """Rows that the same dataset had in an earlier run that evaluated all of them; null without any."""
        wanted = sought.plain["dataset"]
        for run in reversed(self.earlier):
            quality = run.config.get("quality") or {}
            if (
                run.dataset is not None
                and run.config.get("dataset") == wanted
                and (quality.get("max_eval_samples") is None)
            ):
                return run.dataset.rows
        return None

    def alike(self, sought: Sought, sides: bool = False) -> list[Past]:
        """Earlier runs of the same config; else of the same model and sides; else, unless `sides`, of it."""
        own = sought.plain
        same = [run for run in self.earlier if run.config_hash == sought.point_hash]
        model = [
            run for run in self.earlier if (run.config.get("model") or {}).get("path") == own["model"]["path"]
        ]
        both = [run for run in model if run.config.get("chosen") == own["chosen"]]
        return same or both or ([] if sides else model)


def earlier_estimates() -> Estimates:
    """From what this user has run on this machine: below ./outputs, and what the history knows of."""
    machine = machine_fingerprint()
    places = known_directories()
    runs = [run for place in places if (run := read_past(place)) is not None]
    return Estimates([run for run in runs if run.status == "ok" and run.environment.machine == machine])


def known_directories() -> list[str]:
    """Directories of earlier runs, the latest last; nothing is written, also no history."""
    found: dict[str, None] = {}
    file = history.history_file()
    if file.is_file():
        try:
            found.update(dict.fromkeys(history.directories(file)))
        except ResultError:
            found = {}
    if OUTPUTS.is_dir():
        below = (item.path for item in find([OUTPUTS]) if isinstance(item, RunDirectory) and item.has_result)
        found.update(dict.fromkeys(below))
    return list(found)[-MOST_RUNS:]


def read_past(directory: str) -> Past | None:
    """What a run directory tells; null where its result is gone or damaged."""
    try:
        return DECODER.decode((Path(directory) / RESULT_FILE).read_bytes())
    except (OSError, *DECODE_ERRORS):
        return None


def median_of(stage: str, runs: Iterable[Past]) -> float | None:
    """Median seconds of a stage; null where no run has it."""
    found = [run.stage_seconds[stage] for run in runs if stage in run.stage_seconds]
    return statistics.median(found) if found else None


def growth(run: Past, rows: int | None) -> float:
    """How many times the rows of an earlier run there are now; 1 where that is not known."""
    return rows / run.dataset.rows if rows and run.dataset is not None and run.dataset.rows else 1.0


def timing_limit_seconds(measure: MeasureConfig) -> float:
    """What the config allows the timing and the serving of one run; the fewest replicates may take longer."""
    start = 2 * (ASSUMED_SECONDS["start"] + measure.warmup_seconds)
    if measure.duration_seconds is not None:
        seconds = 2 * measure.duration_seconds + measure.replicates * start
    elif measure.max_replicates == measure.replicates:
        each = start + max(measure.replicate_seconds, start)
        seconds = min(measure.budget_seconds, measure.replicates * each)
    else:
        seconds = measure.budget_seconds
    return seconds + serving_limit_seconds(measure)


def serving_limit_seconds(measure: MeasureConfig) -> float:
    """The budget of a server's requests, or what they take at the rates that are asked for."""
    if measure.scenario is not Scenario.server:
        return 0.0
    server = measure.server
    offered = sum(server.requests / rate for rate in server.rates or [])
    return max(server.budget_seconds, 2 * measure.replicates * offered)
