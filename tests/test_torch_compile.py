"""torch.compile: what it needs, how often it compiles, and that it says where it did not."""

import logging

import numpy as np
import pytest

from optbench.backends import torch_compile
from optbench.backends.torch_compile import LIMIT_LOGGER, CompiledSession, TorchCompile, cxx
from optbench.components import Graph, ModelSpec, ModuleTraits, WaitPolicy
from optbench.errors import DataError
from optbench.runtimes.torch_session import Precision

SPEC = ModelSpec(None, "bert", (), None, None)
DEFAULT = Graph(level="default")


def feed(batch, length):
    return {"input_ids": np.ones((batch, length), dtype=np.int64)}


@pytest.fixture
def session_of(leave_torch_modes):
    """A session over a module, traced as torch.compile does it but run without generated code."""
    import torch

    made = []
    before = torch._dynamo.config.recompile_limit

    def make(forward, **options):
        class Module(torch.nn.Module):
            device, dtype = torch.device("cpu"), torch.float32

            def __init__(self):
                super().__init__()
                self.table = torch.nn.Embedding(8, 4)

        Module.forward = forward
        torch._dynamo.reset()
        torch._dynamo.utils.counters.clear()
        module = Module().eval()
        call = torch.compile(module, backend="eager", **options)
        made.append(CompiledSession(module, call, autocast=False))
        return made[-1]

    yield make
    torch._dynamo.config.recompile_limit = before
    while made:
        leave_torch_modes(made.pop())
    torch._dynamo.reset()


def whole(self, input_ids):
    return {"logits": self.table(input_ids).sum(1)}


def broken(self, input_ids):
    found = self.table(input_ids).sum(1)
    print("a side effect", end="")
    import torch

    torch._dynamo.graph_break()
    return {"logits": found * 2}


def by_length(self, input_ids):
    return {"logits": self.table(input_ids).sum(1) * len("x" * int(input_ids.shape[1]))}


def answer(session, batch, length):
    outputs = session.outputs(session.forward(session.bind(feed(batch, length))))
    assert outputs["logits"].shape == (batch, 4)
    return session.compiled()


@pytest.mark.parametrize("dynamic", [None, True, False])
def test_many_lengths_share_one_graph_beside_that_of_the_timed_shape(session_of, dynamic):
    session = session_of(whole, dynamic=dynamic)
    shapes = [(2, 7), (4, 5), (4, 6), (3, 7), (2, 9), (4, 11), (2, 7)]
    found = [answer(session, *shape)["graphs"] for shape in shapes]
    assert found[0] == 1
    assert found[-1] == found[1] <= 2
    assert session.cautions() == []
    assert session.compiled()["given_up"] == 0


def test_a_batch_of_one_takes_one_more_graph(session_of):
    session = session_of(whole)
    shapes = [(4, 7), (4, 5), (1, 5), (1, 6), (1, 9), (4, 6)]
    assert [answer(session, *shape)["graphs"] for shape in shapes] == [1, 2, 3, 3, 3, 3]


def test_graph_breaks_are_counted_and_told(session_of, capsys):
    session = session_of(broken)
    found = answer(session, 2, 5)
    assert found["graphs"] == 2
    assert found["graph_breaks"] >= 1
    assert "broke the model into 2 graphs" in session.cautions()[0]


def test_a_model_that_must_be_one_graph_and_is_not_is_refused(session_of, capsys):
    session = session_of(broken, fullgraph=True)
    with pytest.raises(DataError, match=r"fullgraph=true needs .*; set backend\.fullgraph=false"):
        answer(session, 2, 5)


def test_giving_up_after_too_many_shapes_is_told(session_of):
    import torch

    session = session_of(by_length, dynamic=False)
    torch._dynamo.config.recompile_limit = 2
    for length in (5, 6, 7, 8):
        found = answer(session, 2, length)
    assert found["given_up"] >= 1
    assert any("gave up on" in said for said in session.cautions())


def test_a_model_that_was_not_compiled_at_all_is_told(session_of):
    session = session_of(whole)
    assert session.cautions() == ["torch.compile compiled nothing: the model ran eagerly"]


def test_only_the_message_on_the_limit_is_counted():
    watch = torch_compile.LimitWatch()
    logger = logging.getLogger(LIMIT_LOGGER)
    logger.addHandler(watch)
    try:
        logger.warning("something else")
        logger.warning("torch._dynamo hit config.%s (%s)\n   function: %s", "recompile_limit", 8, "f")
    finally:
        logger.removeHandler(watch)
    assert watch.count == 1


def test_it_runs_where_a_compiler_and_headers_are(monkeypatch, tmp_path):
    monkeypatch.setattr(torch_compile.shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(torch_compile.sysconfig, "get_path", lambda name: str(tmp_path))
    assert "Python.h does not exist; install them" in TorchCompile().supports(SPEC, DEFAULT)
    (tmp_path / "Python.h").touch()
    assert TorchCompile().supports(SPEC, DEFAULT) is None
    assert "graph=all has no meaning" in TorchCompile().supports(SPEC, Graph(level="all"))


def test_without_a_compiler_it_is_refused_before_anything_is_done(monkeypatch):
    monkeypatch.setattr(torch_compile.shutil, "which", lambda name: None)
    found = TorchCompile().supports(SPEC, DEFAULT)
    assert "neither $CXX nor g++ nor clang++ is found; install one" in found
    assert TorchCompile(device="cuda").supports(SPEC, DEFAULT) is None
    assert "CXX" not in TorchCompile().environment(1, WaitPolicy.runtime)


@pytest.mark.parametrize(
    ("chosen", "there", "expected"),
    [
        ("ccache g++-14", {"ccache", "g++"}, "ccache g++-14"),
        ("icpx", {"g++"}, "g++"),
        ("", {"clang++"}, "clang++"),
        ("", set(), None),
    ],
)
def test_the_compiler_is_the_one_of_the_environment_if_it_runs(monkeypatch, chosen, there, expected):
    monkeypatch.setenv("CXX", chosen)
    monkeypatch.setattr(torch_compile.shutil, "which", lambda name: name if name in there else None)
    assert cxx() == expected


def test_compiled_code_is_kept_in_the_cache_and_nothing_compiles_in_the_background(private_cache):
    found = TorchCompile().environment(2, WaitPolicy.passive)
    assert found["TORCHINDUCTOR_CACHE_DIR"] == str(private_cache / "inductor")
    assert found["TORCHINDUCTOR_COMPILE_THREADS"] == "1"
    assert found["OMP_WAIT_POLICY"] == "PASSIVE"


def test_labels_problems_and_traits():
    backend = TorchCompile(mode="max-autotune", dynamic=False, fullgraph=True, precision=Precision.bfloat16)
    assert backend.label() == "torch_compile bfloat16 max-autotune dynamic=false fullgraph"
    assert backend.problems() == []
    assert TorchCompile(mode="fast", device="tpu").problems() == [
        "device must be cpu, cuda or cuda:N, got 'tpu'",
        "mode must be one of default, reduce-overhead, max-autotune, max-autotune-no-cudagraphs, got 'fast'",
    ]
    assert TorchCompile().module_traits() == ModuleTraits("cpu", "float32", compiled=True)


@pytest.mark.slow
def test_generated_code_answers_like_eager_pytorch_and_is_found_again(
    torch_load, tiny_model, private_cache, monkeypatch
):
    import torch

    from optbench.backends.pytorch import PyTorch

    for name, value in TorchCompile().environment(1, WaitPolicy.runtime).items():
        monkeypatch.setenv(name, value)
    ids = {"input_ids": np.array([[2, 5, 6, 3]]), "attention_mask": np.ones((1, 4), dtype=np.int64)}
    plain = torch_load(PyTorch(), tiny_model)
    expected = plain.outputs(plain.forward(plain.bind(ids)))["logits"]
    for misses in (1, 0):
        torch._dynamo.reset()
        torch._dynamo.utils.counters.clear()
        session = torch_load(TorchCompile(), tiny_model)
        found = session.outputs(session.forward(session.bind(ids)))["logits"]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
        assert session.settings()["compiled"]["cache_misses"] == misses
        assert TorchCompile().compiled_before(session) == (not misses)
        assert TorchCompile().cautions(session) == []
    assert session.kernels(ids).nodes == 16
