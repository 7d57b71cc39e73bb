"""The model card of a handed-over model: metadata for the hub, and a section on what was measured."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optbench.judgement.verdict import change
from optbench.records import Estimate, MetricResult, RunResult, VariantResult
from optbench.reports.escape import LONGEST, fenced, markdown, one_line
from optbench.reports.gates import gate_line
from optbench.reports.parts import end_to_end_rows
from optbench.reports.remarks import note_lines
from optbench.reports.run_table import Row, footprint_rows, generation_rows, label, quotient, server_rows
from optbench.units import format_rate, format_ratio, format_seconds, format_share

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

BEGIN, END = "<!-- optbench: measured -->", "<!-- optbench: end -->"
LIBRARIES = {"transformers": "transformers", "onnx": "optimum", "openvino": "optimum"}
LOADERS = {
    "transformers": ("transformers", "AutoModel"),
    "onnx": ("optimum.onnxruntime", "ORTModel"),
    "openvino": ("optimum.intel", "OVModel"),
}
HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
METRIC_TYPES = ("f1", "precision", "recall", "accuracy")


@dataclass(frozen=True)
class About:
    """What a card tells of.

    name: of the copy. base_model: hub name of the checkpoint, if it has one; model_name: that, or its
    folder's. command: how to measure again. steps: what each preparation step read and did.
    apply_at_load: what is done to the weights when they are loaded; null where the files are the model.
    """

    result: RunResult
    variant: str
    name: str
    command: str
    base_model: str | None
    model_name: str
    steps: list[dict[str, Any]]
    apply_at_load: dict[str, Any] | None

    @property
    def found(self) -> VariantResult:
        """What was found about the variant."""
        return self.result.variants[self.variant]

    @property
    def format(self) -> str:
        """Format of its files."""
        return "transformers" if self.found.artifact is None else self.found.artifact.format

    @property
    def task(self) -> str | None:
        """The task's name, which is the hub's too."""
        return named(self.result.config, "task")


def card_text(about: About, original: str = "") -> str:
    """README.md: the checkpoint's own metadata and text, completed with what was measured."""
    from huggingface_hub import ModelCardData

    metadata, body = parse(original)
    for replaced in ("model-index", "eval_results", "model_name"):
        metadata.pop(replaced, None)  # those numbers belong to the weights before
    quantized = about.found.quantization != "none"
    tags = metadata.get("tags")
    formats = [] if about.format == "transformers" else [about.format]
    metadata["tags"] = list(
        dict.fromkeys(
            [*(tags if isinstance(tags, list) else []), *formats, *["quantized"] * quantized, "optbench"]
        )
    )
    metadata["library_name"] = LIBRARIES[about.format]
    if about.base_model is not None:
        metadata["base_model"] = about.base_model
        if quantized:
            metadata["base_model_relation"] = "quantized"
    if about.task is not None:
        metadata.setdefault("pipeline_tag", about.task)
    if results := eval_results(about):
        metadata |= {"eval_results": results, "model_name": one_line(about.name, LONGEST)}
        metadata["metrics"] = list(dict.fromkeys(item.metric_type for item in results))
    data = ModelCardData(ignore_metadata_errors=True, **metadata)
    body = body.strip() or f"# {markdown(about.name, LONGEST)}"
    return f"---\n{data.to_yaml()}\n---\n\n{body}\n\n{section(about)}\n"


def parse(original: str) -> tuple[dict[str, Any], str]:
    """Metadata and text of a card, without what optbench once added; unreadable metadata is dropped."""
    import yaml
    from huggingface_hub.repocard import REGEX_YAML_BLOCK

    metadata: Any = {}
    if match := REGEX_YAML_BLOCK.search(original):
        original = original[match.end() :]
        try:
            metadata = yaml.safe_load(match.group(2))
        except (yaml.YAMLError, ValueError, RecursionError):
            metadata = None
    begin, rest = original.partition(BEGIN)[::2]
    text = begin + rest.partition(END)[2]
    usable = isinstance(metadata, dict) and all(isinstance(key, str) for key in metadata)
    return (dict(metadata) if usable else {}), text


def eval_results(about: About) -> list[EvalResult]:
    """The metrics of the variant as the hub's model-index takes them."""
    from huggingface_hub import EvalResult

    quality, dataset = about.result.quality, about.result.dataset
    if quality is None or dataset is None or about.task is None:
        return []
    found = []
    for metric in quality.metrics:
        value = metric.candidate if about.variant == "candidate" else metric.baseline
        if value is None:
            continue
        name = one_line(metric.name, LONGEST)
        kind = next((known for known in METRIC_TYPES if name.startswith(known)), name)
        found.append(
            EvalResult(
                task_type=about.task,
                dataset_type=one_line(dataset_name(dataset.path), LONGEST),
                dataset_name=one_line(dataset_name(dataset.path), LONGEST),
                dataset_config=None if dataset.name is None else one_line(dataset.name, LONGEST),
                dataset_split=one_line(dataset.split, LONGEST),
                dataset_args={"rows": quality.rows},
                metric_type=kind,
                metric_value=value,
                metric_name=name,
            )
        )
    return found


def dataset_name(path: str) -> str:
    """A hub name as it is; of a path, the last part."""
    return path if HUB_NAME.fullmatch(path) and not path.startswith(".") else Path(path).name or "local"


def named(config: dict[str, Any], part: str) -> str | None:
    """The name of a chosen part, if it is one."""
    chosen = config.get("chosen")
    name = chosen.get(part) if isinstance(chosen, dict) else None
    return name if isinstance(name, str) and re.fullmatch(r"[\w-]+", name) else None


def section(about: About) -> str:
    """What was measured, between two marks, so that it can be replaced later."""
    result = about.result
    parts = [BEGIN, "## Measured by optbench"]
    if result.verdict is not None:
        parts.append(f"**Answer:** {markdown(result.verdict.sentence)}")
        if result.verdict.gates:
            parts.append("\n".join(f"- {markdown(gate_line(gate))}" for gate in result.verdict.gates))
    parts.append(f"These files are the **{about.variant}** of the comparison. {conditions(result)}")
    parts.append(table(rows(result)))
    if result.trust is not None:
        reasons = "; ".join(markdown(reason, None) for reason in result.trust.reasons)
        parts.append(
            f"**Grade of the measurement:** {result.trust.grade}" + (f" ({reasons})" if reasons else "")
        )
    notes = [line.removeprefix("note: ") for line in note_lines(result)]
    parts += [f"**Note:** {markdown(note)}" for note in notes]
    parts += ["### How it was made", made(about)]
    if loading := how_to_load(about):
        parts += ["### How to load it", loading]
    again = ["### How to measure it again", fenced(about.command, "bash")] if about.command else []
    parts += [*again, END]
    return "\n\n".join(parts)


def conditions(result: RunResult) -> str:
    """Where, when and at which shape it was measured."""
    environment, timing = result.environment, result.timing
    threads = result.variants["candidate"].threads
    where = [
        f"{environment.get('cpu_model') or 'an unknown CPU'}",
        f"{threads} thread{'' if threads == 1 else 's'}",
        f"{environment.get('os') or 'an unknown system'}",
    ]
    if timing is not None:
        length = "" if timing.input_length is None else f" x {timing.input_length} tokens"
        length += " from raw rows to answers" if timing.scope == "end_to_end" else ""
        where.insert(0, f"batch {timing.batch_size}{length}")
        where.append(f"{timing.replicates} replicate{'' if timing.replicates == 1 else 's'}")
    where.append(f"optbench {result.optbench_version}, {result.started_at}")
    return f"Conditions: {markdown(', '.join(where))}."


def table(found: list[Row]) -> str:
    """A Markdown table."""
    lines = ["| | baseline | candidate | change |", "|---|---:|---:|---:|"]
    return "\n".join(lines + ["| " + " | ".join(map(markdown, row)) + " |" for row in found])


def rows(result: RunResult) -> list[Row]:
    """Speed, footprint and answers of both, each with its interval where it has one."""
    one, two = (result.variants[name] for name in ("baseline", "candidate"))
    found: list[Row] = [("runtime", label(one), label(two), "")]
    if one.latency is not None and two.latency is not None and result.comparison is not None:
        means = (one.latency.mean_seconds, two.latency.mean_seconds)
        speed = with_interval(result.comparison.speedup, format_ratio, " as fast")
        found.append(("latency, mean", *map(format_seconds, means), speed))
        for first, second in zip(one.latency.percentiles, two.latency.percentiles, strict=False):
            if first.seconds is not None and second.seconds is not None:
                cells = (format_seconds(first.seconds), format_seconds(second.seconds))
                gain = quotient(first.seconds, second.seconds)
                found.append((f"latency, p{first.q * 100:g}", *cells, gain))
    if one.throughput is not None and two.throughput is not None:
        rates = [item.throughput.samples_per_second.value for item in (one, two) if item.throughput]
        found.append(("samples per second", *map(format_rate, rates), quotient(rates[1], rates[0])))
    found += generation_rows(result) + end_to_end_rows(result) + server_rows(result)
    return found + footprint_rows(result) + quality_rows(result)


def quality_rows(result: RunResult) -> list[Row]:
    """Metrics with their paired difference, and how many answers stay the same."""
    quality = result.quality
    if quality is None:
        return []
    found: list[Row] = [
        (
            f"{metric.name} on {quality.rows:,} rows",
            plain(metric.baseline),
            plain(metric.candidate),
            moved(metric),
        )
        for metric in quality.metrics
    ]
    if quality.agreement is not None:
        found.append(("same answers", "", with_interval(quality.agreement, format_share), ""))
    return found


def moved(metric: MetricResult) -> str:
    """The difference of a metric, or why there is none."""
    return change(metric) if metric.difference is not None else metric.reason or ""


def plain(value: float | None) -> str:
    """A metric with four decimals."""
    return "–" if value is None else f"{value:.4f}"


def with_interval(estimate: Estimate, form: Callable[[float], str], ending: str = "") -> str:
    """An estimate and its interval, or why it has none."""
    value = f"{form(estimate.value)}{ending}"
    if estimate.interval is None:
        return f"{value} (no interval: {estimate.reason or 'a quick look'})"
    low, high = form(estimate.interval.low), form(estimate.interval.high)
    return f"{value} ({estimate.interval.level:.0%} interval {low} to {high})"


def made(about: About) -> str:
    """From which checkpoint, by which steps, with which hash."""
    artifact = about.found.artifact
    lines = [f"- From the checkpoint {markdown(about.model_name, LONGEST)}."]
    for step in about.steps:
        told = {
            key: value
            for key, value in step.items()
            if key in ("task", "opset", "recipe", "versions") and value
        }
        lines.append(f"- {markdown(str(step.get('step', 'step')))}: {markdown(json.dumps(told))}")
    if artifact is not None:
        lines.append(
            f"- SHA-256 of the measured files (`optbench.json` has each): {markdown(artifact.sha256)}"
        )
    if about.apply_at_load is not None:
        name = markdown(about.apply_at_load["quantization"])
        lines.append(
            f"- **These are the checkpoint's own weights: {name} is applied in memory when they are "
            "loaded.** Loaded without it, this is not the model that was measured. Its settings:"
        )
        lines += ["", fenced(json.dumps(about.apply_at_load, indent=2), "json")]
    return "\n".join(lines)


def how_to_load(about: About) -> str:
    """Code that loads the files; empty where no class is known, or loading alone is not enough."""
    automatic = named(about.result.config, "model_class")
    if about.apply_at_load is not None or automatic is None or not automatic.startswith("AutoModel"):
        return ""
    module, prefix = LOADERS[about.format]
    kind = automatic.removeprefix("AutoModel")
    if about.format != "transformers":
        kind = kind or "ForFeatureExtraction"
    name = f"{prefix}{kind}"
    return fenced(
        f'from {module} import {name}\n\nmodel = {name}.from_pretrained("path/to/this/folder")', "python"
    )
