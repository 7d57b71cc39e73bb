"""An ONNX model turned into OpenVINO's files by something NNCF does to it."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

from optbench.errors import DataError

REFUSALS = (
    "InternalError",
    "InvalidGroupSizeError",
    "ParameterNotSupportedError",
    "UnsupportedModelError",
    "ValidationError",
)
"""What NNCF raises where it cannot handle a model or a setting."""


def write(source: Path, target: Path, change: Callable[[Any, Any], Any]) -> Any:
    """The model of source/model.onnx, changed and written to target/model.xml and model.bin.

    change: takes the module nncf and the model, and gives the changed model. Floating-point constants
    stay in 32 bits. Raises DataError where OpenVINO or NNCF cannot do it.
    """
    importlib.import_module("optbench.runtimes.quiet_openvino")  # before nncf, which imports openvino itself
    import nncf
    import openvino

    nncf.set_log_level(logging.WARNING)
    refusals = (RuntimeError, ValueError, *(getattr(nncf, name) for name in REFUSALS))
    file = source / "model.onnx"
    try:
        model = openvino.convert_model(file)
    except Exception as error:  # its errors share no other base
        raise DataError(f"{file} cannot be read by OpenVINO: {error}") from error
    try:
        changed = change(nncf, model)
    except refusals as error:
        raise DataError(f"{file} cannot be quantized by NNCF: {error}") from error
    openvino.save_model(changed, target / "model.xml", compress_to_fp16=False)
    return changed


def versions(packages: tuple[str, ...]) -> dict[str, str]:
    """Versions of the packages that made the file."""
    return {name: metadata.version(name) for name in packages}
