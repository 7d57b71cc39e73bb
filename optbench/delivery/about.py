"""What is known about a measured model: from its result, its run directory and its own manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from optbench.artifacts import entries
from optbench.artifacts.entries import Damaged, Manifest
from optbench.hub import hub_name
from optbench.records import Record, RunResult, VariantResult
from optbench.reports.card import HUB_NAME, About

ENVIRONMENT_KEYS = ("cpu_model", "cores_available", "memory_bytes", "os", "python", "versions")
"""What of a machine matters to the numbers; its name is nobody's business."""


class HandedOver(Record, frozen=True):
    """optbench.json of a handed-over model: how it was made, what it is, and what was measured.

    made_from, details, seconds, history, made_at: as in the cache entry it comes from. files: SHA-256 of
    each file but this one and the card. sha256: of the files that were measured. apply_at_load: what is
    done to the weights when they are loaded; null where the files are the model.
    """

    made_from: dict[str, Any]
    details: dict[str, Any]
    seconds: float
    files: dict[str, str]
    history: list[dict[str, Any]]
    model: str
    base_model: str | None
    made_at: float
    format: str
    sha256: str
    apply_at_load: dict[str, Any] | None
    measured: dict[str, Any]


def manifest_of(source: Path, found: VariantResult) -> Manifest:
    """The manifest beside the files; of a checkpoint or files given without one, what the result says."""
    try:
        return entries.read_manifest(source)
    except Damaged:
        checkpoint = found.artifact is not None and found.artifact.format == "transformers"
        return Manifest({}, {}, 0.0, {}, model=str(source) if checkpoint else "")


def about_of(result: RunResult, variant: str, manifest: Manifest, name: str, command: str) -> About:
    """Everything a card needs."""
    base = manifest.base_model if HUB_NAME.fullmatch(manifest.base_model or "") else hub_name(manifest.model)
    return About(
        result=result,
        variant=variant,
        name=name,
        command=command,
        base_model=base,
        model_name=base or Path(manifest.model).name or "unknown",
        steps=[*manifest.history, manifest.made_from] if manifest.made_from else [],
        apply_at_load=apply_at_load(result, variant),
    )


def apply_at_load(result: RunResult, variant: str) -> dict[str, Any] | None:
    """Name and settings of a quantization that changes the loaded module, not the files; else null."""
    found = result.variants[variant]
    if found.quantization == "none" or found.artifact is None or found.artifact.format != "transformers":
        return None
    config = result.config if variant == "candidate" else result.config.get("baseline", {})
    return {
        "quantization": found.quantization,
        "settings": config.get("quantization"),
        "backend": found.backend,
        "backend_settings": config.get("backend"),
        "command": f"optbench model=pretrained model.path=THIS_FOLDER backend={found.backend} "
        f"quant={found.quantization}",
    }


def quantization_of(found: VariantResult) -> str:
    """How the files are quantized; of files that were given, what they are known to be, or nothing."""
    details = {} if found.artifact is None else found.artifact.details
    return str(details.get("quantization", "")) if details.get("given") else found.quantization


def handed_over(about: About, manifest: Manifest, files: dict[str, str]) -> HandedOver:
    """The record that lies beside the copy."""
    artifact = about.found.artifact
    return HandedOver(
        made_from=manifest.made_from,
        details=manifest.details or ({} if artifact is None else artifact.details),
        seconds=manifest.seconds,
        files=files,
        history=manifest.history,
        model=about.model_name,
        base_model=about.base_model,
        made_at=manifest.made_at,
        format=about.format,
        sha256="" if artifact is None else artifact.sha256,
        apply_at_load=about.apply_at_load,
        measured=measured(about),
    )


def measured(about: About) -> dict[str, Any]:
    """The result's key numbers, and what they were measured with."""
    result = about.result
    told = {
        "variant": about.variant,
        "optbench_version": result.optbench_version,
        "started_at": result.started_at,
        "command": about.command,
        "environment": {key: result.environment.get(key) for key in ENVIRONMENT_KEYS},
        "verdict": result.verdict,
        "trust": result.trust,
        "timing": result.timing,
        "comparison": result.comparison,
        "dataset": result.dataset,
        "metrics": None if result.quality is None else result.quality.metrics,
        "agreement": None if result.quality is None else result.quality.agreement,
        "variants": {
            name: {
                "backend": one.backend,
                "quantization": quantization_of(one),
                "graph": one.graph,
                "threads": one.threads,
                "runtime": one.runtime,
                "latency": one.latency,
                "throughput": one.throughput,
                "cold_start": one.cold_start,
                "size_bytes": None if one.artifact is None else one.artifact.size_bytes,
                "sha256": None if one.artifact is None else one.artifact.sha256,
            }
            for name, one in result.variants.items()
        },
        "notes": result.notes,
    }
    found: dict[str, Any] = msgspec.to_builtins(told)
    return found
