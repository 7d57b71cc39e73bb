"""Artifacts: what is measured, made once, named by what it was made from, checked before each use.

checkpoint -> export -> optimize -> quantize. Every step's entry in the cache is keyed by the hash of
what it read, its settings and the versions of the libraries that made it. `entries` says how entries lie
on disk, and why a killed process leaves none half-made.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from optbench import extensions
from optbench.artifacts import entries
from optbench.artifacts.entries import Damaged, Manifest
from optbench.artifacts.exported import exported_as
from optbench.checkpoint import combined_hash, companions, hash_files, weight_files
from optbench.components import Artifact, Graph, ModelSpec, Quantization
from optbench.errors import FULL, DataError, OptbenchError
from optbench.processes.child import start

EXPORT_LIBRARIES = ("torch", "transformers", "optimum", "optimum-onnx", "onnx")
OPTIMIZE_LIBRARIES = ("onnxruntime", "onnx")
QUANTIZE_LIBRARIES = ("onnxruntime", "onnx")


def versions(names: tuple[str, ...]) -> dict[str, str]:
    """Versions of distributions, without importing them."""
    return {name: metadata.version(name) for name in names}


@dataclass(frozen=True)
class CalibrationRows:
    """Encoded rows that a quantization looks at: where they lie, and what names them."""

    path: Path
    fingerprint: str


@dataclass(frozen=True)
class ArtifactStore:
    """The cache of prepared artifacts; `log` takes what the exporting processes print.

    Entries handed out are kept from being removed until `close`.
    """

    root: Path
    log: Path
    held: contextlib.ExitStack = field(default_factory=contextlib.ExitStack, compare=False)

    def close(self) -> None:
        """Let go of the entries that were handed out."""
        self.held.close()

    def checkpoint(self, spec: ModelSpec) -> Artifact:
        """The checkpoint itself, hashed; nothing is copied."""
        return replace(taken(spec.directory, "transformers"), model=str(spec.directory))

    def existing(self, directory: Path, formats: Sequence[str]) -> Artifact:
        """A directory somebody else prepared, in one of `formats`, taken as it is. Raises DataError."""
        for format in formats:
            if files_of(directory, format) and all(
                file.is_file() for file in hashed_files(directory, format)
            ):
                found = taken(directory.absolute(), format)
                return replace(found, details={"given": True, **exported_as(found)})
        wanted = " or ".join(HOLDS[format] for format in formats)
        raise DataError(
            f"artifact={directory} must be a directory that holds {wanted}; check the path, and "
            "rename files such as model_quantized.onnx or openvino_model.xml accordingly"
        )

    def exported(
        self, source: Artifact, task: str, opset: int | None, trust_remote_code: bool = False
    ) -> Artifact:
        """The checkpoint as ONNX (float32), by optimum's exporter."""
        material = {
            "step": "export",
            "source": source.sha256,
            "tokenizer": tokenizer_hash(source.directory),
            "task": task,
            "opset": opset,
            "versions": versions(EXPORT_LIBRARIES),
        }

        def make(target: Path) -> dict[str, Any]:
            return details_of(
                self.log, "export", "export", source.directory, target, task, opset, trust_remote_code
            )

        return self._entry(material, make, source=source)

    def optimized(self, source: Artifact, graph: Graph) -> Artifact:
        """An ONNX artifact with its graph rewritten, complete with tokenizer and config."""
        material = {
            "step": "optimize",
            "source": source.sha256,
            "recipe": graph.recipe(),
            "versions": versions(OPTIMIZE_LIBRARIES) | extensions.versions_behind([type(graph)]),
        }

        def make(target: Path) -> dict[str, Any]:
            return details_of(self.log, "optimize", "optimize", source.directory, target, graph)

        return after(source, self._entry(material, make, source=source))

    def quantized(
        self, source: Artifact, quantization: Quantization, calibration: CalibrationRows | None = None
    ) -> Artifact:
        """The quantized twin of an artifact, complete with tokenizer and config."""
        material = {
            "step": "quantize",
            "source": source.sha256,
            "recipe": quantization.recipe(),
            "calibration": None if calibration is None else calibration.fingerprint,
            "versions": versions((*QUANTIZE_LIBRARIES, *quantization.packages))
            | extensions.versions_behind([type(quantization)]),
        }
        rows = None if calibration is None else calibration.path

        def make(target: Path) -> dict[str, Any]:
            return details_of(self.log, "quantize", "quantize", source.directory, target, quantization, rows)

        format = quantization.target_format or source.format
        return after(source, self._entry(material, make, format, source))

    def _entry(
        self,
        material: dict[str, Any],
        make: Callable[[Path], dict[str, Any]],
        format: str = "onnx",
        source: Artifact | None = None,
    ) -> Artifact:
        with cache_errors(self.root / entries.FOLDER, material["step"]):
            entry = entries.private_folder(self.root) / entries.key_of(material)
            notes: list[str] = []
            with entries.exclusive(entry):
                try:
                    manifest = entries.verified(entry)
                except Damaged as reason:
                    manifest = None
                    notes = [f"the cache entry {entry.name} was made anew: {reason}"]
                from_cache = manifest is not None
                if manifest is None:
                    manifest = self._make(entry, material, make, format, source)
                entries.touch(entry)
                self.held.enter_context(entries.in_use(entry))
        return replace(artifact_of(entry, format, manifest), from_cache=from_cache, notes=notes)

    def _make(
        self,
        entry: Path,
        material: dict[str, Any],
        make: Callable[[Path], dict[str, Any]],
        format: str,
        source: Artifact | None,
    ) -> Manifest:
        model, history = ("", []) if source is None else (source.model, source.history)
        with entries.staging(entry) as place:
            begun = time.perf_counter()
            try:
                details = make(place)
            except OptbenchError as error:
                if is_full(error, place):
                    raise OSError(errno.ENOSPC, str(error).splitlines()[0]) from error
                raise
            seconds = time.perf_counter() - begun
            if not files_of(place, format):
                raise DataError(f"the {material['step']} step wrote no {HOLDS[format]}; see {self.log}")
            manifest = entries.write_manifest(place, material, details, seconds, model, history)
            entries.put(place, entry)
        return manifest


LITTLE_BYTES = 1 << 20


def is_full(error: OptbenchError, place: Path) -> bool:
    """Whether a step failed for lack of space: native libraries hardly say so, the disk does."""
    told = f"{error}\n{getattr(error, 'details', '')}"
    return any(os.strerror(number) in told for number in FULL) or (
        shutil.disk_usage(place).free < LITTLE_BYTES
    )


@contextlib.contextmanager
def cache_errors(folder: Path, step: str) -> Iterator[None]:
    """Turn what the disk refuses into a DataError that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise DataError(
                f"the disk of the artifact cache {folder} is full, the {step} step could not be written "
                f"({error.strerror}); free space there (optbench cache clear), or set OPTBENCH_CACHE_DIR "
                "to another folder"
            ) from error
        raise DataError(
            f"the artifact cache {folder} cannot be written: {error}; free space there or "
            "set OPTBENCH_CACHE_DIR to another folder"
        ) from error


def after(source: Artifact, made: Artifact) -> Artifact:
    """What was made of `source`, with the steps and facts of both."""
    return replace(
        made,
        step_seconds={**source.step_seconds, **made.step_seconds},
        from_cache=made.from_cache and (source.from_cache or not source.step_seconds),
        details={**source.details, **made.details},
        notes=[*source.notes, *made.notes],
    )


def artifact_of(entry: Path, format: str, manifest: Manifest) -> Artifact:
    """The artifact of an entry that is known to be whole."""
    files = files_of(entry, format)
    return Artifact(
        directory=entry,
        format=format,
        sha256=combined_hash({file.name: manifest.files[file.name] for file in files}),
        size_bytes=sum(file.stat().st_size for file in files),
        details=manifest.details,
        step_seconds={manifest.made_from["step"]: manifest.seconds},
        model=manifest.model,
        history=[*manifest.history, manifest.made_from],
    )


def taken(directory: Path, format: str) -> Artifact:
    """A directory as it is."""
    size = sum(file.stat().st_size for file in files_of(directory, format))
    return Artifact(directory, format, hash_files(hashed_files(directory, format)), size)


def hashed_files(directory: Path, format: str) -> list[Path]:
    """The files that an artifact's hash stands for: those of its format, a checkpoint's config and code."""
    files = files_of(directory, format)
    if format != "transformers":
        return files
    return [*files, directory / "config.json", *directory.glob("*.py")]


def files_of(directory: Path, format: str) -> list[Path]:
    """The files that a format is made of; empty where the directory does not hold it."""
    return FILES[format](directory)


def openvino_files(directory: Path) -> list[Path]:
    """model.xml and model.bin; empty where one of them lacks."""
    files = [directory / "model.xml", directory / "model.bin"]
    return files if all(file.is_file() for file in files) else []


def onnx_files(directory: Path) -> list[Path]:
    """model.onnx and the external data beside it; empty where there is no model.onnx."""
    model = directory / "model.onnx"
    if not model.is_file():
        return []
    return [model, *sorted(directory.glob("model.onnx_data*"), key=lambda file: file.name)]


FILES: dict[str, Callable[[Path], list[Path]]] = {
    "transformers": weight_files,
    "onnx": onnx_files,
    "openvino": openvino_files,
}
HOLDS = {
    "transformers": "a transformers checkpoint",
    "onnx": "model.onnx",
    "openvino": "model.xml and model.bin",
}


def tokenizer_hash(directory: Path) -> str:
    """Hash of the small files that are copied along with a model."""
    files = companions(directory)
    return combined_hash({file.relative_to(directory).as_posix(): hash_files([file]) for file in files})


def details_of(log: Path, name: str, method: str, *args: Any) -> dict[str, Any]:
    """What a step that writes files says of them."""
    details: dict[str, Any] = run_apart(log, name, method, *args)
    return details


def run_apart(log: Path, name: str, method: str, *args: Any) -> Any:
    """Run one preparation step in a process of its own, in a private working directory."""
    child = start(name, "optbench.processes.preparation:Preparer", environment={}, log=log)
    try:
        child.receive()
        return child.call(method, *args)
    finally:
        child.close()
