"""ONNX graphs that can be decoded with, and those that cannot."""

import types

import numpy as np
import pytest

from optbench.errors import DataError
from optbench.generation.onnxruntime import OnnxDecoder, empty_shape

CACHE = ["past_key_values.0.key", "past_key_values.0.value"]


def item(name, shape=("batch_size", 2, "past_sequence_length", 4), kind="tensor(float)"):
    return types.SimpleNamespace(name=name, shape=list(shape), type=kind)


def graph(inputs, outputs=("logits", "present.0.key", "present.0.value"), run=None):
    return types.SimpleNamespace(
        get_inputs=lambda: [item(name) for name in inputs],
        get_outputs=lambda: [item(name) for name in outputs],
        run=run,
    )


@pytest.mark.parametrize(
    ("inputs", "outputs", "said"),
    [
        (["input_ids"], ["logits"], "takes no KV cache.*found input_ids; export it with the task"),
        (["input_ids", *CACHE, "use_cache_branch"], ["logits"], "needs the input use_cache_branch"),
        (["input_ids", *CACHE], ["logits", "present.0.key"], "no output present.0.value"),
    ],
)
def test_a_graph_that_cannot_be_decoded_with_is_named(inputs, outputs, said):
    with pytest.raises(DataError, match=said):
        OnnxDecoder(graph(inputs, outputs))


def test_an_empty_cache_keeps_the_fixed_axes():
    assert empty_shape(["batch_size", 4, "past_sequence_length", 8], 3) == (3, 4, 0, 8)
    assert empty_shape(["batch_size", "past_sequence_length", 16], 2) == (2, 0, 16)
    assert empty_shape([1, 4, "past", 8], 1) == (1, 4, 0, 8)


def test_the_cache_of_a_step_is_the_input_of_the_next_one_uncopied():
    asked = []

    def run(names, feed):
        asked.append(feed)
        cache = [np.full((2, 2, len(asked), 4), number) for number in (1, 2)]
        logits = np.zeros((2, feed["input_ids"].shape[1], 5))
        logits[:, -1, len(asked)] = 1
        assert names == ["logits", "present.0.key", "present.0.value"]
        run.caches.append(cache)
        return [logits, *cache]

    run.caches = []
    decoder = OnnxDecoder(graph(["input_ids", "attention_mask", "position_ids", *CACHE], run=run))
    ids = np.array([[7, 8, 9], [4, 5, 6]])
    bound = decoder.bind({"input_ids": ids, "attention_mask": np.ones_like(ids)})
    tokens, state = decoder.prefill(bound)
    again, _ = decoder.step(tokens, state)
    assert decoder.tokens([tokens, again]).tolist() == [[1, 2], [1, 2]]
    assert asked[0]["position_ids"].tolist() == [[0, 1, 2]] * 2
    assert asked[0][CACHE[0]].shape == (2, 2, 0, 4)
    assert asked[1]["attention_mask"].shape == (2, 4)
    assert asked[1]["position_ids"].tolist() == [[3], [3]]
    assert [asked[1][name] is own for name, own in zip(CACHE, run.caches[0], strict=True)] == [True, True]


def test_a_graph_without_mask_and_positions_gets_neither():
    decoder = OnnxDecoder(graph(["input_ids", *CACHE]))
    ids = np.array([[7]])
    assert set(decoder.bind({"input_ids": ids, "attention_mask": ids})) == {"input_ids", *CACHE}
