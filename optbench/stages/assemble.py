"""Records from what the processes reported: no process is started here, and nothing is timed."""

from __future__ import annotations

from collections.abc import Mapping

from optbench.components import Artifact, component_name
from optbench.config import InputSource, RunConfig, Scope, Start, Variant
from optbench.measure import phases, statistics
from optbench.measure.procedure import Measured
from optbench.processes.worker import LoadReport
from optbench.records import (
    ArtifactRecord,
    ColdStart,
    Comparison,
    Preparation,
    TimingRecord,
    VariantResult,
)


def variant_result(variant: Variant, artifact: Artifact, report: LoadReport) -> VariantResult:
    """A variant as known after its first start."""
    seconds = artifact.step_seconds
    return VariantResult(
        backend=component_name(variant.backend),
        quantization=component_name(variant.quantization),
        label=variant.title(artifact.details.get("quantization")),
        graph=variant.graph.level,
        threads=report.settings["threads"],
        runtime=report.settings,
        artifact=ArtifactRecord(
            path=str(artifact.directory),
            format=artifact.format,
            sha256=artifact.sha256,
            size_bytes=report.weights_bytes or artifact.size_bytes,
            details=artifact.details,
        ),
        preparation=Preparation(
            export_seconds=seconds.get("export"),
            optimize_seconds=seconds.get("optimize"),
            quantize_seconds=seconds.get("quantize"),
            from_cache=artifact.from_cache,
        ),
    )


def cold_start(report: LoadReport, highest_bytes: int | None) -> ColdStart:
    """Seconds and memory of a fresh interpreter; `highest_bytes` is its peak after some calls."""
    memory = report.memory
    peaks = [peak for peak in (memory.peak_loading, highest_bytes) if peak is not None]
    return ColdStart(
        import_seconds=report.import_seconds,
        load_seconds=report.load_seconds,
        first_call_seconds=report.first_call_seconds,
        compile_seconds=report.compile_seconds,
        compiled_before=report.compiled_before,
        memory_after_import_bytes=memory.after_import,
        memory_after_load_bytes=memory.after_load,
        peak_memory_bytes=max(peaks, default=None),
        peak_running_memory_bytes=highest_bytes if memory.reset else None,
        memory_reason=None if peaks else "this system does not tell a process its memory",
    )


def timing_record(config: RunConfig, measured: Measured, start: Start) -> TimingRecord:
    """How the timing was done, and why it ended. Whole answers are timed on rows of any length."""
    whole = config.measure.scope is Scope.end_to_end
    return TimingRecord(
        scenario=config.measure.scenario.value,
        processes=config.measure.processes,
        batch_size=config.batch_size,
        input_length=config.input_length if config.task.has_length and not whole else None,
        inputs=(InputSource.dataset if whole else config.measure.inputs).value,
        seed=config.seed,
        replicates=len(measured.samples.replicates()),
        start=start.value,
        wait_policy=config.measure.wait_policy.value,
        calls_per_block=dict(measured.calls_per_block),
        stopped_by=measured.stopped_by or "failure",
        measuring_seconds=measured.measuring_seconds,
        starting_seconds=measured.starting_seconds,
        new_tokens=config.task.generated_tokens,
        scope=config.measure.scope.value,
    )


def comparison(measured: Measured, variants: Mapping[str, VariantResult]) -> Comparison:
    """The candidate against the baseline."""
    samples = measured.samples
    wall = statistics.log_ratios(samples, "baseline", "candidate")
    cpu = statistics.log_ratios(samples, "baseline", "candidate", clock="cpu")
    one, two = variants["baseline"], variants["candidate"]
    new_tokens = None if one.generation is None else one.generation.new_tokens
    parts = phases.speedups(samples, "baseline", "candidate", new_tokens)
    return Comparison(
        first_token_speedup=parts.first_token,
        per_output_token_speedup=parts.per_output_token,
        model_speedup=phases.model_speedup(samples, "baseline", "candidate"),
        speedup=statistics.ratio_estimate(wall),
        cpu_speedup=statistics.ratio_estimate(cpu),
        size_ratio=ratio(two.size_bytes, one.size_bytes),
        peak_memory_ratio=ratio(two.peak_memory_bytes, one.peak_memory_bytes),
        replicate_log_ratios=wall,
        replicate_cpu_log_ratios=cpu,
    )


def ratio(part: float | None, whole: float | None) -> float | None:
    """part / whole where both are known and neither is zero."""
    return part / whole if part and whole else None
