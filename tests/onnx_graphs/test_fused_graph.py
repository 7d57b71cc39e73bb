"""graph=o1|o2|o3: the same answers from fewer nodes, and what is refused."""

import json

import onnx
import pytest

from optbench.backends.fake import Fake
from optbench.backends.onnxruntime import OnnxRuntime
from optbench.components import ModelSpec
from optbench.config import Variant
from optbench.errors import DataError
from optbench.graphs.fused import FusedGraph
from optbench.quantizations.none import NoQuantization

LEVELS = ["o1", "o2", "o3"]


@pytest.fixture
def config(source):
    """A config.json beside the encoder's model.onnx."""
    content = {"model_type": "bert", "num_attention_heads": 2, "hidden_size": 32}
    (source / "config.json").write_text(json.dumps(content))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.usefixtures("config")
def test_answers_stay_and_nodes_become_fewer(source, target, make_rows, distance, level):
    details = FusedGraph(level).apply(source, target)
    assert details["graph"] == level
    count = [len(onnx.load(place / "model.onnx").graph.node) for place in (source, target)]
    assert count[1] < count[0] or level == "o1"
    assert distance(source, target, make_rows()) < (1e-2 if level == "o3" else 1e-5)


@pytest.mark.usefixtures("config")
def test_fusions_come_with_o2_and_approximations_with_o3(source, target):
    fused = {level: FusedGraph(level).apply(source, target)["fused_nodes"] for level in LEVELS}
    assert fused["o1"] == {}
    assert fused["o2"]["SkipLayerNormalization"] == fused["o3"]["SkipLayerNormalization"] == 5
    assert fused["o2"]["BiasGelu"] == fused["o3"]["FastGelu"] == 2
    assert "EmbedLayerNormalization" not in fused["o2"]


def test_a_model_without_a_config_is_fused_as_bert(source, target):
    assert FusedGraph("o2").apply(source, target)["graph_fused_as"] == "bert"


def test_a_file_that_cannot_be_read_is_refused(source, target):
    (source / "model.onnx").write_bytes(b"no model")
    with pytest.raises(DataError, match=r"model\.onnx cannot be rewritten with graph=o2"):
        FusedGraph("o2").apply(source, target)


def test_only_runtimes_of_onnx_take_it(tmp_path):
    spec = ModelSpec(tmp_path, "bert", (), 100, 32)
    assert FusedGraph("o2").supports(spec, OnnxRuntime()) is None
    assert "use backend=onnxruntime or graph=default" in FusedGraph("o2").supports(spec, Fake())
    assert FusedGraph("o2").session_level == "default"
    assert FusedGraph("o2").recipe() == {"level": "o2"}
    assert FusedGraph("o2").problems() == []
    assert "got 'o4'" in FusedGraph("o4").problems()[0]


def test_a_given_artifact_is_not_rewritten():
    (problem,) = Variant(OnnxRuntime(), NoQuantization(), FusedGraph("o2"), artifact="there").problems()
    assert "artifact is measured as it is, so graph must not be o2" in problem


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", ["bert", "roberta", "distilbert", "vit", "gpt2"])
def test_exports_keep_their_answers(exports, target, distance, name, level):
    directory, rows = exports[name]
    details = FusedGraph(level).apply(directory, target)
    assert distance(directory, target, rows) < (1e-2 if level == "o3" else 1e-4)
    if level != "o1":
        assert details["fused_nodes"]["SkipLayerNormalization"] == 4
        assert details["graph_fused_as"] == (name if name in ("vit", "gpt2") else "bert")
