"""What a checkpoint says about itself."""

import json

import pytest

from optbench import checkpoint
from optbench.errors import DataError
from optbench.models.pretrained import PretrainedModel


@pytest.fixture
def directory(tmp_path):
    config = {"model_type": "bert", "vocab_size": 100, "max_position_embeddings": 64}
    config["id2label"] = {"1": "POS", "0": "NEG"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").write_bytes(bytes([2, 0, 0, 0, 0, 0, 0, 0]) + b"{}")
    return tmp_path


def edit(directory, **changes):
    file = directory / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_the_spec_is_read_from_the_files(directory):
    spec = checkpoint.read_spec(directory)
    assert (spec.model_type, spec.labels, spec.vocab_size) == ("bert", ("NEG", "POS"), 100)
    assert spec.max_length == 64


def test_the_shorter_limit_of_model_and_tokenizer_counts(directory):
    (directory / "tokenizer_config.json").write_text('{"model_max_length": 48}')
    assert checkpoint.read_spec(directory).max_length == 48
    (directory / "tokenizer_config.json").write_text('{"model_max_length": 1e30}')
    assert checkpoint.read_spec(directory).max_length == 64


def test_roberta_loses_two_positions_to_its_padding(directory):
    edit(directory, model_type="roberta", max_position_embeddings=514, pad_token_id=1)
    assert checkpoint.read_spec(directory).max_length == 512


def test_unnamed_labels_are_numbered(directory):
    edit(directory, id2label=None, num_labels=3)
    assert checkpoint.read_spec(directory).labels == ("LABEL_0", "LABEL_1", "LABEL_2")


def test_a_model_without_positions_has_no_limit(directory):
    edit(directory, max_position_embeddings=None)
    assert checkpoint.read_spec(directory).max_length is None


def test_a_directory_that_is_no_model_is_described(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(DataError, match=r"is not a model.*found notes\.txt"):
        checkpoint.read_spec(tmp_path)


def test_a_config_without_model_type_is_no_model(directory):
    (directory / "config.json").write_text("{}")
    with pytest.raises(DataError, match="names no model_type"):
        checkpoint.read_spec(directory)


@pytest.mark.parametrize("content", ["{", "[1]"])
def test_a_broken_config_is_named(directory, content):
    (directory / "config.json").write_text(content)
    with pytest.raises(DataError, match=r"config\.json"):
        checkpoint.read_spec(directory)


def test_descriptions_of_what_was_found(tmp_path):
    assert checkpoint.describe(tmp_path) == "an empty directory"
    assert checkpoint.describe(tmp_path / "none") == "nothing there"
    for name in "abcdefgh":
        (tmp_path / name).write_text("")
    assert checkpoint.describe(tmp_path) == "a, b, c, d, e, f and 2 more"
    assert checkpoint.describe(tmp_path / "a") == "a file"


def test_a_model_path_resolves_to_its_directory(directory):
    assert PretrainedModel(path=str(directory)).resolve() == directory.resolve()


def test_a_missing_model_says_how_to_get_it(tmp_path):
    with pytest.raises(DataError, match="nothing there; build it once"):
        PretrainedModel(path=str(tmp_path / "none"), hint="build it once").resolve()


def test_a_model_without_weights_is_refused(directory):
    (directory / "model.safetensors").unlink()
    with pytest.raises(DataError, match="holds no weights"):
        PretrainedModel(path=str(directory)).resolve()


def test_problems_of_a_model(directory):
    assert PretrainedModel(path=str(directory)).problems() == []
    assert "must be a directory" in PretrainedModel(path="").problems()[0]
    assert "only applies to hub names" in PretrainedModel(path=str(directory), revision="x").problems()[0]


def test_hashes_follow_names_and_contents(directory):
    before = checkpoint.hash_files(checkpoint.weight_files(directory))
    (directory / "model.safetensors").write_bytes(b"other")
    assert checkpoint.hash_files(checkpoint.weight_files(directory)) != before


def test_weights_that_would_be_random_are_refused(tmp_path):
    missing = {"classifier.weight", "a.bias", "pooler.dense.weight"}
    with pytest.raises(DataError, match=r"lacks 2 weights for AutoModel, such as a\.bias, which would be"):
        checkpoint.require_all_weights(tmp_path, "AutoModel", missing)
    checkpoint.require_all_weights(tmp_path, "AutoModel", {"pooler.dense.bias"})
    checkpoint.require_all_weights(tmp_path, "AutoModel", set())


def safetensors(header, values=b""):
    return len(header).to_bytes(8, "little") + header + values


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"abc", "is no safetensors file, or is cut off at 3 bytes"),
        (safetensors(b"{}")[:9], "is cut off at 9 bytes"),
        (safetensors(b"[]"), "its header cannot be read"),
        (safetensors(b"\xff\xff"), "its header cannot be read"),
        (safetensors(b'{"w": {}}'), "its header cannot be read"),
        (safetensors(b'{"w": {"data_offsets": [0, 8]}}', b"1234"), "is cut off at 43 of 47 bytes"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer.*git lfs pull"),
    ],
)
def test_weights_that_cannot_be_whole_are_refused_at_once(directory, content, reason):
    (directory / "model.safetensors").write_bytes(content)
    with pytest.raises(DataError, match=rf"model\.safetensors .*{reason}"):
        PretrainedModel(path=str(directory)).resolve()


def test_weights_that_may_be_whole_are_taken(directory):
    header = b'{"__metadata__": {"format": "pt"}, "w": {"data_offsets": [0, 4]}}'
    (directory / "model.safetensors").write_bytes(safetensors(header, b"1234"))
    assert PretrainedModel(path=str(directory)).resolve() == directory.resolve()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"id2label": ["a", "b"]}, "id2label must map numbers to names"),
        ({"id2label": {"x": "a"}}, "id2label must map numbers to names"),
        ({"id2label": None, "num_labels": "2"}, "num_labels must be a whole number, found '2'"),
        ({"vocab_size": True}, "vocab_size must be a whole number, found True"),
        ({"model_type": 5}, "names no model_type"),
    ],
)
def test_a_config_with_odd_values_is_named(directory, changes, words):
    edit(directory, **changes)
    with pytest.raises(DataError, match=rf"config\.json.*{words}"):
        checkpoint.read_spec(directory)
