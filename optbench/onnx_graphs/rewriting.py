"""Small exact rewrites of ONNX graphs that quantizers need."""

from __future__ import annotations

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


def drop_unread(graph: Any) -> None:
    """Remove initializers that no node reads, in place."""
    read = {name for node in graph.node for name in node.input} | {item.name for item in graph.output}
    kept = [item for item in graph.initializer if item.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)
