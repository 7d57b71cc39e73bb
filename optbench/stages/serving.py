"""The open loop of a run: a load generator's requests to one worker at a time, until it is known."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from optbench.components import Priority
from optbench.config import RunConfig
from optbench.measure.capacity import Offered, ServerPlan, capacity, capacity_ratio, measure_capacity
from optbench.measure.percentiles import PERCENTILES, percentile
from optbench.measure.schedule import WarmupRule
from optbench.measure.server import Trial, is_sustainable
from optbench.processes.child import Child, start
from optbench.processes.crew import Crew
from optbench.processes.remote_worker import RemoteWorker
from optbench.records import Capacity, LoadPoint, ServerResult
from optbench.stages.draft import Draft
from optbench.stages.preparing import priority_of
from optbench.stages.storage import write_requests
from optbench.stages.timing import ShowsProgress, warmup_rule
from optbench.units import format_seconds

BOUND_FACTOR = 5.0
MOST_LATENESS = 0.05
"""Of the bound."""
PIPE = "requests"


class ServedWorker:
    """A StreamWorker: a worker process, and the generator that sends it requests through a named pipe."""

    def __init__(self, worker: RemoteWorker, generator: Child, pipe: Path, cpu_seconds: list[float]) -> None:
        self._worker = worker
        self._generator = generator
        self._pipe = pipe
        self._cpu_seconds = cpu_seconds

    def warm_up(self, rule: WarmupRule) -> list[int]:
        """See StreamWorker.warm_up."""
        return self._worker.warm_up(rule)

    def offer(self, rate_per_second: float, pattern: NDArray[np.float64]) -> Trial:
        """See StreamWorker.offer."""
        due = np.rint(pattern / rate_per_second * 1e9).astype(np.int64).tolist()
        self._worker.begin_answering(self._pipe, len(due))
        self._generator.send("send", self._pipe, due)
        started, completed = self._worker.answer_within_limit()
        intended, sent, cpu_seconds = self._generator.receive()
        self._cpu_seconds.append(cpu_seconds)
        times = (np.asarray(each, dtype=np.int64) for each in (intended, sent, started, completed))
        return Trial(rate_per_second, *times)

    def close(self) -> None:
        """See StreamWorker.close."""
        self._worker.close()


def serve(
    config: RunConfig, draft: Draft, display: ShowsProgress, crew: Crew, directory: Path, log: Path
) -> None:
    """Find the capacity of both variants; whatever was offered is kept, also when a worker dies.

    The caller holds the machine.
    """
    plan, reason = plan_of(config, draft)
    offered, cpu_seconds = Offered(), list[float]()
    pipe = directory / PIPE
    os.mkfifo(pipe)
    try:
        with load_generator(log, priority_of(config) is Priority.raised) as generator:

            def started(name: str) -> ServedWorker:
                return ServedWorker(crew.to_time(name, closed_loop=False), generator, pipe, cpu_seconds)

            measure_capacity(started, tuple(config.variants), plan, offered, on_progress=display.progress)
    finally:
        if offered.trials:
            write_requests(draft.directory, offered.trials)
            found = server_result(plan, reason, offered, cpu_seconds)
            draft.update(server=found, notes=[*draft.result.notes, *lateness_notes(found)])


@contextlib.contextmanager
def load_generator(log: Path, raised: bool) -> Iterator[Child]:
    """A generator process; with a raised priority it goes before the workers."""
    child = start(
        "load generator", "optbench.processes.loadgen:LoadGenerator", raised, environment={}, log=log
    )
    try:
        child.receive()
        yield child
    finally:
        child.close()


def plan_of(config: RunConfig, draft: Draft) -> tuple[ServerPlan, str | None]:
    """What is offered as configured, and where the bound came from if nobody set it."""
    measure, server = config.measure, config.measure.server
    bound, reason = server.bound_seconds, None
    if bound is None:
        latency = draft.result.variants["baseline"].latency
        if latency is None:
            raise ValueError("a baseline that was not timed gives no bound")
        bound = round_up(BOUND_FACTOR * latency.mean_seconds)
        reason = f"{BOUND_FACTOR:g} times the baseline's mean latency; set measure.server.bound_seconds"
    plan = ServerPlan(
        bound_seconds=bound,
        percentile=server.percentile,
        arrivals=server.arrivals.value,
        requests=server.requests,
        rates=tuple(server.rates or ()),
        replicates=measure.replicates,
        max_replicates=measure.max_replicates,
        precision=measure.precision,
        budget_seconds=server.budget_seconds,
        warmup=warmup_rule(config),
        seed=config.seed,
    )
    return plan, reason


def round_up(seconds: float) -> float:
    """Two significant digits, for a bound that people can read."""
    unit = 10.0 ** (math.floor(math.log10(seconds)) - 1)
    return math.ceil(seconds / unit) * unit


def server_result(
    plan: ServerPlan, reason: str | None, offered: Offered, cpu_seconds: list[float]
) -> ServerResult:
    """The record of what was offered and found."""
    lateness = np.concatenate([trial.lateness_seconds for _, _, trial in offered.trials])
    spans = [(t.completion_ns[-1] - t.intended_arrival_ns[0]) / 1e9 for _, _, t in offered.trials]
    variants = dict.fromkeys(name for _, name, _ in offered.trials)
    return ServerResult(
        bound_seconds=plan.bound_seconds,
        bound_reason=reason,
        percentile=plan.percentile,
        arrivals=plan.arrivals,
        requests=plan.requests,
        streams=len({replicate for replicate, _, _ in offered.trials}),
        stopped_by=offered.stopped_by or "failure",
        seconds=offered.seconds,
        variants={name: capacity_record(plan, offered, name) for name in variants},
        capacity_ratio=capacity_ratio(offered, "baseline", "candidate"),
        lateness_seconds=float(np.quantile(lateness, 0.99)),
        generator_cpu_share=sum(cpu_seconds) / max(1e-9, float(sum(spans))),
    )


def lateness_notes(found: ServerResult) -> list[str]:
    """A word on a generator that was late by more than a share of the bound: that counts as latency."""
    if found.lateness_seconds <= MOST_LATENESS * found.bound_seconds:
        return []
    late = format_seconds(found.lateness_seconds)
    return [
        f"requests were sent up to {late} late (p99), which counts as latency; stop other work, or run as "
        "root so that the load generator goes first"
    ]


def capacity_record(plan: ServerPlan, offered: Offered, name: str) -> Capacity:
    """What one variant was offered, and the rate at which it meets the bound."""
    crossings = offered.crossings.get(name, [])
    return Capacity(
        requests_per_second=None if plan.rates else capacity(offered, name),
        service_seconds=float(np.mean([trial.service_seconds for trial in offered.of(name)])),
        stream_rates=offered.rates(name),
        load=[load_point(plan, offered.of(name, rate), rate) for rate in plan.rates],
        reason=next((crossing.reason for crossing in crossings if crossing.reason), None),
    )


def load_point(plan: ServerPlan, trials: list[Trial], rate: float) -> LoadPoint:
    """Latencies at one offered rate."""
    counted = [trial.counted_seconds for trial in trials]
    return LoadPoint(
        rate_per_second=rate,
        streams=len(trials),
        percentiles=[percentile(q, counted) for q in dict.fromkeys((*PERCENTILES, plan.percentile))],
        sustained=is_sustainable(trials, plan.bound_seconds, plan.percentile),
        queue_growth=float(np.mean([trial.growth_requests for trial in trials])) if trials else 0.0,
    )
