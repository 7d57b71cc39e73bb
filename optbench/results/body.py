"""Runs in the shape of the former Optimum benchmark: one dict with a time entry for every shape.

Source: optimum 2.1 `runs_base.py`. As there, latencies are in milliseconds and throughput is forwards
per second. A percentile that too few calls stand behind is null.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from optbench.errors import ResultError
from optbench.records import RunResult, read_result
from optbench.records.aggregate import Aggregate, Point, Side
from optbench.results.points import text_at
from optbench.units import to_milliseconds

SHAPE = ("batch_size", "input_length")
PERCENTILES = {"50": 0.5, "90": 0.9, "95": 0.95, "99": 0.99, "999": 0.999}
HYDRA_FILE = ".hydra/hydra.yaml"


def run_body(aggregate: Aggregate) -> dict[str, Any]:
    """The body of a sweep over shapes; of several variants or machines, {"runs": [a body for each]}."""
    runs: dict[tuple[Any, ...], list[Point]] = {}
    for point in aggregate.points:
        if point.status == "ok" and point.baseline is not None and point.candidate is not None:
            runs.setdefault(run_key(point), []).append(point)
    bodies = [body for body in map(body_of, runs.values()) if body is not None]
    return bodies[0] if len(bodies) == 1 else {"runs": bodies}


def run_key(point: Point) -> tuple[Any, ...]:
    """What points of one body have in common: everything but the shape."""
    sides = [side.label if side is not None else None for side in (point.baseline, point.candidate)]
    axes = tuple(item for item in point.axes.items() if item[0] not in SHAPE)
    return (point.group, point.model, point.dataset, *sides, point.variant, axes)


def body_of(points: list[Point]) -> dict[str, Any] | None:
    """One body; None if the results have gone since."""
    try:
        result = read_result(Path(points[0].directory))
    except ResultError:
        return None
    return {
        **config_facts(result, points[0]),
        "hardware": hardware(result.environment),
        "versions": {
            key: value for key, value in facts(result.environment, "versions").items() if value is not None
        },
        "evaluation": {
            "time": [time_entry(point) for point in points],
            "others": {
                "baseline": others(points, "baseline"),
                "optimized": others(points, "candidate"),
            },
        },
    }


def facts(values: Mapping[str, Any], key: str) -> dict[str, Any]:
    """A mapping inside a mapping; empty where there is none."""
    found = values.get(key)
    return found if isinstance(found, dict) else {}


def config_facts(result: RunResult, point: Point) -> dict[str, Any]:
    """The settings, under their former names."""
    config = result.config
    dataset, quantization = facts(config, "dataset"), facts(config, "quantization")
    backend, measure = facts(config, "backend"), facts(config, "measure")
    approach = point.candidate.quantization if point.candidate is not None else None
    return {
        "model_name_or_path": text_at(config, "model", "path"),
        "task": choice(Path(point.directory), "task"),
        "task_args": facts(config, "task"),
        "dataset": {
            key: dataset.get(key)
            for key in ("path", "name", "eval_split", "calibration_split", "data_keys", "ref_keys")
        },
        "quantization_approach": approach,
        "operators_to_quantize": quantization.get("operators_to_quantize"),
        "node_exclusion": quantization.get("node_exclusion"),
        "aware_training": False,
        "per_channel": quantization.get("per_channel"),
        "calibration": quantization.get("calibration"),
        "framework": point.candidate.backend if point.candidate is not None else None,
        "framework_args": {key: backend.get(key) for key in ("opset", "optimization_level")},
        "max_eval_samples": facts(config, "quality").get("max_eval_samples"),
        "time_benchmark_args": {
            "duration": measure.get("duration_seconds"),
            "warmup_runs": measure.get("warmup_calls"),
        },
    }


def choice(directory: Path, group: str) -> str | None:
    """Which option of a config group a run took, as Hydra kept it."""
    import yaml

    try:
        kept = yaml.safe_load((directory / HYDRA_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return None
    hydra = kept.get("hydra") if isinstance(kept, dict) else None
    return text_at(hydra, "runtime", "choices", group) if isinstance(hydra, dict) else None


def hardware(environment: Mapping[str, Any]) -> dict[str, Any]:
    """The machine; the former body held the text of `lscpu`."""
    keys = ("machine", "cpu_model", "isa_flags", "cores_physical", "cores_available")
    return {key: environment.get(key) for key in (*keys, "memory_bytes", "os", "python")}


def time_entry(point: Point) -> dict[str, Any]:
    """One shape."""
    return {
        "batch_size": point.batch_size,
        "input_length": point.input_length,
        "baseline": timed(point.baseline),
        "optimized": timed(point.candidate),
    }


def timed(side: Side | None) -> dict[str, Any]:
    """One variant's calls; nb_forwards is 0 where it was not timed."""
    if side is None or side.latency is None or side.throughput is None:
        return {"nb_forwards": 0, "throughput": None, "latency_mean": None}
    latency = side.latency
    seconds = {item.q: item.seconds for item in latency.percentiles}
    return {
        "nb_forwards": latency.calls,
        "throughput": round(side.throughput.forwards_per_second, 2),
        "latency_mean": to_milliseconds(latency.mean_seconds),
        "latency_std": to_milliseconds(latency.std_seconds),
        **{f"latency_{name}": to_milliseconds(seconds.get(q)) for name, q in PERCENTILES.items()},
    }


def others(points: Iterable[Point], role: str) -> dict[str, float]:
    """Metrics of one variant, of the first point that has any: they do not depend on the shape."""
    for point in points:
        found = {metric.name: getattr(metric, role) for metric in point.metrics}
        if known := {name: value for name, value in found.items() if value is not None}:
            return known
    return {}
