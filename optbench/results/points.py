"""One row from one result: what it measured, and the facts that decide what it may be compared with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optbench.records import DECODE_ERRORS, shape_of
from optbench.records.aggregate import Point, Side
from optbench.results.walk import DECODER, SlimResult

BASELINE = "baseline"

PLUG_IN = "plug-in "
"""Start of the names of facts that are versions of plug-ins from elsewhere."""

Facts = dict[str, str | None]
"""What must be equal for timings to be compared; null where it is not known."""


def point_of(result: SlimResult, name: str, common: Mapping[str, Any]) -> Point:
    """One candidate of a result as a row."""
    comparison, quality, trust = result.comparisons.get(name), result.quality, result.trust
    config, timing, failure, server = result.config, result.timing, result.failure, result.server
    batch_size, input_length = shape_of(config, timing)
    values: dict[str, Any] = {}
    if comparison is not None:
        values = {
            "speedup": comparison.speedup,
            "cpu_speedup": comparison.cpu_speedup,
            "size_ratio": comparison.size_ratio,
            "peak_memory_ratio": comparison.peak_memory_ratio,
            "noise_floor": comparison.noise_floor,
            "replicates": len(comparison.replicate_log_ratios),
        }
    if quality is not None and name == "candidate":
        values |= {
            "rows": quality.rows,
            "metrics": quality.metrics,
            "agreement": quality.agreement,
            "broken": quality.broken,
            "fixed": quality.fixed,
        }
    ended: dict[str, Any] = {
        "status": result.status,
        "reason": failure.message if failure is not None and result.status != "ok" else None,
    }
    return Point(
        **(ended | dict(common)),
        stage=failure.stage if failure is not None and result.status != "ok" else None,
        schema_version=result.schema_version,
        started_at=result.started_at,
        finished_at=result.finished_at,
        config_hash=result.config_hash,
        model=text_at(config, "model", "path"),
        dataset=text_at(config, "dataset", "path"),
        scenario=text_at(config, "measure", "scenario") if timing is None else timing.scenario,
        batch_size=whole(batch_size),
        input_length=whole(input_length),
        variant=name,
        baseline=side_of(result, BASELINE),
        candidate=side_of(result, name),
        capacity_ratio=server.capacity_ratio if server is not None and name == "candidate" else None,
        grade=trust.grade if trust is not None else None,
        grade_reasons=trust.reasons if trust is not None else [],
        decision=result.verdict.decision if result.verdict is not None else None,  # type: ignore[arg-type]
        sentence=result.verdict.sentence if result.verdict is not None else None,
        **values,
    )


def machine_of(content: bytes) -> str | None:
    """The machine's fingerprint in a result; null where it holds none."""
    try:
        machine = DECODER.decode(content).environment.machine
    except DECODE_ERRORS:
        return None
    return machine if isinstance(machine, str) else None


def text_at(config: Mapping[str, Any], *keys: str) -> str | None:
    """A string somewhere in a config; null where there is none."""
    value: Any = config
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, str) else None


def whole(value: object) -> int | None:
    """A whole number, or null."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def side_of(result: SlimResult, name: str) -> Side | None:
    """A variant, from what was measured or at least from what was chosen."""
    variant = result.variants.get(name)
    if variant is None:
        parts = [text_at(result.config, "chosen", name, key) for key in ("backend", "quantization")]
        if parts[0] is None or parts[1] is None:
            return None
        return Side(label=label(parts[0], parts[1]), backend=parts[0], quantization=parts[1])
    artifact, cold, kernels = variant.artifact, variant.cold_start, variant.kernels
    capacity = None if result.server is None else result.server.variants.get(name)
    return Side(
        label=variant.label or label(variant.backend, variant.quantization),
        backend=variant.backend,
        quantization=variant.quantization,
        graph=variant.graph,
        threads=variant.threads,
        artifact=artifact.path if artifact else None,
        sha256=artifact.sha256 if artifact else None,
        size_bytes=artifact.size_bytes if artifact else None,
        peak_memory_bytes=cold.peak_memory_bytes if cold else None,
        cold_start_seconds=cold.import_seconds + cold.load_seconds + cold.first_call_seconds
        if cold
        else None,
        latency=variant.latency,
        throughput=variant.throughput,
        requests_per_second=capacity.requests_per_second if capacity is not None else None,
        products=kernels.nodes if kernels else None,
        integer_products=kernels.integer_nodes if kernels else None,
        integer_time_share=kernels.time_share if kernels else None,
    )


def label(backend: str, quantization: str) -> str:
    """A variant in a few characters."""
    return backend if quantization == "none" else f"{backend} {quantization}"


def facts_of(result: SlimResult, name: str) -> Facts:
    """What must be equal for timings to be compared; threads are unknown where nothing was loaded."""
    environment = result.environment
    facts: Facts = {}
    for side in (BASELINE, name):
        variant = result.variants.get(side)
        role = side if side == BASELINE else "candidate"
        facts[f"threads of the {role}"] = None if variant is None else str(variant.threads)
    for key in ("machine", "cpu_model", "cores_available", "python"):
        value = getattr(environment, key)
        facts[key] = None if value is None else str(value)
    facts.update(environment.thread_variables)
    facts.update(environment.versions)
    facts.update({f"{PLUG_IN}{name}": version for name, version in environment.plug_ins.items()})
    return facts
