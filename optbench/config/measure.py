"""How speed is measured."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from enum import Enum

from optbench.components import Component, Priority, WaitPolicy, register
from optbench.config.ranges import at_least, positive


class InputSource(Enum):
    """What the timed forwards are fed with."""

    random = "random"
    dataset = "dataset"


class Scope(Enum):
    """What a timed call is: the model alone, or raw rows in and answers out."""

    model = "model"
    end_to_end = "end_to_end"


class Start(Enum):
    """How a fresh worker comes to be: forked from a template that has imported, or started anew."""

    fork = "fork"
    spawn = "spawn"


class Scenario(Enum):
    """One call after the other; as much as possible; or requests that arrive by themselves."""

    latency = "latency"
    throughput = "throughput"
    server = "server"


class ArrivalKind(Enum):
    """When requests arrive: by chance at a mean rate, or at equal distances."""

    poisson = "poisson"
    constant = "constant"


@dataclass
class ServerConfig(Component):
    """The load of `measure.scenario=server`; a request is one forward of batch_size rows.

    bound_seconds: what the percentile of the latency may be, counted from the intended arrival; null
    takes five times the baseline's mean latency. percentile: which one; 0.95 is p95.
    arrivals: poisson or constant. requests: in one stream.
    rates: offer exactly these requests per second; null looks for the highest rate within the bound.
    budget_seconds: wall clock of the search, starts included; never less than `replicates` take.
    """

    bound_seconds: float | None = None
    percentile: float = 0.95
    arrivals: ArrivalKind = ArrivalKind.poisson
    requests: int = 300
    rates: list[float] | None = None
    budget_seconds: float = 180.0

    def problems(self) -> list[str]:
        """Ranges."""
        found = [
            *at_least("budget_seconds", self.budget_seconds, 0),
            *at_least("requests", self.requests, 1),
            *positive("bound_seconds", self.bound_seconds),
        ]
        if not 0.5 <= self.percentile < 1:
            found.append(f"percentile must lie between 0.5 and 1, got {self.percentile:g}; p95 is 0.95")
        if self.rates is not None and (not self.rates or not all(0 < rate < math.inf for rate in self.rates)):
            found.append(f"rates must hold requests per second > 0, got {self.rates}; null searches")
        return found


def fewest_requests(percentile: float) -> int:
    """Requests of a stream of which enough count for a percentile."""
    from optbench.measure import server  # numpy and scipy, which a help page can do without

    return server.fewest_requests(percentile)


@register("measure", "measure")
@dataclass
class MeasureConfig(Component):
    """How speed is measured; defaults are those of `measure=standard`.

    scenario: latency (one call after the other), throughput (the same, read as samples per second), or
    server (then also requests that arrive by themselves, see `server`).
    processes: of each variant, computing at the same time; only for throughput.
    scope: model times forwards (or generations) over inputs made beforehand; end_to_end times calls that
    take raw rows of the dataset as they are, encode them, run the model and make answers of its outputs.
    inputs: random token ids, or texts of the dataset cut and padded to the length.
    replicates, max_replicates: fewest and most pairs of fresh worker processes.
    precision: stop when the speed-up is known to this relative half-width.
    budget_seconds: wall clock of the timing, starts included; never less than `replicates` take.
    duration_seconds: time each variant for so long in all instead, in exactly `replicates` replicates.
    warmup_calls: fewest calls before timing. warmup_seconds: most time they may take.
    replicate_seconds, block_seconds: length of a replicate, and of a block of calls of one variant.
    start: how workers come to be. wait_policy: how a runtime's threads wait for work.
    priority: raised lets workers go before all other work, so that neighbours disturb less; it needs root
    or CAP_SYS_NICE and is left out without, and where optbench was started with a positive niceness
    (`nice optbench ...`). normal leaves it alone.
    timeout_seconds: a worker that does not answer for so long is ended.
    cold_start: start each variant once in a fresh interpreter and report its load time and memory.
    """

    scenario: Scenario = Scenario.latency
    processes: int = 1
    server: ServerConfig = field(default_factory=ServerConfig)
    scope: Scope = Scope.model
    inputs: InputSource = InputSource.random
    replicates: int = 5
    max_replicates: int = 20
    precision: float = 0.02
    budget_seconds: float = 60.0
    duration_seconds: float | None = None
    warmup_calls: int = 10
    warmup_seconds: float = 5.0
    replicate_seconds: float = 1.5
    block_seconds: float = 0.025
    start: Start = Start.fork
    wait_policy: WaitPolicy = WaitPolicy.runtime
    priority: Priority = Priority.raised
    timeout_seconds: float = 600.0
    cold_start: bool = True

    def problems(self) -> list[str]:
        """Ranges, the order of the replicate counts, and streams too short for their percentile."""
        found = [
            *at_least("processes", self.processes, 1),
            *at_least("replicates", self.replicates, 1),
            *at_least("warmup_calls", self.warmup_calls, 1),
            *at_least("warmup_seconds", self.warmup_seconds, 0),
            *at_least("budget_seconds", self.budget_seconds, 0),
            *at_least("replicate_seconds", self.replicate_seconds, 0.01),
            *at_least("block_seconds", self.block_seconds, 0.001),
            *at_least("duration_seconds", self.duration_seconds, 0.01),
            *at_least("timeout_seconds", self.timeout_seconds, 1),
        ]
        if not 0 < self.precision < 1:
            found.append(
                f"precision must lie between 0 and 1, got {self.precision:g}; 0.02 asks for "
                "an interval of +-2%"
            )
        if self.processes > 1 and self.scenario is not Scenario.throughput:
            found.append(
                f"processes must be 1 for scenario={self.scenario.value}, got {self.processes}; "
                "use measure.scenario=throughput"
            )
        if self.scenario is Scenario.server and 0.5 <= self.server.percentile < 1:
            fewest = fewest_requests(self.server.percentile)
            if fewest > self.server.requests:
                found.append(
                    f"server.requests must be >= {fewest} for a percentile of "
                    f"{self.server.percentile:g}, got {self.server.requests}"
                )
        if self.scenario is Scenario.server and not hasattr(os, "mkfifo"):
            found.append("scenario must be latency or throughput here: a server needs named pipes (POSIX)")
        if self.max_replicates < self.replicates:
            found.append(
                f"max_replicates must be >= replicates ({self.replicates}), got "
                f"{self.max_replicates}; raise max_replicates or lower replicates"
            )
        return found
