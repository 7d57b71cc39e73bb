"""Tables of one run: timing, signals, kernels, environment."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from optbench.records import RunResult, Signal, Trust, VariantResult
from optbench.reports.html.parts import Cell, Table, number, visible, words
from optbench.reports.html.run_charts import VARIANTS
from optbench.reports.parts import end_to_end_rows
from optbench.reports.run_table import generation_rows, server_rows
from optbench.units import (
    MISSING_TEXT,
    format_bytes,
    format_rate,
    format_ratio,
    format_seconds,
    format_share,
    three_digits,
)

LEVELS = {"green": ("good", "✓"), "amber": ("unsure", "!"), "red": ("bad", "✗"), "unknown": ("plain", "–")}
MOST_KERNELS = 12


def latency_table(result: RunResult) -> Table | None:
    """Mean and percentiles of both with their intervals, throughput and CPU time."""
    one, two = (result.variants.get(name) for name in VARIANTS)
    if one is None or two is None or one.latency is None or two.latency is None:
        return None
    before, after = one.latency, two.latency
    rows = [ratio_row("mean", before.mean_seconds, after.mean_seconds)]
    for first, second in zip(before.percentiles, after.percentiles, strict=False):
        rows.append(
            [
                Cell(f"p{100 * first.q:g}"),
                percentile_cell(first),
                percentile_cell(second),
                quotient(first.seconds, second.seconds),
            ]
        )
    rows.append(ratio_row("fastest", before.min_seconds, after.min_seconds))
    rows.append(ratio_row("slowest", before.max_seconds, after.max_seconds))
    rows.append(ratio_row("CPU time of a call", before.cpu_seconds_per_call, after.cpu_seconds_per_call))
    if one.throughput is not None and two.throughput is not None:
        rates = one.throughput.samples_per_second.value, two.throughput.samples_per_second.value
        rows.append(
            [
                Cell("samples per second"),
                *(number(rate, format_rate) for rate in rates),
                quotient(*rates[::-1]),
            ]
        )
    rows.append(
        [
            Cell("calls"),
            *(number(float(n), lambda v: f"{v:,.0f}") for n in (before.calls, after.calls)),
            Cell(""),
        ]
    )
    for row in (*generation_rows(result), *end_to_end_rows(result), *server_rows(result)):
        rows.append([words(cell) for cell in row])
    return Table("Time of a call", ["", "baseline", "candidate", "as fast"], rows)


def ratio_row(name: str, before: float, after: float) -> list[Cell]:
    """A time of both, and how much faster the candidate is."""
    return [
        Cell(name),
        number(before, format_seconds),
        number(after, format_seconds),
        quotient(before, after),
    ]


def quotient(one: float | None, two: float | None) -> Cell:
    """one / two; empty where either is missing."""
    return number(one / two, format_ratio) if one and two else Cell("")


def percentile_cell(found: Any) -> Cell:
    """A percentile with its interval, or what it lacks."""
    if found.seconds is None:
        return words(found.reason or "", "quiet")
    note = ""
    if found.interval is not None:
        note = f"{format_seconds(found.interval.low)} to {format_seconds(found.interval.high)}"
    return Cell(format_seconds(found.seconds), found.seconds, note=note)


def signals_table(trust: Trust | None) -> Table | None:
    """What the machine showed; what is wrong first."""
    if trust is None or not trust.signals:
        return None
    order = ["red", "amber", "green", "unknown"]
    rows = []
    for signal in sorted(trust.signals, key=lambda one: order.index(one.level)):
        kind, sign = LEVELS[signal.level]
        rows.append(
            [
                words(signal.name),
                Cell(f"{sign} {signal.level}", kind=f"outcome {kind}"),
                signal_cell(signal),
                number(signal.amber, three_digits),
                number(signal.red, three_digits),
            ]
        )
    return Table("Signals behind the grade", ["signal", "level", "seen", "amber over", "red over"], rows, 2)


def signal_cell(signal: Signal) -> Cell:
    """What was seen, with its unit below."""
    if signal.value is None:
        return Cell(MISSING_TEXT)
    return Cell(three_digits(signal.value), signal.value, note=visible(signal.unit, 40))


def kernels_tables(variants: Mapping[str, VariantResult], trust: Trust | None = None) -> list[Table]:
    """What runs in integers, and where the time goes; no share of the time from a disturbed machine."""
    disturbed = trust is not None and trust.is_disturbed
    found = []
    rows = []
    for name, variant in variants.items():
        kernels = variant.kernels
        if kernels is None:
            continue
        left = ", ".join(kernels.float_nodes)
        rows.append(
            [
                words(name),
                words(kernels.reason or ""),
                words(left),
                number(float(kernels.nodes), lambda v: f"{v:.0f}"),
                number(float(kernels.integer_nodes), lambda v: f"{v:.0f}"),
                number(None if disturbed else kernels.time_share, format_share),
                number(kernels.weight_share, format_share),
                number(float(kernels.leftover_qdq), lambda v: f"{v:.0f}"),
            ]
        )
    if rows:
        head = [
            "variant",
            "note",
            "left in float",
            "products",
            "in integers",
            "of one look's time",
            "of the weights",
            "leftover QDQ",
        ]
        found.append(Table("Matrix products in integers", head, rows, texts=3))
    for name, variant in variants.items():
        times = {} if variant.kernels is None else variant.kernels.kernel_seconds
        whole = math.fsum(times.values())
        if times:
            cells = (
                [
                    [words(kernel), number(seconds, format_seconds), number(seconds / whole, format_share)]
                    for kernel, seconds in list(times.items())[:MOST_KERNELS]
                ]
                if whole
                else []
            )
            found.append(
                Table(
                    f"Where a profiled call of the {visible(name, 40)} spent its time",
                    ["kernel", "of a call", "share"],
                    cells,
                )
            )
    return found


def environment_table(environment: Mapping[str, Any]) -> Table:
    """The machine in words; its name is nobody's business."""
    frequency = environment.get("frequency")
    frequency = frequency if isinstance(frequency, Mapping) else {}
    facts: list[tuple[str, Any]] = [
        ("CPU", environment.get("cpu_model")),
        ("instructions", listed(environment.get("isa_flags"))),
        ("cores available", environment.get("cores_available")),
        (
            "cores, physical and logical",
            listed([environment.get("cores_physical"), environment.get("cores_logical")]),
        ),
        ("CPU quota (cores)", environment.get("cpu_quota_cores") or "none"),
        ("frequency governor", frequency.get("governor") or frequency.get("reason")),
        ("memory", size_or_none(environment.get("memory_bytes"))),
        ("memory limit", size_or_none(environment.get("memory_limit_bytes")) or "none"),
        ("virtualization", environment.get("virtualization")),
        ("GPUs", listed(environment.get("gpus")) or "none"),
        ("system", environment.get("os")),
        ("Python", environment.get("python")),
        ("thread variables", pairs(environment.get("thread_variables")) or "none set"),
        ("code", pairs(environment.get("git"))),
    ]
    return Table("Machine", ["", "found"], [[Cell(name), words(value)] for name, value in facts], texts=2)


def versions_table(environment: Mapping[str, Any]) -> Table | None:
    """Versions of the libraries."""
    versions = environment.get("versions")
    if not isinstance(versions, Mapping) or not versions:
        return None
    rows = [[words(name), words(version or "absent")] for name, version in versions.items()]
    return Table("Libraries", ["library", "version"], rows, texts=2)


def variants_table(variants: Mapping[str, VariantResult]) -> Table:
    """What was measured, side by side: runtime settings, threads, files and their hash."""
    facts: dict[str, dict[str, str]] = {}
    for name, variant in variants.items():
        own = {
            "backend": variant.backend,
            "quantization": variant.quantization,
            "graph": variant.graph,
            **{key: str(value) for key, value in variant.runtime.items() if value is not None},
            "threads": str(variant.threads),
        }
        if variant.artifact is not None:
            own |= {
                "files": variant.artifact.path,
                "format": variant.artifact.format,
                "SHA-256": variant.artifact.sha256,
            }
        if variant.preparation is not None:
            steps = {
                "export": variant.preparation.export_seconds,
                "optimize": variant.preparation.optimize_seconds,
                "quantize": variant.preparation.quantize_seconds,
            }
            told = [
                f"{step} {format_seconds(seconds)}" for step, seconds in steps.items() if seconds is not None
            ]
            own["prepared in"] = ", ".join(told) or "nothing to prepare"
        for key, value in own.items():
            facts.setdefault(key, {})[name] = value
    rows = [
        [words(key), *(words(values.get(name, ""), "hash" if key == "SHA-256" else "") for name in variants)]
        for key, values in facts.items()
    ]
    return Table(
        "The variants", ["", *(visible(name, 60) for name in variants)], rows, texts=1 + len(variants)
    )


def listed(values: object) -> str:
    """A list in words."""
    return ", ".join(str(value) for value in values) if isinstance(values, Sequence) else ""


def pairs(values: object) -> str:
    """A mapping in words."""
    return ", ".join(f"{k}={v}" for k, v in values.items()) if isinstance(values, Mapping) else ""


def size_or_none(value: object) -> str | None:
    """Bytes in words."""
    return format_bytes(float(value)) if isinstance(value, int) else None
