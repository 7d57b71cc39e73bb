"""Preparation steps that load heavy libraries; they run in a process of their own."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optbench.checkpoint import require_all_weights
from optbench.components import Graph, Quantization
from optbench.errors import DataError
from optbench.locations import MANIFEST
from optbench.ragged import load_table

if TYPE_CHECKING:
    from optbench.sensitivity import Part

COMPANIONS = ("*.json", "*.txt", "*.model")


class Preparer:
    """Lives in a preparation process."""

    def export(self, source: Path, target: Path, task: str, opset: int | None) -> dict[str, Any]:
        """Write `source` as ONNX with optimum's exporter. Raises DataError."""
        from optimum.exporters.onnx import main_export

        warnings.filterwarnings("ignore")
        try:
            require_trained(source, task)
            main_export(
                str(source),
                output=target,
                task=task,
                opset=opset,
                dtype="fp32",
                do_validation=False,
                local_files_only=True,
            )
        except (ValueError, KeyError, NotImplementedError, RuntimeError) as error:
            raise DataError(f"{source} cannot be exported to ONNX: {error}") from error
        return {"opset": opset_of(target / "model.onnx")}

    def optimize(self, source: Path, target: Path, graph: Graph) -> dict[str, Any]:
        """Write `source` with its graph rewritten, with the files that belong to the model."""
        with private_directory():
            details = graph.apply(source, target)
        copy_companions(source, target)
        return details

    def quantize(
        self, source: Path, target: Path, quantization: Quantization, calibration: Path | None
    ) -> dict[str, Any]:
        """Write the quantized twin of `source`, with the files that belong to the model."""
        rows = [] if calibration is None else load_table(calibration)
        with private_directory():
            details = quantization.apply(source, target, rows)
        copy_companions(source, target)
        return details

    def rank(
        self,
        source: Path,
        quantization: Quantization,
        calibration: Path | None,
        rows: Path,
        limits: tuple[int, float],
    ) -> list[Part]:
        """Parts of the graph by the harm that quantizing them alone does; limits: rows, seconds."""
        from optbench.sensitivity import rank

        count, seconds = limits
        seen = [] if calibration is None else load_table(calibration)
        with private_directory():
            return rank(source, quantization, seen, load_table(rows)[:count], seconds)


def copy_companions(source: Path, target: Path) -> None:
    """Copy what belongs to a model beside its weights: config, tokenizer, image processor."""
    for pattern in COMPANIONS:
        for file in source.glob(pattern):
            if file.name != MANIFEST:
                shutil.copy2(file, target / file.name)


def require_trained(source: Path, task: str) -> None:
    """Raise DataError where the exporter would fill in weights that the checkpoint lacks."""
    from optimum.exporters.tasks import TasksManager

    model_class = TasksManager.get_model_class_for_task(task, framework="pt", library="transformers")
    _, loading = model_class.from_pretrained(source, local_files_only=True, output_loading_info=True)
    require_all_weights(source, model_class.__name__, loading["missing_keys"])


def opset_of(model: Path) -> int:
    """The version of the default operator set that a model file declares."""
    import onnx

    imports = onnx.load(str(model), load_external_data=False).opset_import
    return next(int(item.version) for item in imports if item.domain in ("", "ai.onnx"))


@contextlib.contextmanager
def private_directory() -> Iterator[None]:
    """Work in a fresh directory: onnxruntime's quantizers leave files in the current one."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="optbench-") as place:
        os.chdir(place)
        try:
            yield
        finally:
            os.chdir(before)
