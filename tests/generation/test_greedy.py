"""The loop that every runtime goes through, with a decoder that only counts."""

import types

import numpy as np
import pytest

from optbench.components import Generating
from optbench.generation import greedy
from optbench.generation.greedy import NOTHING, PROMPT, GreedySession


class Inner:
    """Stands in for a runtime's session."""

    def __init__(self, log):
        self.log = log

    def synchronize(self):
        self.log.append("synchronize")

    def settings(self):
        return {"threads": 2}

    def weights_bytes(self):
        return 7


class Counting:
    """Each token is the sum of all tokens before it."""

    def __init__(self):
        self.log = []

    def bind(self, feed):
        assert set(feed) == {"input_ids", "attention_mask"}
        return feed["input_ids"]

    def prefill(self, bound):
        self.log.append(("prefill", bound.shape))
        total = bound.sum(axis=1, keepdims=True)
        return total, total

    def step(self, tokens, state):
        self.log.append("step")
        return state + tokens, state + tokens

    def score(self, bound):
        self.log.append(("score", bound.shape))
        return np.zeros((*bound.shape, 5))

    def tokens(self, made):
        return np.concatenate(made, axis=1)


def feed(*rows, **more):
    ids = np.array(rows)
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), **more}


def session_of(new_tokens):
    decoder = Counting()
    return GreedySession(Inner(decoder.log), decoder, new_tokens), decoder.log


def test_a_call_is_a_prefill_and_a_step_for_each_further_token():
    session, log = session_of(4)
    bound = session.bind(feed([1, 2], [3, 4]))
    assert log == []
    made = session.outputs(session.forward(bound))
    assert log == [("prefill", (2, 2)), "synchronize", "step", "step", "step"]
    assert {name: array.tolist() for name, array in made.items()} == {
        "continuation": [[3, 6, 12, 24], [7, 14, 28, 56]]
    }


def test_the_first_token_counts_from_the_start_of_its_call(monkeypatch):
    session, _ = session_of(3)
    clock = iter([100, 130, 1000, 1070]).__next__
    monkeypatch.setattr(greedy, "time", types.SimpleNamespace(perf_counter_ns=clock))
    bound = session.bind(feed([1]))
    session.forward(bound)
    session.forward(bound)
    assert isinstance(session, Generating)
    assert session.take_first_tokens() == [30, 70]
    assert session.take_first_tokens() == []


@pytest.mark.parametrize("new_tokens", [1, 2])
def test_rows_to_evaluate_are_scored_together_and_continued_one_by_one(new_tokens):
    session, log = session_of(new_tokens)
    prompts = np.array([[1, 2], [5, NOTHING], [NOTHING, NOTHING]])
    rows = feed([1, 2, 9], [5, 0, 0], [8, 8, 0], **{PROMPT: prompts})
    outputs = session.outputs(session.forward(session.bind(rows)))
    assert outputs["logits"].shape == (3, 3, 5)
    assert outputs["continuation"][:, 0].tolist() == [3, 5, NOTHING]
    assert outputs["continuation"].shape == (3, new_tokens)
    prefilled = [entry[1] for entry in log if entry[0] == "prefill"]
    assert prefilled == [(1, 2), (1, 1)]
    assert ("score", (3, 3)) in log


def test_a_batch_without_any_prompt_is_only_scored():
    session, log = session_of(2)
    rows = feed([1, 2, 9], **{PROMPT: np.zeros((1, 0), dtype=np.int64)})
    outputs = session.outputs(session.forward(session.bind(rows)))
    assert outputs["continuation"].tolist() == [[NOTHING, NOTHING]]
    assert log == [("score", (1, 3))]


def test_everything_else_is_the_session_underneath():
    session, log = session_of(2)
    session.synchronize()
    assert log == ["synchronize"]
    assert (session.settings(), session.weights_bytes()) == ({"threads": 2}, 7)
