"""The artifact cache as a plan sees it: what a run would find there, what it would make, and at what cost."""

from __future__ import annotations

import contextlib
import json
import math
import statistics
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from optbench.artifacts import entries
from optbench.artifacts.cache import entries_in, recipe_words
from optbench.artifacts.entries import Damaged, Manifest
from optbench.artifacts.store import ArtifactStore, CalibrationRows, artifact_of
from optbench.checkpoint import weight_files
from optbench.components import Artifact, Quantization
from optbench.hub import hub_name

ANY_ROWS = "any"
"""Stands for the fingerprint of calibration rows, which nobody knows before they are drawn."""
ASSUMED_SECONDS = {"export": 20.0, "optimize": 10.0, "quantize": 20.0}
"""Of a step on a model of up to 100 MB, and in proportion beyond, where no earlier one tells."""
ASSUMED_FOR_BYTES = 100e6
FLOAT32_BYTES = 4
LARGEST_HEADER_BYTES = 100_000_000

State = Literal["found", "likely", "made"]


@dataclass(frozen=True)
class Step:
    """An entry of the cache that a run needs.

    state: found, likely (if the same calibration rows are drawn again), or made by the run.
    size_bytes: of its files; of one to be made the most it may take. seconds: to make it; 0 where it is
    found. assumed: whether `seconds` is a guess rather than taken from earlier entries.
    """

    step: str
    model: str
    recipe: str
    state: State
    size_bytes: int
    seconds: float
    assumed: bool = False


@dataclass(frozen=True)
class Lookup(ArtifactStore):
    """Finds what is there and makes nothing; `steps` collects what was asked for, by key."""

    steps: dict[str, Step] = field(default_factory=dict, compare=False)

    def quantized(
        self, source: Artifact, quantization: Quantization, calibration: CalibrationRows | None = None
    ) -> Artifact:
        """As ArtifactStore; calibration rows need not be known."""
        if quantization.calibration_rows():
            calibration = CalibrationRows(Path(), ANY_ROWS)
        return super().quantized(source, quantization, calibration)

    def _entry(
        self,
        material: dict[str, Any],
        make: Callable[[Path], dict[str, Any]],
        format: str = "onnx",
        source: Artifact | None = None,
    ) -> Artifact:
        """The artifact of an entry; a stand-in of the most bytes it may take where there is none."""
        found = self._found(material)
        if found is not None:
            entry, manifest = found
            artifact = replace(artifact_of(entry, format, manifest), from_cache=True)
            state: State = "likely" if material.get("calibration") == ANY_ROWS else "found"
            self._note(material, artifact, state)
            return artifact
        key, size = entries.key_of(material), 0
        if source is not None:
            from_checkpoint = source.format == "transformers"
            size = float32_bytes(source.directory) if from_checkpoint else source.size_bytes
        seconds = earlier_seconds(self.manifests(material["step"]), material, size)
        model = source.model if source is not None else ""
        artifact = Artifact(self.root / entries.FOLDER / key, format, f"not made: {key}", size, model=model)
        self._note(material, artifact, "made", seconds)
        return artifact

    def _note(
        self, material: dict[str, Any], artifact: Artifact, state: State, seconds: float | None = None
    ) -> None:
        step, assumed = material["step"], state == "made" and seconds is None
        if assumed:
            seconds = ASSUMED_SECONDS.get(step, 0.0) * max(1.0, artifact.size_bytes / ASSUMED_FOR_BYTES)
        model = hub_name(artifact.model) or Path(artifact.model).name or "?"
        self.steps[entries.key_of(material)] = Step(
            step, model, recipe_words(material), state, artifact.size_bytes, seconds or 0.0, assumed
        )

    def _found(self, material: dict[str, Any]) -> tuple[Path, Manifest] | None:
        """The whole entry that is made from `material`, on any calibration rows if they are not known."""
        if material.get("calibration") != ANY_ROWS:
            entry = self.root / entries.FOLDER / entries.key_of(material)
            with contextlib.suppress(Damaged):
                manifest = entries.verified(entry)
                return None if manifest is None else (entry, manifest)
            return None
        for entry, manifest in self.manifests(material["step"]):
            calibration = manifest.made_from.get("calibration")
            if calibration and manifest.made_from == {**material, "calibration": calibration}:
                with contextlib.suppress(Damaged):
                    entries.verified(entry)
                    return entry, manifest
        return None

    def manifests(self, step: str) -> Iterator[tuple[Path, Manifest]]:
        """Entries of one kind with what they say of themselves."""
        folder = self.root / entries.FOLDER
        for entry in entries_in(folder if folder.is_dir() else None):
            if entry.name.startswith(f"{step}-"):
                with contextlib.suppress(Damaged):
                    yield entry, entries.read_manifest(entry)


def earlier_seconds(
    earlier: Iterable[tuple[Path, Manifest]], material: dict[str, Any], size_bytes: int
) -> float | None:
    """Median seconds of earlier steps with the same approach, as if their models had `size_bytes`.

    A smaller model is taken to need as long as the earlier ones: starting the libraries takes most of it.
    Null without any.
    """
    found = []
    for entry, manifest in earlier:
        if approach_of(manifest.made_from) != approach_of(material):
            continue
        own = sum(file.stat().st_size for file in entry.glob("model.*") if file.is_file())
        found.append(manifest.seconds * max(1.0, size_bytes / own if own else 1.0))
    return statistics.median(found) if found else None


def approach_of(material: dict[str, Any]) -> Any:
    """What names the way of a step, apart from its settings."""
    recipe = material.get("recipe")
    return recipe.get("approach") if isinstance(recipe, dict) else recipe


def float32_bytes(directory: Path) -> int:
    """Bytes that the weights of a checkpoint take in float32.

    Counted from the headers of safetensors files; the files' own size where there are none.
    """
    total = 0
    for file in weight_files(directory):
        count = parameter_count(file)
        total += file.stat().st_size if count is None else FLOAT32_BYTES * count
    return total


def parameter_count(file: Path) -> int | None:
    """Elements of all tensors of a safetensors file, from its header; null for other files.

    The format: 8 bytes, little-endian, hold the length of a JSON header with each tensor's shape.
    """
    if file.suffix != ".safetensors":
        return None
    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if length > LARGEST_HEADER_BYTES:
                return None
            header = json.loads(stream.read(length))
        shapes = [one["shape"] for name, one in header.items() if name != "__metadata__"]
        return int(sum(math.prod(shape) for shape in shapes))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
