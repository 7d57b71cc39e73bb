"""Command lines that do not compose: all that is wrong, each blamed on what causes it."""

import pytest
from hydra.errors import HydraException

from optbench.hydra_app.composition import (
    composition_problems,
    first_value,
    likeliest_first,
    prepare,
    tried,
)
from optbench.locations import CONFIG_NAME


@pytest.fixture(autouse=True)
def known():
    prepare()


@pytest.fixture
def mine(tmp_path):
    """A config directory of the user's own, with an option of the group quant."""
    (tmp_path / "quant").mkdir()
    file = tmp_path / "quant" / "own.yaml"
    file.write_text("# @package quantization\ndefaults: [dynamic_schema, _self_]\n")
    return tmp_path


def test_every_override_that_does_not_compose_is_told_once():
    arguments = ["bogus=1", "batch_size=x", "seed=3", "quant=nope"]
    problems = composition_problems(arguments, HydraException("Could not find 'quant/nope'"))
    assert len(problems) == 3
    assert all(any(word in one for one in problems) for word in ("bogus", "'x'", "quant/nope"))


@pytest.mark.parametrize(
    ("message", "guilty"),
    [
        ("Could not override 'bogus'. Key 'bogus' not in 'RunConfig'; it has seed, batch_size", "bogus=1"),
        ("measure.seed: Value 'x' could not be converted to Integer", "measure.seed=x"),
        ("Could not find 'quant/nope'", "quant=nope"),
    ],
)
def test_the_override_is_blamed_first_whose_key_a_message_is_about(message, guilty):
    overrides = ["batch_size=1", "seed=1", "measure.seed=x", "quant=nope", "bogus=1"]
    assert likeliest_first(overrides, message)[0] == guilty


def test_values_out_of_range_are_told_beside_what_does_not_compose():
    error = HydraException("Could not override 'bogus'. Key 'bogus' not in 'RunConfig'")
    problems = composition_problems(["bogus=1", "batch_size=0", "input_length=-1"], error)
    assert [one.partition(" must")[0] for one in problems[1:]] == ["batch_size", "input_length"]
    missing = composition_problems(["bogus=1", "model=pretrained"], error)
    assert missing[1].startswith("model.path must be set")


def test_values_of_a_sweep_are_left_to_its_points():
    error = HydraException("Could not override 'bogus'. Key 'bogus' not in 'RunConfig'")
    assert composition_problems(["bogus=1", "batch_size=0,1"], error) == [str(error)]


def test_options_of_the_users_own_directory_are_not_blamed(mine):
    overrides = ["quant=own", "batch_size=x"]
    message = tried(overrides, [mine], CONFIG_NAME)
    assert composition_problems(overrides, HydraException(message), [mine]) == [message]
    assert "'x'" in message
    assert not isinstance(tried(["quant=own"], [mine], CONFIG_NAME), str)
    assert "quant/own" in tried(["quant=own"], [], CONFIG_NAME)


def test_a_config_of_the_users_own_is_composed_as_it_is(mine):
    (mine / "own.yaml").write_text("defaults: [config, override quant: own, _self_]\nseed: 3\n")
    message = tried(["batch_size=x"], [mine], "own")
    assert composition_problems(["batch_size=x"], HydraException(message), [mine], "own") == [message]
    assert "'x'" in message


def test_a_directory_that_is_not_there_is_the_only_problem(tmp_path):
    error = HydraException("'absent' not found")
    overrides = ["batch_size=x", "quant=own"]
    assert composition_problems(overrides, error, [tmp_path / "absent"]) == ["'absent' not found"]


def test_an_experiment_is_not_left_out_before_what_depends_on_it():
    overrides = ["+experiment=tune", "tune.finalists=x"]
    message = tried(overrides, [], CONFIG_NAME)
    assert composition_problems(overrides, HydraException(message)) == [message]


def test_a_file_that_is_not_utf_8_is_named(mine):
    (mine / "own.yaml").write_bytes(b"# caf\xe9\n")
    assert "own.yaml must be UTF-8" in tried([], [mine], "own")


@pytest.mark.parametrize(
    ("override", "first"),
    [("seed=1,2", "seed=1"), ("seed=range(3,5)", "seed=3"), ("a=b", "a=b"), ("a=[", "a=[")],
)
def test_a_sweep_is_seen_by_its_first_value(override, first):
    assert first_value(override) == first
