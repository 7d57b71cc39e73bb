"""What a search over runs looks at: one number of a result each, and which way is better."""

from __future__ import annotations

from collections.abc import Callable

from optbench.config import Objective
from optbench.records import RunResult

WORST = {
    Objective.samples_per_second: 0.0,
    Objective.p95_seconds: float("inf"),
    Objective.speedup: 0.0,
    Objective.quality_loss: float("inf"),
    Objective.size_bytes: float("inf"),
    Objective.peak_memory_bytes: float("inf"),
}
"""What a point without numbers counts as: Optuna refuses NaN, and a task must not raise."""


def samples_per_second(result: RunResult) -> float | None:
    """The candidate's throughput; of a server, samples within the latency bound, if they were looked for."""
    candidate = result.variants.get("candidate")
    if candidate is None or candidate.throughput is None:
        return None
    if result.server is not None and result.timing is not None:
        capacity = result.server.variants["candidate"].requests_per_second
        if capacity is not None:
            return capacity.value * result.timing.batch_size
    return candidate.throughput.samples_per_second.value


def p95_seconds(result: RunResult) -> float | None:
    """The candidate's p95 of a call; the mean stands in while too few calls stand behind a p95."""
    candidate = result.variants.get("candidate")
    if candidate is None or candidate.latency is None:
        return None
    p95 = next((item.seconds for item in candidate.latency.percentiles if item.q == 0.95), None)
    return p95 or candidate.latency.mean_seconds


def speedup(result: RunResult) -> float | None:
    """How many times as fast as the baseline the candidate is."""
    return None if result.comparison is None else result.comparison.speedup.value


def quality_loss(result: RunResult) -> float | None:
    """By how much the leading metric became worse; the share of changed answers where there is none."""
    quality = result.quality
    if quality is None:
        return None
    for metric in quality.metrics:
        if metric.difference is not None:
            change = metric.difference.value
            return 0.0 - change if metric.higher_is_better else change
    return None if quality.agreement is None else 1 - quality.agreement.value


def size_bytes(result: RunResult) -> float | None:
    """The candidate's weights."""
    candidate = result.variants.get("candidate")
    return None if candidate is None else candidate.size_bytes


def peak_memory_bytes(result: RunResult) -> float | None:
    """The candidate's highest resident set in a cold start."""
    candidate = result.variants.get("candidate")
    return None if candidate is None else candidate.peak_memory_bytes


READ: dict[Objective, Callable[[RunResult], float | None]] = {
    Objective.samples_per_second: samples_per_second,
    Objective.p95_seconds: p95_seconds,
    Objective.speedup: speedup,
    Objective.quality_loss: quality_loss,
    Objective.size_bytes: size_bytes,
    Objective.peak_memory_bytes: peak_memory_bytes,
}


def objective(kind: Objective, result: RunResult) -> float:
    """One number of a result for Optuna; the worst there is where the result lacks it."""
    value = READ[kind](result)
    return WORST[kind] if value is None else float(value)
