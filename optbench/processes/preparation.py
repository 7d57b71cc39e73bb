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

from optbench.checkpoint import companions, papers, require_all_weights, unloadable
from optbench.components import Graph, Quantization
from optbench.errors import DataError
from optbench.rows.ragged import load_table

if TYPE_CHECKING:
    from optbench.onnx_graphs.sensitivity import Part


class Preparer:
    """Lives in a preparation process."""

    def export(
        self, source: Path, target: Path, task: str, opset: int | None, trust_remote_code: bool = False
    ) -> dict[str, Any]:
        """Write `source` as ONNX with optimum's exporter. Raises DataError."""
        from optimum.exporters.onnx import main_export

        warnings.filterwarnings("ignore")
        try:
            require_trained(source, task, trust_remote_code)
            with private_directory(target.parent):
                main_export(
                    str(source),
                    output=target,
                    task=task,
                    opset=opset,
                    dtype="fp32",
                    do_validation=False,
                    local_files_only=True,
                    trust_remote_code=trust_remote_code,
                )
        except (ValueError, KeyError, NotImplementedError, RuntimeError) as error:
            raise DataError(f"{source} cannot be exported to ONNX: {error}") from error
        copy_companions(source, target)
        return {"opset": opset_of(target / "model.onnx")}

    def optimize(self, source: Path, target: Path, graph: Graph) -> dict[str, Any]:
        """Write `source` with its graph rewritten, with the files that belong to the model."""
        with private_directory(target.parent):
            details = graph.apply(source, target)
        copy_companions(source, target)
        return details

    def quantize(
        self, source: Path, target: Path, quantization: Quantization, calibration: Path | None
    ) -> dict[str, Any]:
        """Write the quantized twin of `source`, with the files that belong to the model."""
        rows = [] if calibration is None else load_table(calibration)
        with private_directory(target.parent):
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
        from optbench.onnx_graphs.sensitivity import rank

        count, seconds = limits
        seen = [] if calibration is None else load_table(calibration)
        with private_directory(rows.parent):
            return rank(source, quantization, seen, load_table(rows)[:count], seconds)


def copy_companions(source: Path, target: Path) -> None:
    """Copy what belongs to a model beside its weights, unless the step has written its own."""
    for file in [*companions(source), *papers(source)]:
        copy = target / file.relative_to(source)
        if not copy.exists():
            copy.parent.mkdir(exist_ok=True)
            shutil.copyfile(file, copy)


def require_trained(source: Path, task: str, trust_remote_code: bool = False) -> None:
    """Raise DataError where weights cannot be read, or the exporter would fill in those that lack."""
    from optimum.exporters.tasks import TasksManager
    from safetensors import SafetensorError

    model_class = TasksManager.get_model_class_for_task(task, framework="pt", library="transformers")
    try:
        _, loading = model_class.from_pretrained(
            source, local_files_only=True, output_loading_info=True, trust_remote_code=trust_remote_code
        )
    except (OSError, SafetensorError) as error:
        raise unloadable(source, error) from error
    require_all_weights(source, model_class.__name__, loading["missing_keys"])


def opset_of(model: Path) -> int:
    """The version of the default operator set that a model file declares."""
    import onnx

    imports = onnx.load(str(model), load_external_data=False).opset_import
    return next(int(item.version) for item in imports if item.domain in ("", "ai.onnx"))


@contextlib.contextmanager
def private_directory(parent: Path) -> Iterator[None]:
    """Work in a fresh directory below `parent`, and keep temporary files there too.

    onnxruntime's quantizers leave files in the current directory, and a killed process leaves its
    temporary ones: below the directory of the entry being made, they go with it.
    """
    before, temporary = Path.cwd(), tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix="optbench-", dir=parent) as place:
        os.chdir(place)
        tempfile.tempdir = place
        try:
            yield
        finally:
            tempfile.tempdir = temporary
            os.chdir(before)
