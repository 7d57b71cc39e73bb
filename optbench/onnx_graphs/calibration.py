"""Ranges of activations over calibration rows, in bounded memory.

Rows are run one at a time at their true length, so that padding is never part of a range. A first pass
keeps the smallest and largest value of each tensor and row; methods that need a histogram take a second
pass, in which the ends are known: it counts as many tensors at a time as fit the memory. The outcome is
that of onnxruntime's collector given all rows at once, which keeps all outputs of all rows in memory.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optbench.errors import DataError
from optbench.generation.onnxruntime import PAST, OnnxDecoder
from optbench.onnx_graphs.files import save_model
from optbench.onnx_graphs.recipe import Calibration, Method

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Feed = Mapping[str, NDArray[np.generic]]
    Ranges = dict[str, tuple[float, float]]

QUANTIZED_BINS = 128
"""Of the entropy method: bins of the coarse histogram that the fine one is compared with."""

MASK_VALUE = 1e30
"""Values beyond it hide positions from attention (-inf or the lowest float); no scale can hold them."""


@dataclass(frozen=True)
class Found:
    """Ranges by tensor; masks: tensors that hold values which hide positions; passes: over the rows."""

    ranges: Ranges
    masks: list[str]
    passes: int


def find_ranges(
    model: Any, tensors: Sequence[str], rows: Sequence[Feed], recipe: Calibration, place: Path
) -> Found:
    """Ranges of `tensors` over `rows` (unpadded, without a batch axis). Raises DataError.

    `model` is a ModelProto; `place` a directory for files on the way.
    """
    if not tensors:
        return Found({}, [], 0)
    ends = EndsOfRows(model, tensors, place)
    for number, row in enumerate(rows):
        ends.add(row, number)
    masks = [name for name in tensors if ends.is_mask(name)]
    kept = [name for name in tensors if name not in masks and name in ends.lowest]
    if recipe.method is Method.minmax:
        return Found(ends.ranges(kept, recipe.weight_of_rows()), masks, 1)
    histograms = {}
    chunks = list(chunked(kept, ends.largest_bytes, recipe.memory_bytes))
    for chunk in chunks:
        histograms.update(count(model, chunk, rows, ends, recipe.num_bins, place))
    return Found(thresholds(histograms, recipe), masks, 1 + len(chunks))


class Runner:
    """An unoptimized session that gives some outputs of a changed model, one row at a time."""

    def __init__(self, model: Any, place: Path) -> None:
        import onnxruntime

        path = place / "augmented.onnx"
        save_model(model, path)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._inputs = [item.name for item in self._session.get_inputs()]
        with_cache = any(name.startswith(PAST) for name in self._inputs)
        self._decoder = OnnxDecoder(self._session) if with_cache else None

    def run(self, names: Sequence[str], row: Feed, number: int) -> list[Any]:
        """The outputs `names` of one row as a batch of one. Raises DataError."""
        batch = {name: array[None] for name, array in row.items()}
        if self._decoder is not None and "input_ids" in row:
            batch = self._decoder.bind(batch)
        if missing := sorted(set(self._inputs) - set(batch)):
            raise DataError(
                f"the ONNX model needs the input {', '.join(missing)}, which calibration rows do not "
                f"have; they have {', '.join(sorted(row))}"
            )
        feed = {name: batch[name] for name in self._inputs}
        try:
            outputs: list[Any] = self._session.run(list(names), feed)
        except Exception as error:  # onnxruntime's exceptions share no public base class
            raise DataError(f"the model cannot run calibration row {number}: {error}") from error
        return outputs


class EndsOfRows:
    """Smallest and largest value of each tensor in each row, and its size."""

    def __init__(self, model: Any, tensors: Sequence[str], place: Path) -> None:
        import onnx

        changed = onnx.ModelProto()
        changed.CopyFrom(model)
        self._outputs: list[str] = []
        for name in tensors:
            for operator in ("ReduceMin", "ReduceMax"):
                self._outputs.append(f"{name}_optbench_{operator}")
                changed.graph.node.append(
                    onnx.helper.make_node(operator, [name], [self._outputs[-1]], keepdims=1)
                )
            self._outputs.append(f"{name}_optbench_Size")
            changed.graph.node.append(onnx.helper.make_node("Size", [name], [self._outputs[-1]]))
        changed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in self._outputs)
        self._tensors = tensors
        self._runner = Runner(changed, place)
        self.lowest: dict[str, list[float]] = {}
        self.highest: dict[str, list[float]] = {}
        self.largest_bytes: dict[str, int] = dict.fromkeys(tensors, 0)

    def add(self, row: Feed, number: int) -> None:
        """Look at one more row. Raises DataError where the model computes what is not a number."""
        import numpy as np

        outputs = self._runner.run(self._outputs, row, number)
        triples = zip(outputs[::3], outputs[1::3], outputs[2::3], strict=True)
        for name, (low, high, size) in zip(self._tensors, triples, strict=True):
            if not size:
                continue
            if np.isnan(low).any() or np.isnan(high).any():
                raise DataError(
                    f"calibration row {number} makes {name} not a number; leave the row out, or "
                    "calibrate with other rows"
                )
            self.lowest.setdefault(name, []).append(float(low.min()))
            self.highest.setdefault(name, []).append(float(high.max()))
            self.largest_bytes[name] = max(self.largest_bytes[name], int(size) * low.itemsize)

    def is_mask(self, name: str) -> bool:
        """Whether a tensor holds values that hide positions."""
        ends = (*self.lowest.get(name, ()), *self.highest.get(name, ()))
        return any(abs(end) > MASK_VALUE for end in ends)

    def ranges(self, names: Sequence[str], moving_average: float | None) -> Ranges:
        """The most extreme ends of all rows, or their exponential moving average in the rows' order."""
        found = {}
        for name in names:
            low, high = self.lowest[name], self.highest[name]
            if moving_average is None:
                found[name] = (min(low), max(high))
            else:
                found[name] = (averaged(low, moving_average), averaged(high, moving_average))
        return found


def averaged(values: Sequence[float], weight: float) -> float:
    """Exponential moving average that starts at the first value; each further one counts `weight`."""
    average = values[0]
    for value in values[1:]:
        average += weight * (value - average)
    return average


def chunked(names: Sequence[str], sizes: Mapping[str, int], limit: int) -> Iterator[list[str]]:
    """Names in their order, so many at a time that their sizes stay within `limit`; at least one."""
    chunk: list[str] = []
    total = 0
    for name in names:
        if chunk and total + sizes[name] > limit:
            yield chunk
            chunk, total = [], 0
        chunk.append(name)
        total += sizes[name]
    if chunk:
        yield chunk


def count(
    model: Any, names: Sequence[str], rows: Sequence[Feed], ends: EndsOfRows, bins: int, place: Path
) -> dict[str, Any]:
    """Histogram of each tensor over all rows, between minus and plus its largest absolute value.

    Each as onnxruntime's collector keeps it: (counts, edges, lowest, highest, threshold).
    """
    import numpy as np
    import onnx

    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    present = {item.name for item in changed.graph.output}
    changed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in present)
    runner = Runner(changed, place)
    found: dict[str, Any] = {}
    for name in names:
        low, high = np.float32(min(ends.lowest[name])), np.float32(max(ends.highest[name]))
        threshold = np.maximum(abs(low), abs(high))
        edges = np.histogram_bin_edges(np.zeros(1, np.float32), bins, (-threshold, threshold))
        found[name] = (np.zeros(bins, np.int64), edges.astype(np.float32), low, high, threshold)
    for number, row in enumerate(rows):
        for name, values in zip(names, runner.run(names, row, number), strict=True):
            counts, _, _, _, threshold = found[name]
            counts += np.histogram(values.astype(np.float32, copy=False), bins, (-threshold, threshold))[0]
    return found


def thresholds(histograms: dict[str, Any], recipe: Calibration) -> Ranges:
    """Ranges that a method finds in histograms; the search itself is onnxruntime's."""
    from onnxruntime.quantization.calibrate import HistogramCollector, TensorData

    collector = HistogramCollector(
        method=recipe.method.value,
        symmetric=False,
        num_bins=recipe.num_bins,
        num_quantized_bins=QUANTIZED_BINS,
        percentile=recipe.percentile,
        scenario="same",
    )
    flat = {name: (item[2], item[3]) for name, item in histograms.items() if not item[4]}
    collector.histogram_dict = {name: item for name, item in histograms.items() if item[4]}
    results: dict[str, Any] = dict(flat)
    if collector.histogram_dict:
        with contextlib.redirect_stdout(io.StringIO()):
            results.update(collector.compute_collection_result())
    found = {}
    for name, result in results.items():
        low, high = result.range_value if isinstance(result, TensorData) else result[:2]
        found[name] = (float(low), float(high))
    return found


def save_ranges(ranges: Ranges, path: Path) -> None:
    """Write ranges as the calibration cache that `quantize_static` reads instead of calibrating."""
    import numpy as np
    from onnxruntime.quantization.calibrate import (
        CalibrationMethod,
        TensorData,
        TensorsData,
        save_tensors_data,
    )

    data = {
        name: TensorData(lowest=np.array(low, np.float32), highest=np.array(high, np.float32))
        for name, (low, high) in ranges.items()
    }
    save_tensors_data(TensorsData(CalibrationMethod.MinMax, data), path)
