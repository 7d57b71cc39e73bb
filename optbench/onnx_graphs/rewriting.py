"""Small exact rewrites of ONNX graphs that quantizers need."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any


def split_gemms(graph: Any) -> int:
    """Write each Gemm with constant weights as MatMul and Add, in place; returns how many there were.

    Quantizers that know MatMul only would otherwise leave classifiers, and all of GPT-2, as they are.
    """
    import onnx

    weights = {item.name: item for item in graph.initializer}
    nodes, count = [], 0
    for node in graph.node:
        settings = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
        plain = settings.get("alpha", 1) == settings.get("beta", 1) == 1 and not settings.get("transA", 0)
        if node.op_type != "Gemm" or not plain or node.input[1] not in weights:
            nodes.append(node)
            continue
        count += 1
        weight = node.input[1]
        if settings.get("transB", 0):
            weight = f"{node.input[1]}_transposed"
            if weight not in weights:
                values = onnx.numpy_helper.to_array(weights[node.input[1]]).T.copy()
                weights[weight] = onnx.numpy_helper.from_array(values, weight)
                graph.initializer.append(weights[weight])
        biased = len(node.input) > 2 and bool(node.input[2])
        product = f"{node.output[0]}_product" if biased else node.output[0]
        nodes.append(onnx.helper.make_node("MatMul", [node.input[0], weight], [product], node.name))
        if biased:
            inputs = [product, node.input[2]]
            nodes.append(onnx.helper.make_node("Add", inputs, list(node.output), f"{node.name}_bias"))
    del graph.node[:]
    graph.node.extend(nodes)
    drop_unread(graph)
    return count


def part_readers(graph: Any, readers: Collection[str], tensors: Collection[str]) -> dict[str, str]:
    """Give the nodes named in `readers` a copy of each of `tensors` that others read too, in place.

    Returns the tensor by the name of its copy. A quantizer changes a tensor for everybody who reads it; a
    residual would read what was rounded for a product beside it. What the readers make is left alone.
    """
    import onnx

    own = {name for node in graph.node if node.name in readers for name in node.output}
    outputs = {item.name for item in graph.output}
    others = {name for node in graph.node if node.name not in readers for name in node.input} | outputs
    wanted = {name for node in graph.node if node.name in readers for name in node.input}
    shared = [name for name in tensors if name in wanted & others and name not in own]
    types = {item.name: item for item in (*graph.value_info, *graph.input, *graph.output)}
    copies = {name: f"{name}_copy" for name in shared}
    nodes = [
        onnx.helper.make_node("Identity", [name], [copies[name]], f"{copies[name]}_node") for name in shared
    ]
    waiting = {node.input[0]: node for node in nodes}
    ordered = [waiting.pop(item.name) for item in graph.input if item.name in waiting]
    for node in list(graph.node):
        if node.name in readers:
            node.input[:] = [copies.get(name, name) for name in node.input]
        ordered.append(node)
        ordered.extend(waiting.pop(name) for name in node.output if name in waiting)
    del graph.node[:]
    graph.node.extend(ordered)
    for name, copy in copies.items():
        graph.value_info.add().CopyFrom(types[name])
        graph.value_info[-1].name = copy
    return {copy: name for name, copy in copies.items()}


def drop_unread(graph: Any) -> None:
    """Remove initializers that no node reads, in place."""
    read = {name for node in graph.node for name in node.input} | {item.name for item in graph.output}
    kept = [item for item in graph.initializer if item.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)
