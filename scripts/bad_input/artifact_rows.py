"""Prepared models that are given with artifact=."""

from __future__ import annotations

from bad_input.files import folder, model, rows, text
from bad_input.row import Make, Row, row

BASE = (
    "-q baseline=fake measure=quick measure.start=spawn quant=none model=pretrained model.path=model "
    "dataset=labelled dataset.path=rows.jsonl"
)


def given(options: str, *words: str, files: tuple[Make, ...] = ()) -> Row:
    """A row about an artifact beside a whole model and rows."""
    return row(f"{BASE} {options}", *words, files=(model, rows, *files))


ROWS: list[Row] = [
    given("backend=onnxruntime artifact=./none", "artifact=./none", "must be a directory", "model.onnx"),
    given("backend=onnxruntime artifact=rows.jsonl", "artifact=rows.jsonl", "must be a directory"),
    given("backend=onnxruntime artifact=empty", "artifact=empty", "model.onnx", files=(folder("empty"),)),
    given(
        "backend=onnxruntime artifact=made",
        "artifact=made",
        "model_quantized.onnx",
        "rename",
        files=(text("made/model_quantized.onnx", "x"),),
    ),
    given("backend=onnxruntime artifact=model", "artifact=model", "model.onnx"),
    given(
        "backend=openvino artifact=made",
        "artifact=made",
        "model.xml and model.bin",
        files=(text("made/model.xml", "<net/>"),),
    ),
    given(
        "backend=openvino artifact=made",
        "artifact=made",
        "model.xml and model.bin",
        files=(text("made/model.bin", "x"),),
    ),
    given(
        "backend=pytorch artifact=made",
        "artifact=made",
        "a transformers checkpoint",
        files=(text("made/model.onnx", "x"),),
    ),
    given(
        "backend=fake artifact=made",
        "artifact=made",
        "a transformers checkpoint",
        files=(text("made/model.safetensors", "x"),),
    ),
    given("backend=fake baseline.artifact=./none", "baseline.artifact=./none", "must be a directory"),
    row(
        "baseline.artifact=made artifact=made quant=none",
        "baseline.artifact=made must be a directory that holds a transformers checkpoint",
        "the baseline runs in pytorch",
        "it holds model.onnx; add baseline=onnxruntime",
        files=(text("made/model.onnx", "x"),),
    ),
    row(
        "quant=none baseline.artifact=made quant@baseline.quantization=dynamic",
        "baseline.artifact=made is measured as it is",
        "add quant@baseline.quantization=none",
    ),
]
