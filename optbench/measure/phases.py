"""Times of the parts of calls: to the first token and of each one after it; the model in a whole answer.

The time per output token of a call is (its wall time - its time to the first token) / (new tokens - 1).
Replicates are the unit here as everywhere (`optbench.measure.statistics`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optbench.measure.samples import Samples
from optbench.measure.statistics import pooled_facts, ratio_estimate
from optbench.records import EndToEnd, Estimate, Generation, Interval, PhaseLatency

Seconds = NDArray[np.float64]


@dataclass(frozen=True)
class Speedups:
    """Of the phases, as `Comparison.speedup` is of whole calls; null where a call has no such phase."""

    first_token: Estimate | None = None
    per_output_token: Estimate | None = None


def generation(samples: Samples, variant: str, rate: Estimate, new_tokens: int | None) -> Generation | None:
    """The phases of the counted calls of `variant`; null where calls are single forward passes.

    rate: samples per second of these calls.
    """
    first = samples.first_token_seconds(variant)
    if not first or new_tokens is None:
        return None
    rest = decoding_seconds(samples, variant)
    steps = new_tokens - 1
    return Generation(
        new_tokens=new_tokens,
        first_token=phase(list(first.values())),
        per_output_token=phase([seconds / steps for seconds in rest.values()]) if steps else None,
        output_tokens_per_second=scaled(rate, new_tokens),
    )


def end_to_end(samples: Samples, variant: str) -> EndToEnd | None:
    """What the counted calls of `variant` are made of; null where a call is the model alone."""
    model = samples.model_seconds(variant)
    if not model:
        return None
    whole = {number: samples.counted_seconds(variant, number) for number in model}
    around = [np.maximum(whole[number] - seconds, 0.0) for number, seconds in model.items()]
    total = sum(float(seconds.sum()) for seconds in whole.values())
    share = sum(float(seconds.sum()) for seconds in model.values()) / total if total else 0.0
    return EndToEnd(phase(list(model.values())), phase(around), share)


def model_speedup(samples: Samples, baseline: str, candidate: str) -> Estimate | None:
    """How much faster the candidate's model is within whole answers; null where calls are the model alone."""
    return speedup(samples.model_seconds(baseline), samples.model_seconds(candidate))


def speedups(samples: Samples, baseline: str, candidate: str, new_tokens: int | None) -> Speedups:
    """How much faster the candidate is in each phase, with the interval over replicates."""
    if new_tokens is None:
        return Speedups()
    first = [samples.first_token_seconds(name) for name in (baseline, candidate)]
    rest = [decoding_seconds(samples, name) for name in (baseline, candidate)]
    return Speedups(speedup(*first), speedup(*rest) if new_tokens > 1 else None)


def decoding_seconds(samples: Samples, variant: str) -> dict[int, Seconds]:
    """Seconds of the counted calls from the first token to the last [calls], by replicate."""
    first = samples.first_token_seconds(variant)
    return {
        number: np.maximum(samples.counted_seconds(variant, number) - seconds, 0.0)
        for number, seconds in first.items()
    }


def speedup(baseline: dict[int, Seconds], candidate: dict[int, Seconds]) -> Estimate | None:
    """exp of the mean log ratio of mean seconds over the replicates of both; null without any."""
    log_ratios = []
    for number in sorted(set(baseline) & set(candidate)):
        one, two = baseline[number], candidate[number]
        if len(one) and len(two) and min(one.mean(), two.mean()) > 0:
            log_ratios.append(math.log(one.mean() / two.mean()))
    return ratio_estimate(log_ratios) if log_ratios else None


def phase(replicates: Sequence[Seconds]) -> PhaseLatency:
    """Seconds of one phase, one array [calls] per replicate, and their percentiles."""
    return PhaseLatency(**pooled_facts([calls for calls in replicates if len(calls)]))


def scaled(rate: Estimate, factor: int) -> Estimate:
    """An estimate and its interval times a constant."""
    interval = rate.interval
    if interval is not None:
        interval = Interval(interval.low * factor, interval.high * factor, interval.level)
    return Estimate(rate.value * factor, interval, rate.reason)
