"""What an ONNX Runtime session runs in integers, after its own optimization of the graph.

Sources: the graph that the session writes (`SessionOptions.optimized_model_filepath`) and its profile
(`SessionOptions.enable_profiling`: events of category Node whose name ends in _kernel_time, microseconds).
"""

from __future__ import annotations

import json
import math
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optbench.onnx_graphs.files import EXTERNAL_BYTES
from optbench.onnx_graphs.groups import FUSED_ATTENTION
from optbench.onnx_graphs.nodes import PRODUCTS
from optbench.records import KernelReport

if TYPE_CHECKING:
    from optbench.components import Feed, Session

PROFILED_CALLS = 10
NAMED_FLOAT_NODES = 20
INT8_ACCURACY = 4
"""At this level MatMulNBits quantizes what it multiplies; at others it unpacks weights into floats."""

INTEGER_WEIGHTS = {
    "MatMulInteger": 1,
    "MatMulInteger16": 1,
    "MatMulIntegerToFloat": 1,
    "DynamicQuantizeMatMul": 1,
    "ConvInteger": 1,
    "QAttention": 1,
    "QLinearMatMul": 3,
    "QLinearConv": 3,
    "QGemm": 3,
}
"""Operators that multiply integers, and which of their inputs holds the weights."""

TABLES = {
    "Gather": (0,),
    "GatherBlockQuantized": (0,),
    "EmbedLayerNormalization": (2, 3, 4),
    "QEmbedLayerNormalization": (2, 3, 4),
}
"""Look-ups, and which of their inputs hold the tables."""

QUANTIZERS = frozenset({"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"})
MOVING = frozenset({"Transpose", "Reshape", "Identity"})
PASSING = MOVING | {"DequantizeLinear", "Cast"}
"""Between stored weights and the operator that multiplies by them."""


def report(open_session: Callable[[Callable[[Any], None]], tuple[Any, Session]], feed: Feed) -> KernelReport:
    """The kernels that a call with `feed` runs through.

    open_session: gives the InferenceSession and the session over it, after the function it is called with
    has changed the SessionOptions.
    """
    import onnx

    with tempfile.TemporaryDirectory(prefix="optbench-") as place:
        written = Path(place) / "optimized.onnx"

        def change(settings: Any) -> None:
            settings.optimized_model_filepath = str(written)
            settings.enable_profiling = True
            settings.profile_file_prefix = str(Path(place) / "profile")
            # large weights do not fit the file, and their values are not looked at
            settings.add_session_config_entry(
                "session.optimized_model_external_initializers_file_name", "weights.bin"
            )
            settings.add_session_config_entry(
                "session.optimized_model_external_initializers_min_size_in_bytes", str(EXTERNAL_BYTES // 1000)
            )

        inference, session = open_session(change)
        bound = session.bind(feed)
        for _ in range(1 + PROFILED_CALLS):
            session.forward(bound)
        events = json.loads(Path(inference.end_profiling()).read_text())
        graph = onnx.load(str(written), load_external_data=False).graph
    return summary(graph, node_seconds(events, 1 + PROFILED_CALLS))


def summary(graph: Any, seconds: Mapping[tuple[str, str], float]) -> KernelReport:
    """What an optimized graph and the seconds of its nodes, by (name, operator), tell."""
    nodes = {node.name: node for node in graph.node}
    products = [node for node in graph.node if is_product(node)]
    integer = [node for node in products if is_integer(node)]
    by_operator: dict[str, float] = defaultdict(float)
    total = whole = 0.0
    for (name, operator), value in seconds.items():
        by_operator[operator] += value
        node = nodes.get(name)
        if node is not None and node.op_type == operator and is_product(node):
            total += value
            whole += value if is_integer(node) else 0.0
    return KernelReport(
        nodes=len(products),
        integer_nodes=len(integer),
        float_nodes=[node.name for node in products if not is_integer(node)][:NAMED_FLOAT_NODES],
        weight_share=weight_share(graph),
        time_share=whole / total if total else None,
        leftover_qdq=leftover(graph),
        kernel_seconds=dict(sorted(by_operator.items(), key=lambda item: -item[1])),
        reason=explain(products),
    )


def is_product(node: Any) -> bool:
    """Whether a node multiplies matrices, convolves, or attends."""
    return node.op_type in PRODUCTS or node.op_type in FUSED_ATTENTION or node.op_type in INTEGER_WEIGHTS


def is_integer(node: Any) -> bool:
    """Whether a node multiplies in integers."""
    if node.op_type == "MatMulNBits":
        return bool(attributes(node).get("accuracy_level", 0) == INT8_ACCURACY)
    return node.op_type in INTEGER_WEIGHTS


def explain(products: Sequence[Any]) -> str | None:
    """What the counts cannot tell of weights in few bits."""
    packed = [node for node in products if node.op_type == "MatMulNBits"]
    if not packed:
        return None
    levels = Counter("int8" if is_integer(node) else "floating point" for node in packed)
    told = " and ".join(f"{count} in {kind}" for kind, count in sorted(levels.items()))
    return (
        f"weights of {len(packed)} products are packed in few bits; by their accuracy_level "
        f"{told} are computed, where the CPU has such kernels"
    )


def leftover(graph: Any) -> int:
    """Quantize and dequantize nodes whose integers no integer operator or table makes or takes."""
    producer = {name: node for node in graph.node for name in node.output}
    readers: dict[str, list[Any]] = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            readers[name].append(node)
    count = 0
    for node in graph.node:
        if node.op_type == "DequantizeLinear":
            maker = producer.get(node.input[0])
            count += not (maker is not None and (is_product(maker) or maker.op_type in TABLES))
        elif node.op_type in QUANTIZERS:
            count += not any(is_product(one) for one in reached(node.output[0], readers))
    return count


def reached(name: str, readers: Mapping[str, Sequence[Any]]) -> Iterator[Any]:
    """The nodes that a value gets to, directly or through nodes that only move it."""
    for node in readers.get(name, ()):
        if node.op_type in MOVING:
            yield from reached(node.output[0], readers)
        else:
            yield node


def weight_share(graph: Any) -> float | None:
    """Share of the weights' elements kept in integers of 8 bits or fewer; null without weights.

    Weights are the matrices that products multiply by and the tables that are looked up in, each counted
    once; biases, scales and normalizations are not.
    """
    import onnx

    small = {
        getattr(onnx.TensorProto, name)
        for name in ("INT8", "UINT8", "INT4", "UINT4", "INT2", "UINT2")
        if hasattr(onnx.TensorProto, name)
    }
    floats = {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16}
    kept = {True: 0, False: 0}
    for weight, elements in stored_weights(graph):
        if weight.data_type in small | floats:
            kept[weight.data_type in small] += elements
    total = sum(kept.values())
    return kept[True] / total if total else None


def stored_weights(graph: Any) -> Iterator[tuple[Any, int]]:
    """Each weight matrix or table, and how many elements it stands for."""
    initializers = {item.name: item for item in graph.initializer}
    producer = {name: node for node in graph.node for name in node.output}
    seen = set()
    for node in graph.node:
        for position in weight_inputs(node):
            name = node.input[position] if position < len(node.input) else ""
            while name in producer and producer[name].op_type in PASSING:
                name = producer[name].input[0]
            weight = initializers.get(name)
            if weight is not None and len(weight.dims) > 1 and name not in seen:
                seen.add(name)
                yield weight, elements_of(node, weight)


def weight_inputs(node: Any) -> tuple[int, ...]:
    """Which inputs of a node may hold weights."""
    if node.op_type in TABLES:
        return TABLES[node.op_type]
    if node.op_type in INTEGER_WEIGHTS:
        return (INTEGER_WEIGHTS[node.op_type],)
    return (0, 1) if node.op_type in PRODUCTS else (1,) if node.op_type == "Attention" else ()


def elements_of(node: Any, weight: Any) -> int:
    """Weights that a tensor holds; several share a byte where they are packed."""
    settings = attributes(node)
    if node.op_type == "MatMulNBits":
        return int(settings["K"] * settings["N"])
    packed = node.op_type == "GatherBlockQuantized" and weight.data_type == UINT8
    return int(math.prod(weight.dims) * (8 // settings.get("bits", 4) if packed else 1))


UINT8 = 2
"""onnx.TensorProto.UINT8."""


def attributes(node: Any) -> dict[str, Any]:
    """Integer attributes of a node by name."""
    return {item.name: item.i for item in node.attribute if item.type == INTEGER}


INTEGER = 2
"""onnx.AttributeProto.INT."""


def node_seconds(events: Sequence[Mapping[str, Any]], calls: int) -> dict[tuple[str, str], float]:
    """Mean kernel seconds of a call, by (node name, operator); the first of `calls` calls is left out."""
    runs = sorted(event["ts"] for event in events if event.get("name") == "model_run")
    if calls < 2 or len(runs) < calls:
        return {}
    begin = runs[len(runs) // calls]
    found: dict[tuple[str, str], float] = defaultdict(float)
    for event in events:
        name = event.get("name", "")
        if event.get("cat") == "Node" and name.endswith("_kernel_time") and event["ts"] >= begin:
            key = name.removesuffix("_kernel_time"), event["args"]["op_name"]
            found[key] += event["dur"] * 1e-6 / (calls - 1)
    return dict(found)
