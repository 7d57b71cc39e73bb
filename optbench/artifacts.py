"""Artifacts: what is measured, made once, named by what it was made from, checked before each use.

checkpoint -> export -> optimize -> quantize. Every step's entry in the cache is keyed by the hash of
what it read, its settings and the versions of the libraries that made it. An entry is written beside its
place and renamed into it, under a lock, so a killed process leaves no half-made entry behind.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from filelock import FileLock

from optbench.checkpoint import hash_files, read_json, weight_files
from optbench.components import Artifact, Graph, ModelSpec, Quantization
from optbench.errors import DataError
from optbench.locations import MANIFEST
from optbench.process import start
from optbench.records import write_atomically

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
    """The cache of prepared artifacts; `log` takes what the exporting processes print."""

    root: Path
    log: Path

    def checkpoint(self, spec: ModelSpec) -> Artifact:
        """The checkpoint itself, hashed; nothing is copied."""
        files = [*weight_files(spec.directory), spec.directory / "config.json"]
        size = sum(file.stat().st_size for file in files[:-1])
        return Artifact(spec.directory, "transformers", hash_files(files), size)

    def existing(self, directory: Path, formats: Sequence[str]) -> Artifact:
        """A directory somebody else prepared, in one of `formats`, taken as it is. Raises DataError."""
        for format in formats:
            if files := files_of(directory, format):
                size = sum(file.stat().st_size for file in files)
                return Artifact(directory, format, hash_files(files), size, {"given": True})
        wanted = " or ".join(HOLDS[format] for format in formats)
        raise DataError(
            f"artifact={directory} must be a directory that holds {wanted}; check the path, and "
            "rename files such as model_quantized.onnx or openvino_model.xml accordingly"
        )

    def exported(self, source: Artifact, task: str, opset: int | None) -> Artifact:
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
            return run_apart(self.log, "export", "export", source.directory, target, task, opset)

        return self._entry(material, make)

    def optimized(self, source: Artifact, graph: Graph) -> Artifact:
        """An ONNX artifact with its graph rewritten, complete with tokenizer and config."""
        material = {
            "step": "optimize",
            "source": source.sha256,
            "recipe": graph.recipe(),
            "versions": versions(OPTIMIZE_LIBRARIES),
        }

        def make(target: Path) -> dict[str, Any]:
            return run_apart(self.log, "optimize", "optimize", source.directory, target, graph)

        return after(source, self._entry(material, make))

    def quantized(
        self, source: Artifact, quantization: Quantization, calibration: CalibrationRows | None = None
    ) -> Artifact:
        """The quantized twin of an artifact, complete with tokenizer and config."""
        material = {
            "step": "quantize",
            "source": source.sha256,
            "recipe": quantization.recipe(),
            "calibration": None if calibration is None else calibration.fingerprint,
            "versions": versions((*QUANTIZE_LIBRARIES, *quantization.packages)),
        }
        rows = None if calibration is None else calibration.path

        def make(target: Path) -> dict[str, Any]:
            return run_apart(self.log, "quantize", "quantize", source.directory, target, quantization, rows)

        return after(source, self._entry(material, make, quantization.target_format or source.format))

    def _entry(
        self, material: dict[str, Any], make: Callable[[Path], dict[str, Any]], format: str = "onnx"
    ) -> Artifact:
        text = json.dumps(material, sort_keys=True)
        key = f"{material['step']}-{hashlib.sha256(text.encode()).hexdigest()[:24]}"
        entry = self.root / "artifacts" / key
        try:
            entry.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{entry}.lock"):
                cached = read_entry(entry, format)
                if cached is not None:
                    return replace(cached, from_cache=True)
                with staging(entry) as place:
                    begun = time.perf_counter()
                    details = make(place)
                    seconds = time.perf_counter() - begun
                    write_manifest(place, material, details, seconds)
                    shutil.rmtree(entry, ignore_errors=True)
                    place.rename(entry)
        except OSError as error:
            raise DataError(
                f"the artifact cache {entry.parent} cannot be written: {error}; free space there or "
                "set OPTBENCH_CACHE_DIR to another folder"
            ) from error
        made = read_entry(entry, format)
        if made is None:
            raise DataError(f"the artifact cache entry {entry} changed while it was read")
        return made


def after(source: Artifact, made: Artifact) -> Artifact:
    """What was made of `source`, with the steps and facts of both."""
    return replace(
        made,
        step_seconds={**source.step_seconds, **made.step_seconds},
        from_cache=made.from_cache and (source.from_cache or not source.step_seconds),
        details={**source.details, **made.details},
    )


@contextlib.contextmanager
def staging(entry: Path) -> Iterator[Path]:
    """A private directory beside `entry`; leftovers of killed processes are removed first."""
    for leftover in entry.parent.glob(f".{entry.name}-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    place = Path(tempfile.mkdtemp(prefix=f".{entry.name}-", dir=entry.parent))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def write_manifest(place: Path, material: dict[str, Any], details: dict[str, Any], seconds: float) -> None:
    """Write what the entry was made from, and the hash of each of its files."""
    files = {file.name: hash_files([file]) for file in sorted(place.iterdir()) if file.is_file()}
    manifest = {"made_from": material, "details": details, "seconds": seconds, "files": files}
    write_atomically(place / MANIFEST, json.dumps(manifest, indent=2).encode())


def read_entry(entry: Path, format: str = "onnx") -> Artifact | None:
    """The artifact of a cache entry whose files still have their hashes; else None."""
    if not (entry / MANIFEST).is_file():
        return None
    try:
        manifest = read_json(entry / MANIFEST)
        for name, expected in manifest["files"].items():
            if hash_files([entry / name]) != expected:
                return None
        files = files_of(entry, format)
        if not files:
            return None
        return Artifact(
            directory=entry,
            format=format,
            sha256=hash_files(files),
            size_bytes=sum(file.stat().st_size for file in files),
            details=manifest["details"],
            step_seconds={manifest["made_from"]["step"]: manifest["seconds"]},
        )
    except (DataError, KeyError, TypeError, AttributeError, OSError):  # a manifest of any other content
        return None


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
    return hash_files([file for file in directory.glob("*.json") if file.is_file()])


def run_apart(log: Path, name: str, method: str, *args: Any) -> dict[str, Any]:
    """Run one preparation step in a process of its own, in a private working directory."""
    child = start(name, "optbench.preparation:Preparer", environment={}, log=log)
    try:
        child.receive()
        details: dict[str, Any] = child.call(method, *args)
        return details
    finally:
        child.close()
