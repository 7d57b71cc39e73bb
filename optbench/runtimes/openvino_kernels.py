"""What a compiled OpenVINO model runs in integers, by its own account.

Sources: the execution graph (`CompiledModel.get_runtime_model`: layerType, runtimePrecision,
outputPrecisions, originalLayersNames) and the performance counters (`InferRequest.profiling_info`).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from optbench.records import KernelReport
from optbench.runtimes.openvino_session import OpenVinoSession

if TYPE_CHECKING:
    from optbench.components import Feed

PROFILED_CALLS = 10
NAMED_FLOAT_NODES = 20

PRODUCT_LAYERS = frozenset(
    {"FullyConnected", "MatMul", "Convolution", "Deconvolution", "ScaledDotProductAttention", "MHA"}
)
"""The CPU plug-in's layer types that multiply and add."""

PRODUCT_OPERATORS = frozenset(
    {"MatMul", "Convolution", "GroupConvolution", "ConvolutionBackpropData", "ScaledDotProductAttention"}
)
"""Operators that make a compiled subgraph one of them: fused attention appears as Subgraph."""

INTEGERS = frozenset({"i8", "u8", "i4", "u4", "i2", "u2"})
FLOATS = frozenset({"f32", "f16", "bf16", "f64"})

DIFFERENCE = 1e-4
"""Of the largest output: quantized activations differ by more (1e-3 and up), other kernels by 1e-6."""


@dataclass(frozen=True)
class KernelNode:
    """A node of the execution graph.

    kind: the counters' name of it, such as FullyConnectedCompressed. layer: the plug-in's layer type.
    kernel: the implementation, such as brgemm_avx512_I8; what it ends in is what it computes in.
    precision: of the input that decides, which is that of compressed weights. operators: types of the
    model's operators that became this node. casts_8_bits: it only turns 8-bit values into others or back.
    """

    name: str
    kind: str
    layer: str
    kernel: str
    precision: str
    operators: frozenset[str]
    casts_8_bits: bool
    seconds: float

    @property
    def is_product(self) -> bool:
        """A matrix product, a convolution or attention."""
        return self.layer in PRODUCT_LAYERS or bool(self.operators & PRODUCT_OPERATORS)

    @property
    def is_integer(self) -> bool:
        """Computed in integers."""
        return self.kernel.rpartition("_")[2].lower() in INTEGERS

    @property
    def is_compressed(self) -> bool:
        """Weights in integers and a kernel that calls itself floating point."""
        return self.is_product and not self.is_integer and self.precision in INTEGERS

    @property
    def is_leftover(self) -> bool:
        """Quantizes or dequantizes, apart from any kernel."""
        return self.layer == "FakeQuantize" or self.casts_8_bits


def report(compile: Callable[..., tuple[Any, Any]], feed: Feed) -> KernelReport:
    """The kernels that `feed` runs through.

    compile: gives the model as read and as compiled with the properties it is called with.
    """
    model, compiled = compile(PERF_COUNT=True)
    session = OpenVinoSession(compiled, 1)
    nodes = run_nodes(model, compiled, profile(session, feed))
    products = [node for node in nodes if node.is_product]
    compressed = [node for node in products if node.is_compressed]
    dynamic = bool(compressed) and quantizes_while_running(compile, session, feed)
    integer = [node for node in products if node.is_integer or (dynamic and node in compressed)]
    total = sum(node.seconds for node in products)
    return KernelReport(
        nodes=len(products),
        integer_nodes=len(integer),
        float_nodes=[node.name for node in products if node not in integer][:NAMED_FLOAT_NODES],
        weight_share=weight_share(model),
        time_share=sum(node.seconds for node in integer) / total if total else None,
        leftover_qdq=sum(node.is_leftover for node in nodes),
        kernel_seconds=seconds_by_kind(nodes),
        reason=explain(compressed, dynamic, session.settings()),
    )


def profile(session: OpenVinoSession, feed: Feed) -> list[list[Any]]:
    """The performance counters of all nodes, for each of a few calls after a first one."""
    bound = session.bind(feed)
    session.forward(bound)
    calls = []
    for _ in range(PROFILED_CALLS):
        session.forward(bound)
        calls.append(session.request.profiling_info)
    return calls


def run_nodes(model: Any, compiled: Any, calls: Sequence[Sequence[Any]]) -> list[KernelNode]:
    """The nodes of the execution graph, with the median of their seconds over the calls.

    Their status does not tell which ran: the counters call a node that takes under a microsecond
    NOT_RUN. What was fused into another node is not in the execution graph.
    """
    originals = {operator.get_friendly_name(): operator for operator in model.get_ops()}
    graph = {
        node.get_friendly_name(): {key: str(value.astype(str)) for key, value in node.get_rt_info().items()}
        for node in compiled.get_runtime_model().get_ops()
    }
    seconds: dict[str, list[float]] = defaultdict(list)
    for counters in calls:
        for item in counters:
            seconds[item.node_name].append(item.real_time.total_seconds())
    nodes = []
    for item in calls[-1]:
        if item.node_name not in graph:
            continue
        facts = graph[item.node_name]
        names = facts.get("originalLayersNames", "").split(",")
        made_of = [originals[name] for name in names if name in originals]
        nodes.append(
            KernelNode(
                name=item.node_name,
                kind=item.node_type,
                layer=facts.get("layerType", item.node_type),
                kernel=item.exec_type,
                precision=facts.get("runtimePrecision", ""),
                operators=frozenset(operator.get_type_name() for operator in made_of),
                casts_8_bits=facts.get("layerType") == "Convert" and any(map(casts_8_bits, made_of)),
                seconds=median(seconds[item.node_name]),
            )
        )
    return nodes


def casts_8_bits(operator: Any) -> bool:
    """Whether an operator of the model converts between 8-bit integers and something else."""
    if operator.get_type_name() != "Convert":
        return False
    types = {operator.get_input_element_type(0), operator.get_output_element_type(0)}
    return any(one.get_type_name() in INTEGERS for one in types)


def quantizes_while_running(
    compile: Callable[..., tuple[Any, Any]], session: OpenVinoSession, feed: Feed
) -> bool:
    """Whether the activations of compressed layers are quantized: the outputs tell.

    The runtime names such kernels like floating-point ones. With float32 arithmetic only quantized
    activations move the outputs by more than rounding; in other types it never quantizes them.
    """
    import numpy as np

    settings = session.settings()
    if settings.get("precision") != "float32" or not settings.get("dynamic_quantization_group_size"):
        return False
    _, plain = compile(DYNAMIC_QUANTIZATION_GROUP_SIZE=0)
    without = OpenVinoSession(plain, 1)
    expected = without.outputs(without.forward(without.bind(feed)))
    found = session.outputs(session.forward(session.bind(feed)))
    return any(
        np.abs(np.subtract(found[name], value)).max() > DIFFERENCE * np.abs(value).max()
        for name, value in expected.items()
    )


def explain(compressed: Sequence[KernelNode], dynamic: bool, settings: Mapping[str, Any]) -> str | None:
    """What is to be known about layers with compressed weights; null where there are none."""
    if not compressed:
        return None
    count = f"{len(compressed)} layers keep their weights in integers"
    if not dynamic:
        return f"{count} and compute in floating point: the weights are converted on the way"
    group = settings["dynamic_quantization_group_size"]
    return (
        f"{count} and quantize their activations while running, in groups of {group}: they count as "
        f"integer, although their kernels have names such as {compressed[0].kernel}, because the outputs "
        "change when that is switched off"
    )


def seconds_by_kind(nodes: Sequence[KernelNode]) -> dict[str, float]:
    """Seconds of one call by kind of node, longest first."""
    sums: dict[str, float] = defaultdict(float)
    for node in nodes:
        sums[node.kind] += node.seconds
    return {kind: seconds for kind, seconds in sorted(sums.items(), key=lambda item: -item[1]) if seconds}


def weight_share(model: Any) -> float | None:
    """Of the elements of the model's constants, 8 bits or fewer over those and floating-point ones."""
    sizes = list(constant_sizes(model))
    total = sum(count for _, count in sizes)
    return sum(count for name, count in sizes if name in INTEGERS) / total if total else None


def constant_sizes(model: Any) -> Iterator[tuple[str, int]]:
    """Element type and number of elements of each constant that may be a weight."""
    for operator in model.get_ops():
        if operator.get_type_name() == "Constant":
            name = operator.get_output_element_type(0).get_type_name()
            if name in INTEGERS | FLOATS:
                yield name, math.prod(operator.get_output_shape(0))
