"""Code that comes with a checkpoint is never run unless it is trusted, and weights never carry any."""

import json
import pickle
import shutil
import uuid

import pytest

from optbench.checkpoint import CODE_FILES, read_spec
from optbench.cli import main
from optbench.components import Artifact, LoadOptions, WaitPolicy
from optbench.errors import DataError
from optbench.models.pretrained import PretrainedModel
from optbench.processes.preparation import Preparer
from optbench.rows.tokenization import load_tokenizer
from optbench.runtimes.torch_session import Attention, Precision, load_module

CLASS = "AutoModelForSequenceClassification"
MODEL_CODE = """
from pathlib import Path
from transformers import BertForSequenceClassification, BertTokenizerFast

Path({trace!r}).write_text("ran")


class OwnModel(BertForSequenceClassification):
    pass


class OwnTokenizer(BertTokenizerFast):
    pass
"""


def change(file, **values):
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


@pytest.fixture
def own_code(tiny_model, tmp_path):
    """A checkpoint whose model and tokenizer are classes of a module beside them; it leaves a trace.

    transformers copies the code to a folder of the directory's name, which processes beside us share.
    """
    directory = tmp_path / f"own_{uuid.uuid4().hex}"
    shutil.copytree(tiny_model, directory)
    (directory / "own.py").write_text(MODEL_CODE.format(trace=str(tmp_path / "trace")))
    change(directory / "config.json", auto_map={CLASS: "own.OwnModel"})
    change(
        directory / "tokenizer_config.json",
        auto_map={"AutoTokenizer": [None, "own.OwnTokenizer"]},
        tokenizer_class="OwnTokenizer",
    )
    return directory


@pytest.fixture
def malicious(tiny_model, tmp_path):
    """A checkpoint whose weights are a pickle that would write a file when it is loaded."""
    directory = tmp_path / "malicious"
    shutil.copytree(tiny_model, directory)
    (directory / "model.safetensors").unlink()

    class Payload:
        def __reduce__(self):
            return exec, (f"open({str(tmp_path / 'trace')!r}, 'w').write('ran')",)

    (directory / "pytorch_model.bin").write_bytes(pickle.dumps({"weight": Payload()}, protocol=2))
    return directory


def load(directory, trust=False):
    options = LoadOptions(1, WaitPolicy.runtime, "default", CLASS, trust_remote_code=trust)
    artifact = Artifact(directory, "transformers", "", 0)
    return load_module(artifact, options, "cpu", Precision.float32, Attention.auto)


@pytest.mark.parametrize("name", CODE_FILES)
def test_a_checkpoint_with_code_of_its_own_is_refused_unless_it_is_trusted(bare_model, name):
    file = bare_model / name
    file.write_text(file.read_text() if file.exists() else "{}")
    change(file, auto_map={"AutoModel": "own.OwnModel"})
    with pytest.raises(DataError, match=rf"{name} names Python code .* model.trust_remote_code=true"):
        read_spec(bare_model)
    assert read_spec(bare_model, trust_remote_code=True).trust_remote_code is True


def test_the_command_line_refuses_before_anything_is_loaded(own_code, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["model=pretrained", f"model.path={own_code}"]) == 2
    assert "set model.trust_remote_code=true" in capsys.readouterr().err
    assert not (tmp_path / "trace").exists()


def test_code_is_run_only_where_it_is_trusted(own_code, tmp_path):
    with pytest.raises(DataError, match=r"holds no tokenizer that can be loaded"):
        load_tokenizer(own_code)
    model = load(own_code)
    assert type(model).__name__ == "BertForSequenceClassification"
    assert not (tmp_path / "trace").exists()
    assert type(load(own_code, trust=True)).__name__ == "OwnModel"
    assert (tmp_path / "trace").exists()
    assert load_tokenizer(own_code, trust_remote_code=True)("a film")["input_ids"]


def test_a_pickle_among_the_weights_is_not_executed(malicious, tmp_path):
    with (malicious / "pytorch_model.bin").open("rb") as file:
        pickle.load(file)  # the payload works where pickles are trusted
    (tmp_path / "trace").unlink()
    with pytest.raises(DataError, match=r"cannot be loaded by PyTorch"):
        load(malicious)
    assert not (tmp_path / "trace").exists()


@pytest.mark.slow
def test_the_exporter_executes_trusted_code_and_no_pickle(malicious, own_code, tmp_path):
    with pytest.raises(DataError, match=r"cannot be loaded by PyTorch"):
        Preparer().export(malicious, tmp_path / "out", "text-classification", None)
    assert not (tmp_path / "trace").exists()
    (tmp_path / "export").mkdir()
    Preparer().export(own_code, tmp_path / "export", "text-classification", None, True)
    assert (tmp_path / "trace").exists()
    assert (tmp_path / "export" / "model.onnx").is_file()


def test_python_files_are_fetched_only_if_they_are_trusted(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(
        "optbench.models.pretrained.fetch_snapshot", lambda *arguments: asked.append(arguments[3]) or tmp_path
    )
    for trusted in (False, True):
        PretrainedModel(path="some/model", trust_remote_code=trusted).resolve()
    assert ["*.py" in patterns for patterns in asked] == [False, True]
