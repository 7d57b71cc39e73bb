"""Eager PyTorch: precision, attention and autocast are what was asked for, and the answers stay close."""

import numpy as np
import pytest

from optbench.backends.pytorch import PyTorch
from optbench.components import Graph, ModelSpec, ModuleTraits, WaitPolicy
from optbench.errors import DataError
from optbench.runtimes.torch_session import Attention, Precision

FEED = {
    "input_ids": np.array([[2, 5, 6, 7, 3], [2, 8, 9, 3, 0]]),
    "attention_mask": np.array([[1, 1, 1, 1, 1], [1, 1, 1, 1, 0]]),
    "not_taken": np.zeros((2, 5)),
}


def logits(session):
    outputs = session.outputs(session.forward(session.bind(FEED)))
    assert outputs["logits"].dtype == np.float32
    return outputs["logits"]


@pytest.fixture
def expected(tiny_model):
    """Logits of a plain transformers call."""
    import torch
    import transformers

    model = transformers.AutoModelForSequenceClassification.from_pretrained(tiny_model).eval()
    with torch.no_grad():
        tensors = {name: torch.tensor(FEED[name]) for name in ("input_ids", "attention_mask")}
        return model(**tensors).logits.numpy()


@pytest.mark.parametrize(
    ("backend", "said", "tolerance"),
    [
        (PyTorch(), ("float32", None, "sdpa"), 1e-5),
        (PyTorch(attention=Attention.sdpa), ("float32", None, "sdpa"), 1e-5),
        (PyTorch(attention=Attention.eager), ("float32", None, "eager"), 1e-5),
        (PyTorch(precision=Precision.bfloat16), ("bfloat16", None, "sdpa"), 0.1),
        (PyTorch(precision=Precision.float16), ("float16", None, "sdpa"), 0.02),
        (PyTorch(autocast=True), ("float32", "bfloat16", "sdpa"), 0.1),
    ],
    ids=lambda value: value.label() if isinstance(value, PyTorch) else "",
)
def test_answers_stay_close_and_what_was_asked_is_read_back(
    torch_load, tiny_model, expected, backend, said, tolerance
):
    session = torch_load(backend, tiny_model)
    found = logits(session)
    scale = np.abs(expected).max()
    assert np.abs(found - expected).max() <= tolerance * scale
    reduced = backend.autocast or backend.precision is not Precision.float32
    assert (np.abs(found - expected).max() > 1e-5 * scale) == reduced
    settings = session.settings()
    assert (settings["precision"], settings["autocast"], settings["attention"]) == said
    assert settings["threads"] == 1
    assert settings["inference_mode"] is True
    assert settings["quantized"] is None


def test_half_precision_halves_the_weights(torch_load, tiny_model):
    full = torch_load(PyTorch(), tiny_model).weights_bytes()
    half = torch_load(PyTorch(precision=Precision.bfloat16), tiny_model).weights_bytes()
    assert 2 * half == full == sum_of_parameters(tiny_model)


def sum_of_parameters(directory):
    from safetensors import safe_open

    with safe_open(directory / "model.safetensors", "np") as file:
        return sum(file.get_tensor(name).nbytes for name in file.keys())  # noqa: SIM118


def test_labels_tell_what_is_not_as_usual():
    assert PyTorch().label() == "pytorch"
    assert PyTorch(precision=Precision.bfloat16).label() == "pytorch bfloat16"
    assert PyTorch(autocast=True, attention=Attention.eager).label() == "pytorch autocast eager attention"
    assert PyTorch(device="cuda:1").label() == "pytorch cuda:1"


def test_problems_of_every_pytorch_runtime():
    found = PyTorch(device="gpu", precision=Precision.bfloat16, autocast=True).problems()
    assert found == [
        "device must be cpu, cuda or cuda:N, got 'gpu'",
        "autocast must be false with precision=bfloat16: the weights are in that type already; drop one "
        "of the two",
    ]
    assert PyTorch(device="cuda:1").problems() == []


def test_a_quantization_is_told_in_what_the_module_computes():
    assert PyTorch().module_traits() == ModuleTraits("cpu", "float32", compiled=False)
    assert PyTorch(autocast=True).module_traits() == ModuleTraits("cpu", "bfloat16", compiled=False)


def test_only_the_cpu_may_be_forked_and_no_graph_level_is_taken(tmp_path):
    assert PyTorch().may_fork()
    assert not PyTorch(device="cuda").may_fork()
    spec = ModelSpec(tmp_path, "bert", (), None, None)
    assert PyTorch().supports(spec, Graph(level="default")) is None
    assert "graph=all has no meaning" in PyTorch().supports(spec, Graph(level="all"))
    assert PyTorch().environment(1, WaitPolicy.passive) == {"OMP_WAIT_POLICY": "PASSIVE"}
    assert PyTorch().environment(1, WaitPolicy.runtime) == {}


def test_a_checkpoint_that_cannot_be_read_is_a_data_error(torch_load, bare_model):
    (bare_model / "model.safetensors").write_bytes(b"cut off")
    with pytest.raises(DataError, match=r"model\.safetensors must be whole"):
        torch_load(PyTorch(), bare_model)


def test_a_cuda_device_that_is_not_there_is_named(torch_load, tiny_model, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DataError, match=r"backend\.device=cuda needs a CUDA device"):
        torch_load(PyTorch(device="cuda"), tiny_model)
