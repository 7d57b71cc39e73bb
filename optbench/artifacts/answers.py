"""What variants answered, kept beside the artifacts: no point of a sweep computes the same answers twice.

Answers follow from the files, the settings, the rows, the libraries and the machine; the key holds all of
them. Timings are never kept.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from optbench import extensions
from optbench.artifacts import entries
from optbench.artifacts.entries import Damaged
from optbench.checkpoint import hash_file
from optbench.components import Component, component_name
from optbench.processes.outputs import Evaluation
from optbench.processes.worker import Assignment

Computed = tuple[float, list[str]]
"""Seconds that the evaluation took, and cautions of the runtime."""


@dataclass(frozen=True)
class Answered:
    """How a variant's outputs came to lie where `Evaluation.output` says. before: by an earlier run."""

    seconds: float
    cautions: list[str]
    before: bool


@dataclass(frozen=True)
class AnswerStore:
    """Outputs by what they follow from; `environment` is the machine and the versions of all libraries.

    model, rows: the checkpoint and how many rows it answers, for those who look into the cache.
    """

    root: Path
    environment: Mapping[str, Any]
    model: str = ""
    rows: int | None = None

    def answer(
        self, assignment: Assignment, plan: Evaluation, parts: int, compute: Callable[[], Computed]
    ) -> Answered:
        """The outputs of a variant on all rows, in `parts` files; computed only if nobody has before.

        A cache that cannot be read or written costs time and nothing else.
        """
        material = self.material(assignment, plan, parts)
        entry = self.root / entries.FOLDER / entries.key_of(material)
        with contextlib.suppress(OSError, Damaged):
            entries.private_folder(self.root)
            with entries.exclusive(entry):
                found = entries.verified(entry)
                if found is not None:
                    for part in range(parts):
                        shutil.copyfile(entry / file_of(part), plan.output(part))
                    entries.touch(entry)
                    return Answered(found.seconds, list(found.details["cautions"]), before=True)
        seconds, cautions = compute()
        with contextlib.suppress(OSError), entries.exclusive(entry), entries.staging(entry) as place:
            for part in range(parts):
                shutil.copyfile(plan.output(part), place / file_of(part))
            details = {"cautions": cautions, "rows": self.rows}
            entries.write_manifest(place, material, details, seconds, self.model)
            entries.put(place, entry)
        return Answered(seconds, cautions, before=False)

    def material(self, assignment: Assignment, plan: Evaluation, parts: int) -> dict[str, Any]:
        """All that decides the answers."""
        options = assignment.options
        parts_of_it = (assignment.backend, options.quantization, plan.task)
        return {
            "step": "answers",
            "source": assignment.artifact.sha256,
            "backend": described(assignment.backend),
            "quantization": None if options.quantization is None else described(options.quantization),
            "graph": options.graph_level,
            "model_class": options.model_class,
            "new_tokens": options.new_tokens,
            "task": described(plan.task),
            "rows": hash_file(plan.rows),
            "batch_size": plan.batch_size,
            "parts": parts,
            "environment": {**self.environment, **extensions.versions_behind(map(type, parts_of_it))},
        }


def file_of(part: int) -> str:
    """The name of one part of the outputs in an entry."""
    return f"part-{part}.npz"


def described(component: Component) -> dict[str, Any]:
    """A component's name and fields in plain JSON types."""
    fields = OmegaConf.to_container(OmegaConf.structured(component), enum_to_str=True)
    return {"name": component_name(component), "fields": fields}
