"""Which parts of a graph a quantization harms: each part quantized alone, and how far the outputs move.

Runs in a preparation process. Parts are the scopes of the exported graph, such as
'/bert/encoder/layer.0/attention': few enough to try each, small enough to leave out.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optbench.components import Quantization
from optbench.errors import DataError
from optbench.locations import ONNX_FILE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from optbench.components import Feed

PRODUCTS = ("MatMul", "Gemm", "Conv", "Gather", "Attention", "FusedMatMul", "EmbedLayerNormalization")
"""Operators that quantizations look at; what else a recipe changes follows from them."""
NUMBERED = re.compile(r"(^|[._])\d+($|[._])")


@dataclass(frozen=True)
class Part:
    """A scope of the graph, the nodes a recipe quantizes there, and the harm it does alone.

    drift: root mean square change of the outputs over their standard deviation.
    """

    scope: str
    nodes: tuple[str, ...]
    drift: float


def scope_of(node: str) -> str:
    """The scope a node belongs to: one step below the numbered layer, else the two outermost steps."""
    steps = [step for step in node.split("/") if step][:-1]
    for number, step in enumerate(steps):
        if NUMBERED.search(step):
            return "/".join(steps[: number + 2])
    return "/".join(steps[:2]) or node


def rank(
    source: Path,
    quantization: Quantization,
    calibration: Sequence[Feed],
    rows: Sequence[Feed],
    seconds: float,
) -> list[Part]:
    """Parts by the drift that quantizing them alone causes, the most harmful first.

    source: directory with the float model.onnx. rows: encoded, unpadded; run one at a time. After
    `seconds` the parts not tried yet are left out. Raises DataError where nothing can be left out.
    """
    deadline = time.monotonic() + seconds
    reference = run(source / ONNX_FILE, rows)
    scopes = quantized_scopes(source, quantization, calibration)
    everything = [node for nodes in scopes.values() for node in nodes]
    parts: list[Part] = []
    for scope, nodes in scopes.items():
        if parts and time.monotonic() > deadline:
            break
        others = [node for node in everything if node not in nodes]
        try:
            outputs = run_quantized(source, without(quantization, others), calibration, rows)
        except DataError:  # a node that only looks changed, such as one with a folded input
            continue
        parts.append(Part(scope, tuple(nodes), drift(reference, outputs)))
    return sorted(parts, key=lambda part: -part.drift)


def without(quantization: Quantization, nodes: Sequence[str]) -> Quantization:
    """The recipe with these nodes left in floating point. Raises DataError if it leaves out none."""
    changed = quantization.excluding(nodes)
    if changed is None:
        raise DataError("this quantization cannot leave out nodes, so it cannot be repaired")
    return changed


def quantized_scopes(
    source: Path, quantization: Quantization, calibration: Sequence[Feed]
) -> dict[str, list[str]]:
    """Nodes that the whole recipe quantizes, by scope, in the order of the graph."""
    import onnx

    before = onnx.load(str(source / ONNX_FILE), load_external_data=False).graph.node
    with tempfile.TemporaryDirectory(prefix="optbench-") as place:
        quantization.apply(source, Path(place), calibration)
        after = onnx.load(str(Path(place) / ONNX_FILE), load_external_data=False).graph.node
    inputs = {tuple(node.output): tuple(node.input) for node in after}
    scopes: dict[str, list[str]] = {}
    for node in before:
        if node.op_type in PRODUCTS and inputs.get(tuple(node.output)) != tuple(node.input):
            scopes.setdefault(scope_of(node.name), []).append(node.name)
    return scopes


def run_quantized(
    source: Path, quantization: Quantization, calibration: Sequence[Feed], rows: Sequence[Feed]
) -> list[NDArray[np.generic]]:
    """Outputs of the model after `quantization`, in a directory that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="optbench-") as place:
        quantization.apply(source, Path(place), calibration)
        return run(Path(place) / ONNX_FILE, rows)


def run(model: Path, rows: Sequence[Feed]) -> list[NDArray[np.generic]]:
    """The first output of each row, one row at a time."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(model), settings, providers=["CPUExecutionProvider"])
    names = [item.name for item in session.get_inputs()]
    first = session.get_outputs()[0].name
    return [session.run([first], batch_of_one(row, names))[0] for row in rows]


def batch_of_one(row: Feed, names: Sequence[str]) -> Mapping[str, Any]:
    """A row as a batch of its own, with the inputs that the graph takes."""
    return {name: row[name][None] for name in names}


def drift(reference: Sequence[NDArray[np.generic]], outputs: Sequence[NDArray[np.generic]]) -> float:
    """Root mean square difference over the standard deviation of the reference, over all rows."""
    import numpy as np

    one = np.concatenate([array.astype(np.float64).reshape(-1) for array in reference])
    two = np.concatenate([array.astype(np.float64).reshape(-1) for array in outputs])
    spread = float(one.std()) or 1.0
    return float(np.sqrt(np.mean((two - one) ** 2))) / spread
