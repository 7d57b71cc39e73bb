"""The shipped experiments: what they say of themselves is so, and each one runs."""

import re
import shlex

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode

from optbench.cli import main
from optbench.components import collect_problems
from optbench.config import Scenario, register_run_schema
from optbench.hydra_app import plugins
from optbench.hydra_app.axes import sweep_axes
from optbench.hydra_app.help import meaning
from optbench.hydra_app.resolvers import options, register_resolvers
from optbench.hydra_app.typed import to_config
from optbench.locations import conf_dir
from optbench.records import read_result

FILES = sorted((conf_dir() / "experiment").glob("*.yaml"))
NAMED = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
TIME = re.compile(r"about (\d+) minutes?( a point)?\.$")
NEEDS_A_MODEL = [file for file in FILES if "model.path=DIR" in file.read_text().splitlines()[1]]

QUICK = [
    "measure.replicates=1",
    "measure.max_replicates=1",
    "measure.replicate_seconds=0.1",
    "measure.warmup_calls=1",
    "measure.warmup_seconds=0.1",
    "measure.budget_seconds=1",
    "measure.cold_start=false",
]
FAKE = ["baseline=fake", "backend=fake", "quant=none", "quality=none"]


def command_of(file):
    """What the first comment of an experiment tells to type."""
    comment = file.read_text().splitlines()[1]
    return shlex.split(comment[comment.index("optbench ") :])


def composed(arguments):
    """The axes of a command line and the typed configs of its first and last point."""
    register_run_schema()
    plugins.import_all()
    register_resolvers()
    overrides = [item for item in arguments if item != "-m"]
    with initialize_config_dir(config_dir=str(conf_dir())):
        loader = GlobalHydra.instance().config_loader()
        config = loader.load_configuration("config", overrides, run_mode=RunMode.MULTIRUN)
        axes = sweep_axes(config)
        points = [
            to_config(loader.load_sweep_config(config, [f"{key}={axes[key][at]}" for key in axes]))
            for at in (0, -1)
        ]
    return config, axes, points


def points_of(axes):
    count = 1
    for values in axes.values():
        count *= len(values)
    return count


def budget_seconds(config):
    """Wall clock that an experiment's point may take for timing alone."""
    if config.tune is not None:
        return config.tune.budget_seconds
    serving = config.measure.scenario is Scenario.server
    return config.measure.budget_seconds + (config.measure.server.budget_seconds if serving else 0)


@NAMED
def test_the_first_comment_tells_the_command_and_a_time_within_which_the_budgets_fit(file):
    program, *arguments = command_of(file)
    assert program == "optbench"
    assert f"+experiment={file.stem}" in arguments
    config, axes, points = composed(arguments)
    for point in points:
        assert collect_problems(point) == []
    many = points_of(axes) if points[0].tune is None else 1
    assert (points_of(axes) > 1) == ("-m" in arguments or config.hydra.mode is RunMode.MULTIRUN)
    number, each = TIME.search(meaning(file)).groups()
    stated = 60 * int(number) * (many if each else 1)
    timing = many * budget_seconds(points[0])
    assert timing <= stated <= 5 * timing


def test_every_experiment_is_on_the_help_page(capfd):
    assert main(["--help"]) == 0
    page = capfd.readouterr().out
    for file in FILES:
        assert f"    {file.stem:<24}{meaning(file)}\n" in page


def test_experiments_of_ones_own_stand_on_the_help_page_with_their_folder(tmp_path, monkeypatch, capfd):
    place = tmp_path / "mine" / "experiment"
    place.mkdir(parents=True)
    (place / "ourgate.yaml").write_text("# @package _global_\n# Our gate.   optbench +experiment=ourgate\n")
    (place / "noise_floor.yaml").write_text("# Ours too.\n")
    (place / "odd.yaml").write_bytes(b"# \xff\n")
    monkeypatch.chdir(tmp_path)
    assert main(["--config-dir", "mine", "--help"]) == 0
    page = capfd.readouterr().out
    assert f"    {'ourgate':<24}Our gate. ({tmp_path / 'mine'})\n" in page
    assert f"    {'odd':<24}({tmp_path / 'mine'})\n" in page
    assert page.count("    noise_floor ") == 1
    assert main(["--help"]) == 0
    assert "ourgate" not in capfd.readouterr().out


@pytest.mark.parametrize("file", NEEDS_A_MODEL, ids=lambda file: file.stem)
def test_an_experiment_without_a_model_names_all_that_is_missing(file, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert main([f"+experiment={file.stem}"]) == 2
    message = capfd.readouterr().err
    assert "2 problems" in message
    assert "model.path must be set, it has no default; set it with model.path=VALUE" in message
    assert "dataset.path must be set" in message
    assert list(tmp_path.iterdir()) == []


def test_the_command_line_wins_over_an_experiments_axes():
    _, axes, _ = composed(["+experiment=recipes", "recipe=pytorch,openvino"])
    assert axes["recipe"] == ["pytorch", "openvino"]
    _, axes, _ = composed(["+experiment=grid", "batch_size=2", "input_lengths=[8,16]"])
    assert (axes["batch_size"], axes["input_length"]) == (["2"], ["8", "16"])


def test_no_recipe_is_left_out():
    _, axes, _ = composed(["+experiment=recipes"])
    assert axes["recipe"] == options("recipe")
    assert {"pytorch", "onnxruntime-int8", "openvino-int8"} <= set(axes["recipe"])


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def data(tiny_model, rows_file):
    """A tiny classifier and forty rows."""
    rows = ["dataset=labelled", f"dataset.path={rows_file}", "dataset.data_keys.primary=text"]
    return ["model=pretrained", f"model.path={tiny_model}", *rows]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "arguments", "points"),
    [
        ("demo", FAKE, 1),
        ("noise_floor", FAKE, 1),
        ("int8_alone", FAKE, 1),
        ("per_channel", ["-m", *FAKE, "seed=0,1"], 2),
        ("grid", [*FAKE, "batch_sizes=[1,2]", "input_lengths=[4]"], 2),
        ("throughput", [*FAKE, "batch_size=1,2"], 2),
        ("threads", [*FAKE, "threads=1,2"], 2),
        ("capacity", [*FAKE, "measure.server.rates=[20]", "measure.server.requests=70"], 1),
    ],
)
def test_a_question_about_speed_runs_over_the_made_up_runtime(name, arguments, points, place, data):
    many = points > 1
    where = "hydra.sweep.dir=out" if many else "hydra.run.dir=out"
    short = [item for item in QUICK if name != "capacity" or "budget" not in item]
    assert main([f"+experiment={name}", *short, *data, *arguments, where]) == 0
    places = [place / "out" / str(at) for at in range(points)] if many else [place / "out"]
    found = [read_result(directory) for directory in places]
    assert [result.status for result in found] == ["ok"] * points
    assert len({result.config_hash for result in found}) == points
    assert (found[0].server is not None) == (name == "capacity")
    assert found[0].timing.scenario == {"capacity": "server"}.get(
        name, "latency" if name != "throughput" else name
    )


@pytest.mark.slow
@pytest.mark.release
@pytest.mark.parametrize(
    ("name", "recipes"),
    [
        ("int8_sentiment", "onnxruntime-int8,onnxruntime-w8"),
        ("recipes", "onnxruntime,onnxruntime-int8-tensor"),
    ],
)
def test_recipes_run_side_by_side(name, recipes, place, data):
    rows = ["quality.max_eval_samples=20"]
    arguments = [f"+experiment={name}", f"recipe={recipes}", *QUICK, *data, *rows]
    assert main([*arguments, "baseline=onnxruntime", "hydra.sweep.dir=out"]) == 0
    found = [read_result(place / "out" / number) for number in "01"]
    assert [result.status for result in found] == ["ok", "ok"]
    assert all(metric.non_inferiority for result in found for metric in result.quality.metrics[:1])
    assert (place / "out" / "results.json").is_file()


@pytest.mark.slow
@pytest.mark.release
def test_the_search_ends_with_a_winner_of_two(place, data):
    search = ["recipe=choice(onnxruntime,onnxruntime-int8)", "graph=default", "hydra.sweeper.n_trials=2"]
    short = [item.replace("measure.", "tune.measure.") for item in QUICK]
    limits = ["quality.margin=0.9", "quality.max_eval_samples=20", "tune.finalists=1", "tune.repairs=0"]
    arguments = [*search, *QUICK, *short, *limits, *data, "baseline=onnxruntime", "hydra.sweep.dir=out"]
    assert main(["+experiment=tune", *arguments]) == 0
    assert (place / "out" / "tune.json").is_file()
    assert read_result(place / "out" / "final-0").status == "ok"
