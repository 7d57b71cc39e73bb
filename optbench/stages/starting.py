"""The first start of each variant: what it is, and what a cold start costs."""

from __future__ import annotations

from optbench.components import Artifact
from optbench.config import RunConfig
from optbench.errors import OptbenchError, WorkerError
from optbench.processes.crew import Crew
from optbench.processes.remote_worker import RemoteWorker
from optbench.processes.worker import LoadReport
from optbench.records import KernelReport, replace
from optbench.stages import assemble
from optbench.stages.draft import Draft
from optbench.stages.preparing import threads_of
from optbench.units import format_bytes

COLD_CALLS = 5
"""Calls after the first one that a cold start makes before its peak memory is read."""
SAME_SIZE = 0.03
"""Up to this relative difference the weights' files are no larger or smaller than what was loaded."""


def first_start(config: RunConfig, draft: Draft, crew: Crew, name: str, artifact: Artifact) -> None:
    """What a variant is; in a fresh interpreter also its load, first call, and the memory they take.

    Raises WorkerError if its runtime did not take the thread count it was given.
    """
    variant = config.variants[name]
    cold = config.measure.cold_start
    worker = crew.spawned(name) if cold else crew.fresh(name)
    try:
        running = worker.settle(COLD_CALLS)
        require_threads(name, threads_of(config, variant), worker.report)
        found = assemble.variant_result(variant, artifact, worker.report)
        if cold:
            found = replace(found, cold_start=assemble.cold_start(worker.report, running))
        draft.update(variants={**draft.result.variants, name: found})
        draft.add_cautions(name, [*worker.report.cautions, *size_notes(artifact, worker.report)])
        # a variant that claims to compute in integers, or of which nobody knows
        if variant.artifact is not None or variant.quantization.recipe() is not None:
            draft.variant(name, kernels=kernels_or_reason(worker))
    finally:
        worker.close()


def size_notes(artifact: Artifact, report: LoadReport) -> list[str]:
    """That the weights as loaded, of which sizes and shares are told, are not those of the files."""
    loaded, files = report.weights_bytes, artifact.size_bytes
    if not loaded or not files or abs(loaded / files - 1) <= SAME_SIZE:
        return []
    return [f"its weights take {format_bytes(loaded)} as loaded; on disk {format_bytes(files)}"]


def require_threads(name: str, wanted: int, report: LoadReport) -> None:
    """Raise WorkerError if a runtime did not take the thread count it was given."""
    effective = report.settings["threads"]
    if effective != wanted:
        raise WorkerError(
            f"the {name} runs with {effective} threads although {wanted} were set; the "
            "comparison would not be fair"
        )


def kernels_or_reason(worker: RemoteWorker) -> KernelReport | None:
    """What runs in integer kernels; a look that fails costs its answer and not the run."""
    try:
        return worker.kernels()
    except OptbenchError as error:
        return KernelReport(0, 0, reason=f"the look at the kernels failed: {error}")
