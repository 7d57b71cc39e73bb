"""The page of one run, from its record and raw values."""

from __future__ import annotations

from dataclasses import dataclass

from optbench.records import RunResult
from optbench.reports.console import plural
from optbench.reports.html import banner, quality_tables, run_charts, run_tables
from optbench.reports.html.pages import Section, config_text, render
from optbench.reports.html.parts import visible
from optbench.reports.html.raw import Raw
from optbench.reports.margins import margin_lines
from optbench.units import format_seconds


@dataclass(frozen=True)
class RunReport:
    """What a page of a run is made from. command: how to measure it again. name: the run's directory."""

    result: RunResult
    raw: Raw
    command: str
    name: str


def sections(report: RunReport) -> list[Section]:
    """All parts below the head, in their order; empty ones are left out when the page is made."""
    result, raw = report.result, report.raw
    return [
        failure_section(result),
        Section(
            "latency",
            "Latency",
            scenario(result),
            charts=[chart for chart in [run_charts.distribution(raw)] if chart],
            tables=[table for table in [run_tables.latency_table(result)] if table],
        ),
        Section(
            "timeline",
            "Can the timing be believed?",
            procedure(result),
            charts=[chart for chart in [run_charts.timeline(result, raw)] if chart],
            tables=[table for table in [run_tables.signals_table(result.trust)] if table],
            notes=[visible(reason) for reason in (result.trust.reasons if result.trust else [])],
        ),
        Section(
            "footprint", "Size, memory and start", charts=[c for c in [run_charts.footprint(result)] if c]
        ),
        quality_section(report),
        Section(
            "kernels", "Integer kernels", tables=run_tables.kernels_tables(result.variants, result.trust)
        ),
        environment_section(result),
        reproduce_section(result, report.command),
    ]


def failure_section(result: RunResult) -> Section:
    """Why there is no complete answer."""
    failure = result.failure
    if failure is None or result.status == "ok":
        return Section("failure", "Why it ended")
    details = [("Details", visible(failure.details, 20_000))] if failure.details else []
    notes = [f"{visible(failure.kind, 80)} in: {visible(failure.stage, 80)}", visible(failure.message)]
    return Section("failure", "Why it ended", notes=notes, code=details)


def scenario(result: RunResult) -> str:
    """What was timed."""
    timing = result.timing
    if timing is None:
        return ""
    length = "" if timing.input_length is None else f" x {timing.input_length} tokens"
    new = "" if timing.new_tokens is None else f" + {timing.new_tokens} new tokens"
    new += ", from raw rows to answers" if timing.scope == "end_to_end" else ""
    threads = {variant.threads for variant in result.variants.values()}
    count = threads.pop() if len(threads) == 1 else None
    on = "" if count is None else f", {count} thread{plural(count)}"
    return f"Scenario {visible(timing.scenario, 40)}: batch {timing.batch_size}{length}{new}{on}."


def procedure(result: RunResult) -> str:
    """How it was timed."""
    timing = result.timing
    if timing is None:
        return ""
    return (
        f"{timing.replicates} replicate{'' if timing.replicates == 1 else 's'} of fresh workers "
        f"({visible(timing.start, 20)}), blocks of both variants in random order, "
        f"{format_seconds(timing.measuring_seconds)} of measuring; "
        f"stopped by: {visible(timing.stopped_by, 60)}."
    )


def quality_section(report: RunReport) -> Section:
    """Metrics, flips, drift, groups and worst rows."""
    result, quality = report.result, report.result.quality
    if quality is None:
        return Section("quality", "Quality")
    dataset = result.dataset
    text = f"{quality.rows:,} rows, answered by both variants."
    if dataset is not None:
        name = f" ({visible(dataset.name, 60)})" if dataset.name else ""
        text = (
            f"{quality.rows:,} of {dataset.rows_available:,} rows of {visible(dataset.path, 200)}{name}, "
            f"split {visible(dataset.split, 60)}, answered by both variants."
        )
    tables = [
        quality_tables.metrics_table(quality),
        quality_tables.drift_table(quality),
        quality_tables.flips_table(result, report.raw),
        quality_tables.groups_table(quality),
        quality_tables.worst_table(result),
    ]
    chart = quality_tables.metrics_chart(quality)
    notes = [visible(line) for line in (*margin_lines(quality), *quality.notes)]
    return Section(
        "quality", "Quality", text, [chart] if chart else [], [t for t in tables if t], notes=notes
    )


def environment_section(result: RunResult) -> Section:
    """The machine, the libraries, and the variants as they ran."""
    tables = [run_tables.environment_table(result.environment)]
    if result.variants:
        tables.insert(0, run_tables.variants_table(result.variants))
    versions = run_tables.versions_table(result.environment)
    return Section("environment", "Environment", tables=tables, folded=[versions] if versions else [])


def reproduce_section(result: RunResult, command: str) -> Section:
    """The command, and the config it composed."""
    code = [("Command", command)] if command else []
    code += [("Config as composed", config_text(result.config))]
    notes = [
        f"config hash {visible(result.config_hash, 100)}, optbench {visible(result.optbench_version, 40)}"
    ]
    return Section("reproduce", "How to measure it again", notes=notes, code=code)


def run_html(report: RunReport, parts: list[Section]) -> str:
    """The page with these sections."""
    result = report.result
    labels = " against ".join(
        visible(result.variants[name].label or result.variants[name].backend, 60)
        for name in ("candidate", "baseline")
        if name in result.variants
    )
    model = result.config.get("model")
    path = model.get("path") if isinstance(model, dict) else None
    title = labels or "optbench run"
    return render(
        title,
        parts,
        about=visible(str(path).rstrip("/").rpartition("/")[2], 120) if isinstance(path, str) else "",
        name=visible(report.name, 200),
        when=visible(result.started_at, 40),
        badges=[banner.decision_badge(result), banner.grade_badge(result.trust)],
        sentence=banner.sentence_of(result),
        gates=banner.gates_table(result.verdict.gates) if result.verdict else None,
        tiles=banner.tiles(result),
        notes=[*(visible(note) for note in result.notes), *map(visible, report.raw.problems)],
    )
