"""What a plan tells before a run or sweep, and that it does nothing."""

import importlib.util
import sys

import pytest

from optbench.cli import main
from optbench.records import read_result


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPTBENCH_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def data(place, bare_model, rows_file):
    """A checkpoint of a few bytes and forty rows."""
    rows = ["dataset=labelled", f"dataset.path={rows_file}", "dataset.data_keys.primary=text"]
    return ["model=pretrained", f"model.path={bare_model}", *rows]


@pytest.fixture
def plan(place, capfd):
    """Ask for a plan: its exit code, and what it prints; nothing may come to be or change."""

    def ask(*arguments):
        before = sorted(place.rglob("*"))
        code = main(["--plan", *arguments])
        assert sorted(place.rglob("*")) == before
        printed = capfd.readouterr()
        assert "Traceback" not in printed.err
        return code, " ".join((printed.out + printed.err).split())

    return ask


def test_a_run_is_told_with_its_limit_its_guesses_and_what_they_rest_on(plan, data):
    code, text = plan(*data)
    assert code == 0
    assert text.startswith("Plan: one run; nothing is run. timing at most 60 s budgets in measure")
    assert "starting about 19 s assumed: nothing like it was run here before" in text
    assert "export bare, text-classification to be made: at most 28 B, about 20 s (assumed)" in text
    assert "quantize bare, dynamic, per_channel" in text
    assert "preparation about 40 s assumed" in text
    assert "evaluation about 6 s assumed" in text
    assert "in all: about 2 min" in text
    assert "Disk: at most 56 B more" in text


def test_nothing_to_evaluate_and_nothing_to_prepare_is_none(plan, data):
    code, text = plan(*data, "baseline=fake", "backend=fake", "quant=none", "quality=none")
    assert code == 0
    assert "preparation none evaluation none" in text
    assert "Prepared models" not in text
    assert "Disk: nothing more" in text


def test_a_sweep_counts_its_points_and_prepares_and_evaluates_once(plan, data):
    code, text = plan("-m", *data, "recipe=pytorch,onnxruntime,onnxruntime-int8", "batch_size=1,8")
    assert code == 0
    assert text.startswith("Plan: 6 points (3 recipe x 2 batch_size); nothing is run.")
    assert "timing at most 6 min budgets in measure of 6 runs" in text
    assert text.count("export bare") == text.count("quantize bare") == 1
    assert "evaluation about 12 s" in text  # of the baseline and three candidates, 3 s each


def test_an_experiment_that_sweeps_needs_no_flag(plan, data):
    code, text = plan("+experiment=throughput", *data)
    assert code == 0
    assert text.startswith("Plan: 7 points (7 batch_size); nothing is run.")


def test_a_large_grid_is_looked_at_in_part_and_counted_whole(plan, data, monkeypatch):
    monkeypatch.setattr("optbench.hydra_app.axes.ALL_POINTS_LIMIT", 5)
    code, text = plan("-m", *data, "quality=none", "batch_size=1,2,3", "seed=0,1")
    assert code == 0
    assert text.startswith("Plan: 6 points (3 batch_size x 2 seed), 4 of them looked at; nothing is run.")
    assert "timing at most 6 min budgets in measure of 6 runs" in text


def test_points_that_cannot_work_are_named_with_the_reason(plan, data):
    code, text = plan("-m", *data, "backend=onnxruntime,pytorch", "quant=dynamic", "quality=none")
    assert code == 0
    assert "1 point would be skipped (backend=pytorch): quant=dynamic makes ONNX files" in text
    assert "of 1 run" in text
    code, text = plan("-m", *data, "input_length=8,999", "quality=none")
    assert "1 point would fail (input_length=999): input_length must not exceed 32" in text


def test_a_plan_of_which_nothing_can_run_ends_with_2(plan, data):
    code, text = plan(*data, "backend=pytorch", "quant=dynamic")
    assert code == 2
    assert "It would be skipped: quant=dynamic makes ONNX files" in text
    code, text = plan("-m", *data, "backend=pytorch", "quant=dynamic", "batch_size=1,2,3,4,5")
    assert code == 2
    assert "5 points would be skipped (batch_size=1, batch_size=2, batch_size=3 and 2 more)" in text


def test_a_missing_extra_is_named_with_its_command(plan, data, monkeypatch):
    real = importlib.util.find_spec
    missing = {"openvino", "nncf"}
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name in missing else real(name, *rest)
    )
    code, text = plan("-m", *data, "recipe=openvino,openvino-int8,onnxruntime", "quality=none")
    assert code == 0
    assert "2 points would fail" in text
    assert text.count("To have what is missing: pip install 'optbench[openvino]'") == 1


def test_a_model_that_is_not_there_is_named_and_one_of_a_hub_is_left_open(plan, data):
    code, text = plan(*data, "model.path=./nowhere")
    assert code == 2
    assert "model.path=./nowhere must be a directory" in text
    code, text = plan(*data, "model.path=somebody/model")
    assert code == 0
    assert "Not known: model.path=somebody/model is not here: it would be fetched first" in text
    assert "evaluation not known" in text
    assert "and the evaluation" in text


def test_rows_that_are_not_there_are_named_and_those_of_a_hub_are_not_counted(plan, data):
    code, text = plan(*data, "dataset.path=./nowhere.csv")
    assert code == 2
    assert "dataset.path=./nowhere.csv must be a file" in text
    code, text = plan(*data, "dataset.path=somebody/rows")
    assert code == 0
    assert "Not known: how many rows dataset.path=somebody/rows holds" in text
    assert plan(*data, "dataset.path=./nowhere.csv", "quality=none")[0] == 0


def test_labels_that_do_not_match_are_told_where_a_glance_at_the_file_shows_them(plan, data, place):
    odd = place / "odd.csv"
    odd.write_text("text,label\na,good\nb,bad\n")
    code, text = plan(*data, f"dataset.path={odd}")
    assert code == 2
    assert "It would fail: labels do not match: the dataset has bad, good" in text
    assert "'+task.label_map={bad: NEGATIVE, good: POSITIVE}'" in text
    code, text = plan(*data, f"dataset.path={odd}", "+task.label_map={bad: NEGATIVE, good: POSITIVE}")
    assert (code, "whether the labels" in text) == (0, False)
    code, text = plan(*data, f"dataset.path={odd}", "quality.max_eval_samples=1")
    assert code == 0
    assert "in all rows, of which some are drawn, labels do not match" in text
    assert plan(*data, f"dataset.path={odd}", "quality=none")[0] == 0


def test_a_gate_on_rows_without_labels_is_told(plan, data, place):
    (place / "gold.csv").write_text("text,gold\na,0\nb,1\n")
    code, text = plan(*data, "dataset.path=gold.csv", "quality.margin=0.02")
    assert code == 2
    assert "quality.margin=0.02 must have labelled rows" in text


def test_labels_that_only_a_run_can_read_are_named_as_not_known(plan, data, place):
    (place / "rows.json").write_text("[]")
    code, text = plan(*data, "dataset.path=rows.json")
    assert code == 0
    assert "Not known: whether the labels of dataset.path=rows.json are those of the model" in text


def test_a_given_artifact_needs_no_preparation(plan, data, tiny_onnx):
    code, text = plan(*data, f"artifact={tiny_onnx}", "quant=none", "quality=none")
    assert code == 0
    assert "preparation none" in text
    code, text = plan(*data, "artifact=nothing", "quant=none", "quality=none")
    assert code == 2
    assert text.startswith(
        "Plan: one run; nothing is run. It would fail: artifact=nothing must be a directory"
    )
    assert "in all" not in text


def test_a_search_is_told_by_its_budget(plan, data):
    axes = ["recipe=choice(pytorch,onnxruntime)", "graph=choice(default,o2)"]
    code, text = plan("+experiment=tune", *axes, "quality.margin=0.02", *data, "quality.max_eval_samples=20")
    assert code == 0
    assert text.startswith("Plan: a search among 2 recipe x 2 graph, at most 60 screens; nothing is run.")
    assert "1 point would be skipped (recipe=pytorch graph=o2)" in text
    assert "search about 15 min tune.budget_seconds" in text
    assert "last final at most 60 s budgets in tune.measure" in text


def test_bad_configuration_ends_with_2_as_ever(plan, data):
    assert plan(*data, "batch_size=0")[0] == 2
    assert plan("-m", *data, "quant=none,dynamik")[0] == 2
    code, text = plan("+experiment=int8_ner")
    assert code == 2
    assert "model.path must be set" in text


def test_quiet_tells_points_and_time_alone(place, data, capfd, monkeypatch):
    monkeypatch.setenv("OPTBENCH_VERBOSITY", "normal")
    assert main(["-q", "--plan", *data]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("in all: about")


def test_a_cache_that_cannot_be_trusted_is_an_error_of_the_plan(plan, data, place):
    (place / "cache").mkdir()
    (place / "elsewhere").mkdir()
    (place / "cache" / "artifacts").symlink_to(place / "elsewhere")
    code, text = plan(*data)
    assert code == 2
    assert "artifacts is a link" in text


def test_a_defect_never_becomes_a_run(plan, data, monkeypatch):
    monkeypatch.setattr("optbench.planning.plan.plan_of", lambda *_: 1 / 0)
    code, text = plan(*data)
    assert code == 3
    assert "there is no plan: ZeroDivisionError" in text


def test_points_of_an_earlier_sweep_are_taken_over(plan, data, place, monkeypatch):
    (place / "before").mkdir()
    monkeypatch.setattr(
        "optbench.planning.plan.finished_before", lambda config: "there" if config.batch_size == 1 else None
    )
    code, text = plan("-m", *data, "quality=none", "batch_size=1,8", "resume=before")
    assert code == 0
    assert "1 point taken over from the earlier sweep" in text
    assert "of 1 run" in text


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="forks as on Linux")
def test_earlier_runs_here_tell_how_long_it_takes(plan, data, place, capfd):
    fake = ["baseline=fake", "backend=fake", "quant=none", "measure=quick", "measure.replicate_seconds=0.1"]
    assert main([*data, *fake, "hydra.run.dir=outputs/day/run"]) == 0
    capfd.readouterr()
    seconds = read_result(place / "outputs" / "day" / "run").stage_seconds
    code, text = plan(*data, *fake)
    assert code == 0
    assert "starting about" in text
    assert text.count("as in earlier runs here") == 2
    assert "if the timing ends as soon as before" in text
    assert seconds["timing"] < 16
