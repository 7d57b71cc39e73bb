"""A model compiled by OpenVINO as a session: called with tensors made beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from optbench.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

READ_BACK = {
    "precision": "INFERENCE_PRECISION_HINT",
    "streams": "NUM_STREAMS",
    "performance_hint": "PERFORMANCE_HINT",
    "pinning": "ENABLE_CPU_PINNING",
    "dynamic_quantization_group_size": "DYNAMIC_QUANTIZATION_GROUP_SIZE",
    "device": "EXECUTION_DEVICES",
}
"""OpenVINO's name of each setting that is read back from the compiled model."""

FLOATS = {"f32": "float32", "bf16": "bfloat16", "f16": "float16"}


class OpenVinoSession:
    """One infer request of a compiled model; `threads` stands in where the device uses none of the host."""

    def __init__(self, compiled: Any, threads: int) -> None:
        self._threads = threads
        self.request = compiled.create_infer_request()
        self._compiled = compiled
        self._output_names = [name_of(port, f"output_{n}") for n, port in enumerate(compiled.outputs)]
        self._infer = self.request.infer

    def bind(self, feed: Mapping[str, NDArray[np.generic]]) -> dict[int, Any]:
        """Tensors that own their memory, by number of the input. Raises DataError if one does not fit."""
        import numpy
        import openvino

        tensors = {}
        for number, port in enumerate(self._compiled.inputs):
            array = feed[self._name_in(feed, port)]
            if not port.get_partial_shape().compatible(openvino.PartialShape(list(array.shape))):
                raise DataError(
                    f"the model's input {name_of(port, str(number))} has the fixed shape "
                    f"{port.get_partial_shape()} and was given {list(array.shape)}; convert the model with "
                    "dynamic shapes, or set batch_size and input_length to its own and quality=none"
                )
            wanted = port.get_element_type().to_dtype()
            tensors[number] = openvino.Tensor(numpy.ascontiguousarray(array, dtype=wanted))
        return tensors

    def forward(self, bound: dict[int, Any]) -> Any:
        """One inference; the result shows the request's own memory, until the next call."""
        return self._infer(bound, True, True)

    def outputs(self, raw: Any) -> dict[str, NDArray[np.generic]]:
        """Arrays by output name."""
        return {name: raw[number].copy() for number, name in enumerate(self._output_names)}

    def synchronize(self) -> None:
        """Synchronous inferences have finished when they return."""

    def settings(self) -> dict[str, Any]:
        """Threads and what else the compiled model was made with, as read back from it."""
        known = self._compiled.get_property("SUPPORTED_PROPERTIES")
        values = {
            name: plain(self._compiled.get_property(key)) for name, key in READ_BACK.items() if key in known
        }
        threads = self._threads
        if "INFERENCE_NUM_THREADS" in known:
            threads = int(self._compiled.get_property("INFERENCE_NUM_THREADS"))
        return {"threads": threads, **values}

    def weights_bytes(self) -> None:
        """The files are the weights."""
        return

    def _name_in(self, feed: Mapping[str, Any], port: Any) -> str:
        names: list[str] = sorted(port.get_names())
        for name in names:
            if name in feed:
                return name
        raise DataError(
            f"the model needs the input {' or '.join(names) or 'without a name'}, which the tokenizer does "
            f"not make; it makes {', '.join(sorted(feed))}"
        )


def name_of(port: Any, otherwise: str) -> str:
    """A name of an input or output, or `otherwise` where it has none."""
    return str(min(port.get_names(), default=otherwise))


def plain(value: Any) -> Any:
    """A property as a value that JSON knows, such as 'float32' or 'LATENCY'."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple, set)):
        return ", ".join(str(plain(item)) for item in value)
    if hasattr(value, "get_type_name"):
        name = value.get_type_name()
        return FLOATS.get(name, name)
    return getattr(value, "name", str(value))
