"""A run as every tracker logs it: flat names, numbers and words, from its result alone."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optbench.records import (
    GRID_KEYS,
    Capacity,
    Comparison,
    Estimate,
    Latency,
    PhaseLatency,
    QualityResult,
    RunResult,
    VariantResult,
    shape_of,
)

LEFT_OUT = frozenset([*GRID_KEYS, "tracking", "chosen", "resume", "objectives", "tune"])
"""Parts of a config that decide nothing about what was measured in this run."""
LONGEST_PARAM = 500
LONGEST_TAG = 2000
"""Characters that MLflow's servers of all ages take."""
NOT_PLAIN = re.compile(r"[^A-Za-z0-9_.-]")

Values = dict[str, float | None]


@dataclass(frozen=True)
class LogEntry:
    """What is logged of a run; the same for all trackers.

    params: the config. metrics: what was found, SI units. tags: what it came to, and where.
    """

    name: str
    params: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]


def entry_of(result: RunResult) -> LogEntry:
    """What is logged of a run."""
    return LogEntry(name_of(result), params_of(result), metrics_of(result), tags_of(result))


def plain_name(name: str) -> str:
    """A name that every tracker takes: letters, digits, `_`, `.` and `-`; no path."""
    return NOT_PLAIN.sub("_", name).lstrip(".") or "_"


def name_of(result: RunResult) -> str:
    """A run in words, such as 'onnxruntime dynamic 8x32'."""
    shape = "x".join(str(part) for part in shape_of(result.config, result.timing) if part is not None)
    return f"{label_of(result, 'candidate')} {shape}".strip()[:LONGEST_PARAM]


def label_of(result: RunResult, role: str) -> str:
    """A variant in words, as measured or at least as chosen."""
    variant = result.variants.get(role)
    if variant is not None and variant.label:
        return variant.label
    backend, quantization = (chosen(result, role, key) for key in ("backend", "quantization"))
    if variant is not None:
        backend, quantization = variant.backend, variant.quantization
    return " ".join(part for part in (backend, quantization) if part and part != "none") or role


def chosen(result: RunResult, *keys: str) -> str | None:
    """The registered name of a part of the config; null where the result does not hold it."""
    value: Any = result.config.get("chosen")
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, str) else None


def params_of(result: RunResult) -> dict[str, str]:
    """The config as flat keys with dots; `candidate.backend` and the like name the parts."""
    found = flatten({key: value for key, value in result.config.items() if key not in LEFT_OUT})
    for role in ("baseline", "candidate"):
        for key in ("backend", "quantization"):
            found[f"{role}.{key}"] = chosen(result, role, key)
        if role in result.variants:
            found[f"{role}.threads"] = result.variants[role].threads
    found["task"] = chosen(result, "task")
    return {plain_name(key): cut(text_of(value), LONGEST_PARAM) for key, value in found.items()}


def flatten(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Leaves by their dotted keys; an empty mapping is a leaf."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{before}{key}"
        found |= flatten(value, f"{name}.") if isinstance(value, dict) and value else {name: value}
    return found


def text_of(value: Any) -> str:
    """A value as text: words as they are, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def cut(text: str, longest: int) -> str:
    """The text, cut where it is longer."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def metrics_of(result: RunResult) -> dict[str, float]:
    """Every number that is known, by name: `speedup`, `speedup_low`, `candidate.latency_p50_seconds` ..."""
    found: Values = {}
    if result.comparison is not None:
        found |= comparison_metrics(result.comparison)
    for role, variant in result.variants.items():
        found |= prefixed(role, variant_metrics(variant))
    if result.quality is not None:
        found |= quality_metrics(result.quality)
    if result.server is not None:
        found |= estimate("capacity_ratio", result.server.capacity_ratio)
        for role, capacity in result.server.variants.items():
            found |= prefixed(role, capacity_metrics(capacity))
    if result.timing is not None:
        found |= {"replicates": result.timing.replicates}
    return {
        plain_name(name): float(value)
        for name, value in found.items()
        if value is not None and math.isfinite(value)
    }


def prefixed(role: str, values: Values) -> Values:
    """The values of a variant, under its name."""
    return {f"{role}.{name}": value for name, value in values.items()}


def estimate(name: str, found: Estimate | None) -> Values:
    """A value and the ends of its interval."""
    if found is None:
        return {}
    ends = {} if found.interval is None else {"low": found.interval.low, "high": found.interval.high}
    return {name: found.value, **{f"{name}_{end}": value for end, value in ends.items()}}


def comparison_metrics(found: Comparison) -> Values:
    """Candidate against baseline."""
    return {
        **estimate("speedup", found.speedup),
        **estimate("cpu_speedup", found.cpu_speedup),
        **estimate("first_token_speedup", found.first_token_speedup),
        **estimate("per_output_token_speedup", found.per_output_token_speedup),
        "size_ratio": found.size_ratio,
        "peak_memory_ratio": found.peak_memory_ratio,
        "noise_floor": found.noise_floor,
    }


def variant_metrics(variant: VariantResult) -> Values:
    """Speed and footprint of one variant."""
    found: Values = {"size_bytes": variant.size_bytes, "peak_memory_bytes": variant.peak_memory_bytes}
    if (cold := variant.cold_start) is not None:
        found["cold_start_seconds"] = cold.import_seconds + cold.load_seconds + cold.first_call_seconds
    if variant.latency is not None:
        found |= latency_metrics("latency", variant.latency)
        found["cpu_seconds_per_call"] = variant.latency.cpu_seconds_per_call
    if variant.throughput is not None:
        found |= estimate("samples_per_second", variant.throughput.samples_per_second)
    if variant.generation is not None:
        phases = variant.generation
        found |= latency_metrics("first_token", phases.first_token)
        if phases.per_output_token is not None:
            found |= latency_metrics("per_output_token", phases.per_output_token)
        found |= estimate("output_tokens_per_second", phases.output_tokens_per_second)
    if variant.kernels is not None:
        found["integer_time_share"] = variant.kernels.time_share
    return found


def latency_metrics(name: str, found: Latency | PhaseLatency) -> Values:
    """Mean, spread and percentiles, in seconds."""
    return {
        **{f"{name}_{kind}_seconds": getattr(found, f"{kind}_seconds") for kind in ("mean", "std")},
        **{f"{name}_p{100 * item.q:g}_seconds".replace(".", "_"): item.seconds for item in found.percentiles},
    }


def capacity_metrics(found: Capacity) -> Values:
    """Requests per second within the bound."""
    return estimate("requests_per_second", found.requests_per_second)


def quality_metrics(found: QualityResult) -> Values:
    """Metrics of both variants and their difference; agreement, flips and drift."""
    values: Values = {
        "rows": found.rows,
        "failed_rows": found.failed_rows,
        "broken": found.broken,
        "fixed": found.fixed,
        **estimate("agreement", found.agreement),
    }
    for metric in found.metrics:
        values |= {
            f"baseline.{metric.name}": metric.baseline,
            f"candidate.{metric.name}": metric.candidate,
            **estimate(f"{metric.name}_difference", metric.difference),
        }
    if found.drift is not None:
        values |= {"drift_kl_mean": found.drift.kl_mean, "drift_kl_p99": found.drift.kl_p99}
    if found.vector_drift is not None:
        values |= {
            "drift_cosine_mean": found.vector_drift.cosine_mean,
            "drift_cosine_min": found.vector_drift.cosine_min,
        }
    return values


def tags_of(result: RunResult) -> dict[str, str]:
    """What it came to, and where: grade, verdict, gates, machine, versions, commit."""
    environment, verdict, failure = result.environment, result.verdict, result.failure
    found: dict[str, Any] = {
        "status": result.status,
        "grade": None if result.trust is None else result.trust.grade,
        "verdict": None if verdict is None else verdict.decision,
        "sentence": None if verdict is None else verdict.sentence,
        "failure": failure.message if failure is not None and result.status != "ok" else None,
        "baseline": label_of(result, "baseline"),
        "candidate": label_of(result, "candidate"),
        "optbench": result.optbench_version,
        "config_hash": result.config_hash,
        "started_at": result.started_at,
        **{key: environment.get(key) for key in ("machine", "cpu_model", "os", "python")},
        **{f"git_{key}": value for key, value in mapping(environment, "git").items() if key != "reason"},
        **{f"version.{key}": value for key, value in mapping(environment, "versions").items()},
    }
    if verdict is not None:
        found |= {f"gate.{gate.name}": gate.outcome for gate in verdict.gates}
    known = {plain_name(key): value for key, value in found.items() if value is not None}
    return {key: cut(text_of(value), LONGEST_TAG) for key, value in known.items()}


def mapping(values: Mapping[str, Any], key: str) -> dict[str, Any]:
    """A mapping inside a mapping; empty where there is none."""
    found = values.get(key)
    return found if isinstance(found, dict) else {}
