"""Execution providers: the whole model runs in the first one, or it is an error."""

import pytest

from optbench.backends.onnxruntime import CPU, OnnxRuntime, nodes_by_provider, require_providers
from optbench.components import Artifact, LoadOptions, WaitPolicy
from optbench.errors import ConfigError, Unsupported

OPTIONS = LoadOptions(1, WaitPolicy.runtime, "default", "AutoModel")
AZURE = "AzureExecutionProvider"
"""Part of every onnxruntime wheel; it takes no node of a usual model."""


@pytest.fixture
def load(source):
    def load(**settings):
        return OnnxRuntime(**settings).load(Artifact(source, "onnx", "", 0), OPTIONS)

    return load


def test_the_cpu_takes_all_nodes_and_says_so(load):
    settings = load().settings()
    assert settings["providers"] == [CPU]
    assert settings["nodes_by_provider"].keys() == {CPU}
    assert settings["nodes_by_provider"][CPU] > 10


def test_a_provider_that_is_not_installed_is_named_with_those_that_are(load):
    with pytest.raises(ConfigError, match=r"names NoSuchProvider, .* it has .*CPUExecutionProvider"):
        load(providers=["NoSuchProvider", CPU])
    require_providers([CPU], [AZURE, CPU])


@pytest.mark.parametrize(
    ("providers", "said"),
    [([AZURE], "some nodes run on the CPU"), ([AZURE, CPU], r"\d+ nodes run in CPUExecutionProvider")],
)
def test_nodes_that_run_elsewhere_are_an_error_unless_allowed(load, capfd, providers, said):
    with pytest.raises(Unsupported, match=rf"whole model in {AZURE}, and {said}.*allow_fallback=true"):
        load(providers=providers)
    assert "onnxruntime" not in capfd.readouterr().err
    settings = load(providers=providers, allow_fallback=True).settings()
    assert settings["nodes_by_provider"].keys() == {CPU}
    assert settings["providers"][0] == AZURE


def test_a_provider_that_was_dropped_is_an_error():
    backend = OnnxRuntime(providers=["CUDAExecutionProvider", CPU])
    with pytest.raises(Unsupported, match="could not be loaded, only CPUExecutionProvider"):
        backend.require_first_provider([CPU], {})
    backend.allow_fallback = True
    backend.require_first_provider([CPU], {CPU: 3})


def test_an_onnxruntime_that_does_not_tell_is_believed():
    assert nodes_by_provider(object()) == {}
    OnnxRuntime().require_first_provider([CPU], {})


@pytest.mark.parametrize("providers", [[], [CPU, CPU]])
def test_providers_are_named_once_each(providers):
    (problem,) = OnnxRuntime(providers=providers).problems()
    assert "providers must name execution providers, each once" in problem
