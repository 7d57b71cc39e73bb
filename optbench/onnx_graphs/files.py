"""ONNX files as quantizers need them: every node named, every tensor typed, large weights kept outside."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from optbench.errors import DataError
from optbench.onnx_graphs.nodes import name_nodes

EXTERNAL_BYTES = 1_500_000_000
"""Weights above this stand beside the model file: protobuf messages end at 2 GiB."""


def save_model(model: Any, path: Path) -> None:
    """Write a model whose weights are in memory; large ones go to `<name>_data` beside it."""
    import onnx

    size = sum(len(item.raw_data) for item in model.graph.initializer)
    if size <= EXTERNAL_BYTES:
        onnx.save(model, str(path))
        return
    onnx.save(
        model,
        str(path),
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location=f"{path.name}_data",
    )


@contextmanager
def scratch() -> Iterator[Path]:
    """A private directory for files on the way; meanwhile onnxruntime's quantizers give no advice."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with tempfile.TemporaryDirectory(prefix="optbench-") as place:
            yield Path(place)
    finally:
        logging.disable(level)


def load_named(source: Path) -> Any:
    """The model file `source` with its weights in memory and each node named. Raises DataError."""
    import onnx

    try:
        model = onnx.load(str(source))
    except Exception as error:  # onnx's and protobuf's errors share no public base class
        raise DataError(f"{source} cannot be read as an ONNX model: {error}") from error
    name_nodes(model.graph)
    return model


def names_of_nodes(source: Path) -> list[str]:
    """Names of the nodes in a model file."""
    import onnx

    return [node.name for node in onnx.load(str(source), load_external_data=False).graph.node]


def prepared(source: Path, place: Path) -> Any:
    """The model file `source` with constants folded, nodes named and tensors typed.

    onnxruntime's quantizers leave out what has no type or whose weight is not an initializer. Symbolic
    shape inference is skipped: it fails on exports of BERT ("Incomplete symbolic shape inference").
    Raises DataError where onnxruntime cannot read the file.
    """
    import onnx
    from onnxruntime.quantization.shape_inference import quant_pre_process

    folded = place / "folded.onnx"
    try:
        large = sum(file.stat().st_size for file in source.parent.glob(f"{source.name}*")) > EXTERNAL_BYTES
        quant_pre_process(
            str(source), str(folded), skip_symbolic_shape=True, save_as_external_data=large, verbose=0
        )
        model = onnx.load(str(folded))
    except Exception as error:  # neither onnx nor onnxruntime has a public base class of its errors
        raise DataError(f"{source} cannot be prepared for quantization: {error}") from error
    name_nodes(model.graph)
    add_types(model, place)
    return model


def add_types(model: Any, place: Path) -> None:
    """Add the type and shape of each intermediate tensor that has none, as onnxruntime infers them.

    ONNX's own inference stops at operators of onnxruntime, such as a fused attention.
    """
    import onnx
    import onnxruntime

    known = {item.name for item in (*model.graph.value_info, *model.graph.output, *model.graph.input)}
    lacking = [name for node in model.graph.node for name in node.output if name and name not in known]
    if not lacking:
        return
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    probe.graph.output.extend(onnx.ValueInfoProto(name=name) for name in lacking)
    path = place / "probe.onnx"
    save_model(probe, path)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    for item in session.get_outputs():
        if item.name in lacking and item.type in ELEMENT_TYPES:
            kind = getattr(onnx.TensorProto, ELEMENT_TYPES[item.type])
            model.graph.value_info.append(onnx.helper.make_tensor_value_info(item.name, kind, item.shape))


ELEMENT_TYPES = {
    "tensor(float)": "FLOAT",
    "tensor(float16)": "FLOAT16",
    "tensor(double)": "DOUBLE",
    "tensor(int64)": "INT64",
    "tensor(int32)": "INT32",
    "tensor(int8)": "INT8",
    "tensor(uint8)": "UINT8",
    "tensor(bool)": "BOOL",
}


def floating_tensors(graph: Any) -> set[str]:
    """Names of computed tensors in floating point."""
    import onnx

    items = (*graph.value_info, *graph.output, *graph.input)
    kinds = {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16}
    found = {item.name for item in items if item.type.tensor_type.elem_type in kinds}
    return found - {item.name for item in graph.initializer}
