"""What the shipped configs interpolate: files of the package and the cache, and the axes of a grid."""

import pytest
from omegaconf import OmegaConf

from optbench.hydra_app import resolvers as resolvers_module
from optbench.hydra_app.help import KEYS, help_body
from optbench.hydra_app.resolvers import axis, options, register_resolvers, thread_counts
from optbench.locations import PACKAGE


@pytest.fixture(autouse=True)
def resolvers():
    register_resolvers()


def axis_of(expression, overrides=(), **values):
    """A config with one axis, under Hydra's own place for the overrides of the command line."""
    hydra = {"overrides": {"task": list(overrides)}}
    return OmegaConf.create({"hydra": hydra, "axis": expression, **values}).axis


def test_files_of_the_package_and_of_the_cache(private_cache):
    config = OmegaConf.create({"model": "${package_file:demo/data}", "mine": "${cache_file:models/x}"})
    assert config.model == str(PACKAGE / "demo" / "data")
    assert config.mine == str(private_cache / "models" / "x")


def test_the_cache_is_looked_up_each_time(monkeypatch, tmp_path):
    config = OmegaConf.create({"mine": "${cache_file:models}"})
    assert config.mine != str(tmp_path / "models")
    monkeypatch.setenv("OPTBENCH_CACHE_DIR", str(tmp_path))
    assert config.mine == str(tmp_path / "models")


def test_an_axis_holds_the_values_of_its_list():
    assert axis_of("${axis:batch_size,${batch_sizes}}", batch_sizes=[1, 8]) == "1,8"
    assert axis_of("${axis:batch_size,${batch_sizes}}", batch_sizes=[4]) == "4"


@pytest.mark.parametrize("values", [None, [], 8])
def test_an_axis_without_a_list_is_empty(values):
    assert axis_of("${axis:batch_size,${batch_sizes}}", batch_sizes=values) == ""


def test_the_command_line_wins_over_the_list():
    overrides = ["batch_sizes=[1,8]", "batch_size=2,4"]
    assert axis_of("${axis:batch_size,${batch_sizes}}", overrides, batch_sizes=[1, 8]) == "2,4"


def test_only_the_key_itself_wins():
    overrides = ["batch_size_of_something=2", "quality.batch_size=4", "batch_sizes=[1]"]
    assert axis_of("${axis:batch_size,${batch_sizes}}", overrides, batch_sizes=[1, 8]) == "1,8"


def test_an_axis_outside_of_hydra_holds_its_list():
    root = OmegaConf.create({"sizes": [1, 2]})
    assert axis("batch_size", root.sizes, _root_=root) == "1,2"
    assert axis("batch_size", [3], _root_=root) == "3"


def test_the_options_of_a_group_are_its_shipped_files():
    assert options("sweep") == ["grid", "none"]
    assert options("nowhere") == []
    assert axis_of("${axis:recipe,${options:sweep}}") == "grid,none"


@pytest.mark.parametrize(
    ("cores", "counts"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (16, [1, 2, 4, 8, 16])]
)
def test_thread_counts_double_up_to_all_cores(cores, counts, monkeypatch):
    monkeypatch.setattr(resolvers_module, "available_cores", lambda: cores)
    assert thread_counts() == counts
    assert axis_of("${axis:threads,${thread_counts:}}") == ",".join(map(str, counts))


def test_registering_again_is_safe():
    register_resolvers()
    register_resolvers()
    assert "Exit codes" in OmegaConf.create({"page": "${help_body:}"}).page


def test_the_help_page_shows_how_to_set_gates_and_directories():
    page = help_body()
    for key in ("gates.min_speedup=", "gates.max_accuracy_drop=", "hydra.run.dir=", "hydra.sweep.dir="):
        assert f"  {key}" in page
    assert max(map(len, KEYS.splitlines())) <= 120


@pytest.mark.parametrize(
    ("choice", "path", "given", "name"),
    [
        ("tiny-sentiment", "/package/demo/tiny", [], "tiny-sentiment"),
        ("distilbert-sst2", "distilbert/distilbert-base", [], "distilbert-sst2"),
        ("pretrained", "models/my_model/", ["model.path=models/my_model/"], "my_model"),
        ("pretrained", "org/name", [], "name"),
        ("pretrained", "a/b/..", [], "a"),
        ("pretrained", "my model,v=2", [], "my_model_v_2"),
        ("pretrained", "???", [], "pretrained"),
        ("tiny-sentiment", "else/where", ["model.path=else/where"], "where"),
        ("pretrained", "x" * 200, [], "x" * 80),
    ],
)
def test_a_run_is_named_by_its_model_and_not_by_the_option_that_takes_any(choice, path, given, name):
    register_resolvers()
    root = {"model": {"path": path}, "hydra": {"overrides": {"task": given}}}
    made = OmegaConf.create({**root, "name": f"${{model_name:{choice}}}"})
    assert made.name == name
