"""Copies for some readers of a tensor; Gemm is tested with weight-only quantization, which needs it."""

import numpy as np
import onnx
import onnxruntime

from optbench.onnx_graphs.files import add_types
from optbench.onnx_graphs.rewriting import part_readers


def test_some_readers_get_a_copy_of_what_others_read_too(make_encoder, make_rows, tmp_path):
    model = make_encoder()
    add_types(model, tmp_path)
    before = onnxruntime.InferenceSession(model.SerializeToString())
    products = [node for node in model.graph.node if node.op_type == "MatMul"]
    tensors = sorted({name for node in products for name in (*node.input, *node.output)})
    copies = part_readers(model.graph, [node.name for node in products], tensors)
    hidden = {"/norm", "/layer.0/norm", "/layer.0/norm_1", "/layer.1/norm"}  # read by residuals too
    assert set(copies.values()) == {f"{path}/LayerNormalization_output" for path in hidden}
    onnx.checker.check_model(model)
    readers = {node.op_type for node in model.graph.node for name in node.input if name in copies}
    assert readers == {"MatMul"}
    feed = {name: array[None] for name, array in make_rows()[0].items()}
    after = onnxruntime.InferenceSession(model.SerializeToString())
    np.testing.assert_array_equal(before.run(None, feed)[0], after.run(None, feed)[0])


def test_an_input_of_the_graph_may_be_copied():
    value = onnx.helper.make_tensor_value_info
    nodes = [
        onnx.helper.make_node("Relu", ["x"], ["a"], "first"),
        onnx.helper.make_node("Add", ["a", "x"], ["y"], "second"),
    ]
    ends = [value(name, onnx.TensorProto.FLOAT, [2]) for name in "xy"]
    graph = onnx.helper.make_graph(nodes, "g", ends[:1], ends[1:])
    assert part_readers(graph, ["first"], ["x", "a"]) == {"x_copy": "x"}
    assert [node.op_type for node in graph.node] == ["Identity", "Relu", "Add"]
    assert list(graph.node[1].input) == ["x_copy"]
