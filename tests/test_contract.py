"""The contract that every backend holds: the built-in ones do, and each breach is told."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest

from optbench.backends.fake import Fake, FakeSession
from optbench.backends.onnxruntime import OnnxRuntime
from optbench.backends.openvino import OpenVino
from optbench.backends.pytorch import PyTorch
from optbench.components import Artifact, Backend, LoadOptions, WaitPolicy
from optbench.contract import backend_violations, declaration_violations, session_violations

OPTIONS = LoadOptions(1, WaitPolicy.runtime, "default", "AutoModelForSequenceClassification")
TOKENS = {"input_ids": np.array([[1, 2, 3, 4], [5, 6, 7, 9]])}


def test_the_fake_takes_pixels_as_well_as_tokens():
    from optbench.measure.fake import FakeCalls, FakeRuntime

    calls = FakeCalls(FakeRuntime(1e-6, "constant", 0.0, 0.0), np.random.default_rng(0))
    session = FakeSession(calls, Fake(), threads=1)
    pixels = np.zeros((2, 3, 4, 4), np.float32)
    pixels[1, 0, 0, 0] = 1
    raw = session.forward(session.bind({"pixel_values": pixels}))
    assert session.outputs(raw)["logits"].tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize("backend", [OnnxRuntime(), OpenVino(), Fake(call_seconds=1e-6)], ids=Backend.label)
def test_backends_hold_the_contract(backend, tiny_onnx):
    artifact = Artifact(tiny_onnx, backend.artifact_formats[0], "", 0)
    assert backend_violations(backend, artifact, OPTIONS, TOKENS) == []


def test_pytorch_holds_the_contract(torch_load, tiny_model):
    session = torch_load(PyTorch(), tiny_model)
    feed = {**TOKENS, "attention_mask": np.ones((2, 4), np.int64)}
    assert declaration_violations(PyTorch(), OPTIONS) == []
    assert session_violations(session, OPTIONS, feed) == []


@dataclass
class Odd(Backend):
    """A backend whose class never registered, and whose declaration is wrong throughout."""

    size: int = 0
    artifact_formats: ClassVar = ("paper",)
    imports: ClassVar = ()

    def problems(self):
        return ["size must be > 0"]

    def supports(self, spec, graph):
        return None

    def environment(self, threads, wait_policy):
        return {"THREADS": threads}

    def __reduce__(self):
        return (type(self), (self.size + 1,))

    def load(self, artifact, options):
        return Sums()


class Sums:
    """A sound session: the sum of each row's tokens."""

    def bind(self, feed):
        return feed["input_ids"]

    def forward(self, bound):
        return bound

    def outputs(self, raw):
        return {"logits": raw.sum(axis=1, keepdims=True).astype(np.float32)}

    def synchronize(self):
        pass

    def settings(self):
        return {"threads": 1}

    def weights_bytes(self):
        return 4


class Reuses(Sums):
    """Writes every answer into one array."""

    def __init__(self):
        self.place = np.zeros((2, 1), np.float32)

    def outputs(self, raw):
        self.place[: len(raw)] = raw.sum(axis=1, keepdims=True)
        return {"logits": self.place[: len(raw)]}


class Counts(Sums):
    """Answers otherwise each time."""

    calls = 0

    def outputs(self, raw):
        self.calls += 1
        return {"logits": np.full((len(raw), 1), self.calls)}


class Takes(Sums):
    """Takes every input there is."""

    def bind(self, feed):
        (tokens,) = feed.values()
        return tokens


class Fixed(Sums):
    """Takes batches of two only."""

    def forward(self, bound):
        return bound.reshape(2, -1)


class Says(Sums):
    """Says wrong things of itself."""

    def settings(self):
        return {"threads": 4, "device": object()}

    def weights_bytes(self):
        return 0


class Whole(Sums):
    def outputs(self, raw):
        return {"logits": np.asarray(raw.sum())}


class Lists(Sums):
    def outputs(self, raw):
        return {"logits": raw.tolist()}


def test_a_sound_session_has_no_violations():
    assert session_violations(Sums(), OPTIONS, TOKENS) == []
    assert session_violations(Sums(), OPTIONS, TOKENS, {"logits": np.array([[10.0], [27.0]])}) == []


@pytest.mark.parametrize(
    ("session", "told"),
    [
        (Reuses(), ["outputs() must copy what the next call will overwrite, but logits differs by"]),
        (Counts(), ["the same inputs must give the same outputs, but logits differs by 1"]),
        (Takes(), ["inputs that the model does not take must be ignored, but ValueError"]),
        (Fixed(), ["a batch of another size must work and answer the same, but"]),
        (
            Says(),
            [
                "settings()['threads'] must be the number of threads as read back, 1 were set, got 4",
                "settings() must be plain JSON values",
                "weights_bytes() must be null or a number of bytes, got 0",
            ],
        ),
        (Whole(), ["the first axis of each output must be the rows of the batch, here 2"]),
        (Lists(), ["outputs() must give numpy arrays by their names"]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_breach_is_told(session, told):
    found = session_violations(session, OPTIONS, TOKENS)
    for text in told:
        assert any(line.startswith(text) for line in found), found


def test_other_outputs_than_expected_are_told():
    (told,) = session_violations(Sums(), OPTIONS, TOKENS, {"logits": np.array([[10.0], [28.0]])})
    assert told == "outputs must be those that are expected, but logits differs by 1"
    (told,) = session_violations(Sums(), OPTIONS, TOKENS, {"other": np.zeros(2)})
    assert told == "outputs must be those that are expected, but other has another shape or is not there"


def test_a_wrong_declaration_is_told(tmp_path):
    found = backend_violations(Odd(), Artifact(tmp_path, "onnx", "", 0), replace(OPTIONS), TOKENS)
    starts = [
        'the class must be registered with @register("backend", NAME)',
        "artifact_formats must name some of transformers, onnx, openvino, got ('paper',)",
        "problems() must be empty for a config that is meant to work, got ['size must be > 0']",
        "it must come back equal from pickle",
        "environment() must map texts to texts, got {'THREADS': 1}",
    ]
    assert len(found) == len(starts)
    assert all(line.startswith(start) for line, start in zip(found, starts, strict=True))
