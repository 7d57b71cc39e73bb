"""A run's table, row by row: metric, baseline, candidate, change."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from optbench.records import (
    Capacity,
    ColdStart,
    KernelReport,
    LoadPoint,
    MetricResult,
    Percentile,
    QualityResult,
    RunResult,
    Trust,
    VariantResult,
)
from optbench.reports.console import plural
from optbench.reports.escape import lines
from optbench.reports.parts import end_to_end_rows
from optbench.units import (
    MISSING_TEXT,
    format_bytes,
    format_difference,
    format_rate,
    format_ratio,
    format_seconds,
    format_share,
    three_digits,
)

SHOWN_OF_PHASES = (0.5, 0.95)
"""Percentiles of the phases of a generation; all of them stand in the result."""


Row = tuple[str, ...]
"""Metric, baseline, candidate, change."""


def result_table(result: RunResult) -> Table:
    """Metric, baseline, candidate, change."""
    baseline, candidate = result.variants["baseline"], result.variants["candidate"]
    timing = result.timing
    shape = ""
    if timing is not None:
        length = "" if timing.input_length is None else f" x {timing.input_length} tokens"
        length += "" if timing.new_tokens is None else f" + {timing.new_tokens} new"
        length += ", from raw rows to answers" if timing.scope == "end_to_end" else ""
        shape = f"batch {timing.batch_size}{length}, "
    if timing is not None and timing.processes > 1:
        shape += f"{timing.processes} processes of "
    table = Table(
        title=f"{shape}{baseline.threads} thread{plural(baseline.threads)}",
        title_justify="left",
        title_style="dim",
        box=None,
        pad_edge=False,
        header_style="bold",
    )
    table.add_column("")
    for name, variant in (("baseline", baseline), ("candidate", candidate)):
        table.add_column(Text(lines(f"{name}\n{label(variant)}")), justify="right")
    table.add_column("change", justify="right")
    speed = speed_rows(result) + generation_rows(result) + end_to_end_rows(result) + server_rows(result)
    for row in speed + footprint_rows(result) + quality_rows(result):
        table.add_row(*(Text(lines(cell)) for cell in row))
    return table


def label(variant: VariantResult) -> str:
    """A variant in a few characters; results of earlier versions hold no label."""
    if variant.label:
        return variant.label
    return variant.backend if variant.quantization == "none" else f"{variant.backend} {variant.quantization}"


def speed_rows(result: RunResult) -> list[Row]:
    """Latency, percentiles, throughput, CPU time."""
    one, two = (result.variants[name] for name in ("baseline", "candidate"))
    if one.latency is None or two.latency is None or result.comparison is None:
        return []
    rows: list[Row] = []
    means = (one.latency.mean_seconds, two.latency.mean_seconds)
    speedup = f"{format_ratio(result.comparison.speedup.value)} as fast"
    by_throughput = result.timing is not None and result.timing.scenario == "throughput"
    rates = [item.throughput.samples_per_second.value for item in (one, two) if item.throughput]
    if len(rates) == 2 and by_throughput:
        rows.append(("throughput", *map(format_rate, rates), speedup))
    rows.append(
        ("latency, mean", *map(format_seconds, means), quotient(*means) if by_throughput else speedup)
    )
    for first, second in zip(one.latency.percentiles, two.latency.percentiles, strict=False):
        rows.append(
            (
                f"latency, p{first.q * 100:g}",
                percentile(first),
                percentile(second),
                quotient(first.seconds, second.seconds),
            )
        )
    rows.append(
        (
            "CPU time per call",
            format_seconds(one.latency.cpu_seconds_per_call),
            format_seconds(two.latency.cpu_seconds_per_call),
            format_ratio(result.comparison.cpu_speedup.value),
        )
    )
    if len(rates) == 2 and not by_throughput:
        rows.append(("throughput", *map(format_rate, rates), quotient(rates[1], rates[0])))
    return rows


def generation_rows(result: RunResult) -> list[Row]:
    """Time to the first token, time per token after it, and tokens per second, where tokens are generated."""
    one, two = (result.variants[name].generation for name in ("baseline", "candidate"))
    if one is None or two is None or result.comparison is None:
        return []
    rows: list[Row] = []
    for name, phases, speedup in (
        ("first token", (one.first_token, two.first_token), result.comparison.first_token_speedup),
        (
            "per output token",
            (one.per_output_token, two.per_output_token),
            result.comparison.per_output_token_speedup,
        ),
    ):
        before, after = phases
        if before is None or after is None:
            continue
        means = (before.mean_seconds, after.mean_seconds)
        change = quotient(*means) if speedup is None else f"{format_ratio(speedup.value)} as fast"
        rows.append((f"{name}, mean", *map(format_seconds, means), change))
        for first, second in zip(before.percentiles, after.percentiles, strict=False):
            if first.q in SHOWN_OF_PHASES:
                ratio = quotient(first.seconds, second.seconds)
                rows.append((f"{name}, p{first.q * 100:g}", percentile(first), percentile(second), ratio))
    rates = (one.output_tokens_per_second.value, two.output_tokens_per_second.value)
    rows.append(("output tokens", *map(format_rate, rates), quotient(rates[1], rates[0])))
    return rows


def server_rows(result: RunResult) -> list[Row]:
    """The capacity within the bound, or the percentile at each rate that was offered."""
    server = result.server
    if server is None or not server.variants.keys() >= {"baseline", "candidate"}:
        return []
    one, two = (server.variants[name] for name in ("baseline", "candidate"))
    name = f"p{100 * server.percentile:g}"
    rows: list[Row] = []
    for points in zip(one.load, two.load, strict=False):
        seconds = [percentile_at(point, server.percentile).seconds for point in points]
        cells = [under_load(point, server.percentile) for point in points]
        rate = format_rate(points[0].rate_per_second)
        rows.append((f"{name} at {rate}", *cells, quotient(seconds[0], seconds[1])))
    if not one.load:
        ratio = "" if server.capacity_ratio is None else format_ratio(server.capacity_ratio.value)
        rates = [rate_or_reason(capacity) for capacity in (one, two)]
        rows.append((f"capacity at {name} <= {format_seconds(server.bound_seconds)}", *rates, ratio))
    return rows


SUSTAINED = {"sustainable": "", "not": " (too slow)", "unclear": " (unclear)"}


def percentile_at(point: LoadPoint, q: float) -> Percentile:
    """One percentile of a load point."""
    return next((item for item in point.percentiles if item.q == q), Percentile(q, None))


def under_load(point: LoadPoint, q: float) -> str:
    """A percentile at an offered rate, and whether the rate is sustained."""
    return percentile(percentile_at(point, q)) + SUSTAINED.get(point.sustained, "")


def rate_or_reason(capacity: Capacity) -> str:
    """A capacity, or why there is none."""
    if capacity.requests_per_second is not None:
        return format_rate(capacity.requests_per_second.value)
    return capacity.reason or MISSING_TEXT


def percentile(value: Percentile) -> str:
    """A percentile, or how many calls it lacks."""
    return format_seconds(value.seconds) if value.seconds is not None else (value.reason or MISSING_TEXT)


def quotient(one: float | None, two: float | None) -> str:
    """one / two as a speed-up; empty where either is missing."""
    return format_ratio(one / two) if one and two else ""


def footprint_rows(result: RunResult) -> list[Row]:
    """Size, memory, cold start."""
    one, two = (result.variants[name] for name in ("baseline", "candidate"))
    rows: list[Row] = []
    if one.artifact is not None and two.artifact is not None:
        sizes = (one.artifact.size_bytes, two.artifact.size_bytes)
        share = format_share(sizes[1] / sizes[0], 0) if sizes[0] else ""
        rows.append(("weights", *map(format_bytes, sizes), share))
    if one.cold_start is not None and two.cold_start is not None:
        peaks = (one.cold_start.peak_memory_bytes, two.cold_start.peak_memory_bytes)
        share = format_share(peaks[1] / peaks[0], 0) if peaks[0] and peaks[1] else ""
        rows.append(("peak memory", *map(format_bytes, peaks), share))
        starts = [
            start.import_seconds + start.load_seconds + start.first_call_seconds
            for start in (one.cold_start, two.cold_start)
        ]
        rows.append(("cold start to first answer", *map(format_seconds, starts), quotient(*starts)))
        if any(start.compile_seconds is not None for start in (one.cold_start, two.cold_start)):
            compiling = map(compile_time, (one.cold_start, two.cold_start))
            rows.append(("  of which compiling", *compiling, ""))
    kernels = [kernel_share(variant.kernels, result.trust) for variant in (one, two)]
    if any(kernels):
        rows.append(("products in integers", *kernels, ""))
    return rows


def compile_time(start: ColdStart) -> str:
    """Seconds of compiling, and whether it was done before; empty where nothing is compiled."""
    if start.compile_seconds is None:
        return ""
    return format_seconds(start.compile_seconds) + (" (cached)" if start.compiled_before else "")


def kernel_share(kernels: KernelReport | None, trust: Trust | None) -> str:
    """How many of the matrix products are computed in integers, and their share of the time of one look.

    A look of a few calls tells nothing about times on a disturbed machine, so that the share is left out.
    """
    if kernels is None or not kernels.nodes:
        return ""
    counts = f"{kernels.integer_nodes} of {kernels.nodes}"
    if kernels.time_share is None or (trust is not None and trust.is_disturbed):
        return counts
    return f"{counts}, {format_share(kernels.time_share, 0)} of one look"


def quality_rows(result: RunResult) -> list[Row]:
    """Metrics and agreement."""
    quality = result.quality
    if quality is None:
        return []
    rows: list[Row] = [(metric.name, *metric_values(metric)) for metric in quality.metrics]
    if quality.agreement is not None:
        flips = "" if quality.broken is None else f"{quality.broken} broken, {quality.fixed} fixed"
        rows.append((f"same answers of {quality.rows:,}", "", format_share(quality.agreement.value), flips))
    return rows + drift_rows(quality)


def drift_rows(quality: QualityResult) -> list[Row]:
    """How far the outputs moved beneath the answers."""
    rows: list[Row] = []
    if quality.drift is not None:
        mean, p99 = three_digits(quality.drift.kl_mean), three_digits(quality.drift.kl_p99)
        rows.append(("KL divergence, mean", "", mean, f"p99 {p99}"))
    if quality.vector_drift is not None:
        found = quality.vector_drift
        lowest = f"lowest {found.cosine_min:.4f}"
        rows.append(("cosine to the baseline", "", f"{found.cosine_mean:.4f}", lowest))
    errors = quality.calibration_error
    if len(errors) == 2:
        one, two = errors["baseline"], errors["candidate"]
        rows.append(("calibration error", f"{one:.4f}", f"{two:.4f}", format_difference(two - one, True)))
    return rows


def metric_values(metric: MetricResult) -> tuple[str, str, str]:
    """Baseline, candidate and change of one metric."""
    if metric.baseline is None or metric.candidate is None:
        return ("", metric.reason or MISSING_TEXT, "")
    change = metric.candidate - metric.baseline if metric.difference is None else metric.difference.value
    return (
        f"{metric.baseline:.4f}",
        f"{metric.candidate:.4f}",
        format_difference(change, metric.is_share),
    )
