"""Command lines that do not compose: all that is wrong, each blamed on what causes it."""

import pytest
from hydra.errors import HydraException

from optbench import plugins
from optbench.composition import composition_problems, first_problem, first_value
from optbench.config import register_run_schema
from optbench.resolvers import register_resolvers


@pytest.fixture(autouse=True)
def known():
    register_run_schema()
    plugins.import_all()
    register_resolvers()


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


def test_options_of_the_users_own_directory_are_not_blamed(mine):
    arguments = ["--config-dir", str(mine), "quant=own", "batch_size=x"]
    message = first_problem("config", mine, ["quant=own", "batch_size=x"])
    assert composition_problems(arguments, HydraException(message)) == [message]
    assert "'x'" in message
    assert first_problem("config", mine, ["quant=own"]) is None
    assert "quant/own" in first_problem("config", None, ["quant=own"])


def test_a_config_of_the_users_own_is_composed_as_it_is(mine):
    (mine / "own.yaml").write_text("defaults: [config, override quant: own, _self_]\nseed: 3\n")
    message = first_problem("own", mine, ["batch_size=x"])
    arguments = ["--config-dir", str(mine), "--config-name", "own", "batch_size=x"]
    assert composition_problems(arguments, HydraException(message)) == [message]
    assert "'x'" in message


def test_an_experiment_is_not_left_out_before_what_depends_on_it():
    arguments = ["+experiment=tune", "tune.finalists=x"]
    message = first_problem("config", None, arguments)
    assert composition_problems(arguments, HydraException(message)) == [message]


def test_a_file_that_is_not_utf_8_is_named(mine):
    (mine / "own.yaml").write_bytes(b"# caf\xe9\n")
    assert "own.yaml must be UTF-8" in first_problem("own", mine, [])


@pytest.mark.parametrize(
    ("override", "first"),
    [("seed=1,2", "seed=1"), ("seed=range(3,5)", "seed=3"), ("a=b", "a=b"), ("a=[", "a=[")],
)
def test_a_sweep_is_seen_by_its_first_value(override, first):
    assert first_value(override) == first
