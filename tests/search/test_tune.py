"""A whole search over runs that are made up: what it measures in full, mends, leaves out and writes down."""

import contextlib
from dataclasses import replace

import msgspec
import pytest
from configs import run_config

from optbench.backends.onnxruntime import OnnxRuntime
from optbench.config import MeasureConfig, QualityConfig, TuneConfig
from optbench.errors import DataError
from optbench.onnx_graphs.sensitivity import Part
from optbench.quantizations.dynamic import DynamicQuantization
from optbench.records import (
    Estimate,
    Interval,
    MetricResult,
    QualityResult,
    TuneResult,
    read_result,
)
from optbench.records.search import TUNE_FILE
from optbench.reports.tuning import show_search
from optbench.run import Outcome
from optbench.search.tune import Search, leave_out
from optbench.verbosity import Verbosity

MARGIN = 0.01
TUNE = TuneConfig(
    finalists=1, repairs=1, measure=MeasureConfig(), quality=QualityConfig(skip_samples=300, margin=None)
)
PARTS = [Part(scope, (f"/{scope}/one", f"/{scope}/two"), drift) for scope, drift in (("a", 3.0), ("b", 2.0))]
PARTS += [Part(scope, (f"/{scope}/one",), 0.1) for scope in "cdef"]


class Silent:
    """A display that shows nothing."""

    def __init__(self, title):
        self.title = title

    def stage(self, name):
        return contextlib.nullcontext()

    def finish(self, result, file):
        pass


class Clock:
    """Seconds that pass when told."""

    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def found(made_run):
    """Makes the result of a run that is `speedup` times as fast and loses `loss`, give or take `half`."""

    def make(speedup, loss=0.0, half=0.002, agreement=0.97):
        interval = Interval(-loss - half, -loss + half, 0.9)
        metric = MetricResult(
            "accuracy", True, 0.9, 0.9 - loss, Estimate(-loss, interval), gate_interval=interval
        )
        quality = QualityResult(300, [metric], Estimate(agreement))
        return made_run(speedup=speedup, quality=quality)

    return make


@pytest.fixture
def runs(monkeypatch):
    """What the search runs: directory name to config; and what comes of it, in turn."""
    asked, to_come = {}, []

    def run(config, directory, display, templates):
        asked[directory.name] = config
        outcome = to_come.pop(0)
        return Outcome(outcome, directory, None) if not isinstance(outcome, Outcome) else outcome

    monkeypatch.setattr("optbench.search.tune.run", run)
    monkeypatch.setattr("optbench.search.tune.hand_in", lambda *given: None)
    return asked, to_come


def searched(place, clock, screens, tune=TUNE):
    """A search that has screened these results, by name; the seed tells their configs apart."""
    search = Search(place, tune, MARGIN, Silent, clock)
    for number, (name, result) in enumerate(screens.items()):
        config = run_config(seed=number, backend=OnnxRuntime(), quantization=DynamicQuantization(), tune=tune)
        search.add({"recipe": name}, config, Outcome(result, place / str(number), None))
    return search


def written(place):
    return msgspec.json.decode((place / TUNE_FILE).read_bytes(), type=TuneResult)


def test_the_fastest_that_may_do_is_measured_in_full_on_rows_that_no_screen_saw(
    tmp_path, clock, found, runs, capsys
):
    asked, to_come = runs
    screens = {"slow": found(1.5), "fast": found(3.0), "bad": found(2.5, 0.2)}
    to_come.append(found(2.8))
    result = searched(tmp_path, clock, screens).finish(None)
    (config,) = asked.values()
    assert (config.seed, config.tune, config.quality.skip_samples) == (1, None, 300)
    assert (config.quality.margin, config.quality.comparisons) == (MARGIN, 2)
    assert result.winner == str(tmp_path / "final-0")
    assert result == written(tmp_path)
    assert [(point.name, point.stage) for point in result.points] == [
        ("recipe=slow", "screen"),
        ("recipe=fast", "screen"),
        ("recipe=bad", "screen"),
        ("recipe=fast", "final"),
    ]
    assert result.front == ["recipe=fast"]
    show_search(result, tmp_path / TUNE_FILE)
    out = capsys.readouterr().out
    assert "2.80x as fast as the baseline" in out
    assert f"optbench export {tmp_path / 'final-0'} DIR" in out
    assert "recipe=slow against bad" in out
    assert "every choice tried" in out


def test_a_quiet_search_says_the_answer_only(tmp_path, clock, found, runs, capsys, monkeypatch):
    monkeypatch.setattr("optbench.reports.tuning.verbosity", lambda: Verbosity.quiet)
    runs[1].append(found(2.8))
    show_search(searched(tmp_path, clock, {"fast": found(3.0)}).finish(None), tmp_path / TUNE_FILE)
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["recipe=fast", "Its", "Result:"]


def test_a_finalist_that_turns_out_worse_makes_room_for_the_next(tmp_path, clock, found, runs):
    asked, to_come = runs
    screens = {"lucky": found(4.0, 0.005, 0.01), "sound": found(2.0)}
    to_come += [found(4.0, 0.05), found(1.9)]
    result = searched(tmp_path, clock, screens).finish(None)
    assert list(asked) == ["final-0", "final-1"]
    assert result.winner == str(tmp_path / "final-1")
    assert result.sentence.startswith("recipe=sound is the fastest that is not worse")


def test_without_a_finalist_that_passes_there_is_no_winner(tmp_path, clock, found, runs):
    runs[1].append(found(4.0, 0.005, 0.01))
    result = searched(tmp_path, clock, {"unsure": found(4.0, 0.005, 0.01)}).finish(None)
    assert result.winner is None
    assert "more rows are needed" in result.sentence


def test_a_fast_recipe_that_is_too_bad_is_mended_by_leaving_out_what_harms_most(
    tmp_path, clock, found, runs, monkeypatch
):
    asked, to_come = runs
    monkeypatch.setattr(Search, "_ranked", lambda self, failing, templates: PARTS)
    to_come += [found(3.8, 0.05), found(3.5, 0.001), found(3.4, 0.001)]
    result = searched(tmp_path, clock, {"good": found(2.0), "harmed": found(4.0, 0.2)}).finish(None)
    assert list(asked) == ["repair-2", "repair-3", "final-0"]
    assert asked["repair-2"].quantization.node_exclusion == ["/a/one", "/a/two"]
    assert asked["repair-3"].quantization.node_exclusion == ["/a/one", "/a/two", "/b/one", "/b/two"]
    assert asked["final-0"].quantization == asked["repair-3"].quantization
    assert [point.stage for point in result.points] == ["screen", "screen", "repair", "repair", "final"]
    assert result.points[-1].name == "recipe=harmed float=a+b"
    assert result.winner == str(tmp_path / "final-0")


@pytest.mark.parametrize("parts", [[], PARTS[:1], DataError("the graph cannot be ranked")])
def test_what_cannot_be_mended_is_left_as_it_is(tmp_path, clock, found, runs, monkeypatch, parts):
    def ranked(self, failing, templates):
        if isinstance(parts, DataError):
            raise parts
        return parts

    monkeypatch.setattr(Search, "_ranked", ranked)
    runs[1].append(found(2.0))
    result = searched(tmp_path, clock, {"good": found(2.0), "harmed": found(4.0, 0.2)}).finish(None)
    assert list(runs[0]) == ["final-0"]
    assert result.winner == str(tmp_path / "final-0")


def test_a_recipe_without_nodes_to_leave_out_is_not_ranked(tmp_path, clock, found, runs):
    search = Search(tmp_path, TUNE, MARGIN, Silent, clock)
    search.add({"recipe": "eager"}, run_config(), Outcome(found(4.0, 0.2), tmp_path / "0", None))
    assert search.finish(None).winner is None
    assert list(tmp_path.iterdir()) == [tmp_path / TUNE_FILE]


def test_a_variant_is_screened_once_and_none_when_the_time_is_over(tmp_path, clock, found):
    search = searched(tmp_path, clock, {"one": found(2.0)})
    seen = run_config(seed=0, backend=OnnxRuntime(), quantization=DynamicQuantization(), tune=TUNE)
    assert search.refuses(seen) == "the search has screened the same variant before"
    assert search.earlier(seen).comparison.speedup.value == 2.0
    other = replace(seen, seed=9)
    assert (search.refuses(other), search.earlier(other)) == (None, None)
    clock.now = TUNE.screen_share * TUNE.budget_seconds + 1
    assert "tune.budget_seconds" in search.refuses(other)
    assert search.result().ended_by == "its time budget"


def test_the_first_finalist_is_measured_even_when_the_time_is_over(tmp_path, clock, found, runs):
    search = searched(tmp_path, clock, {"a": found(3.0), "b": found(2.0)}, replace(TUNE, finalists=2))
    clock.now = 2 * TUNE.budget_seconds
    runs[1].append(found(3.0, 0.05))
    result = search.finish(None)
    assert (list(runs[0]), result.winner) == (["final-0"], None)
    assert result.seconds == clock.now


def test_a_stopped_search_keeps_what_it_has_seen_and_runs_nothing(tmp_path, clock, found, runs):
    result = searched(tmp_path, clock, {"a": found(3.0)}).finish(None, stopped=True)
    assert (runs[0], result.ended_by, result.winner) == ({}, "an interruption", None)
    assert written(tmp_path).points == result.points
    assert result.sentence == (
        "No variant was measured in full, so nothing is shown; the fastest that may do is recipe=a, 3.00x in "
        "its screen."
    )


def test_ctrl_c_while_the_best_is_measured_keeps_the_screens(tmp_path, clock, found, runs):
    runs[1].append(Outcome(found(3.0), tmp_path / "final-0", KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        searched(tmp_path, clock, {"a": found(3.0)}).finish(None)
    kept = written(tmp_path)
    assert (kept.ended_by, [point.stage for point in kept.points]) == ("an interruption", ["screen"])


def test_a_point_that_is_left_out_is_a_skipped_row(tmp_path):
    (tmp_path / "3").mkdir()
    leave_out(run_config(), tmp_path / "3", "the search has screened the same variant before")
    result = read_result(tmp_path / "3")
    assert (result.status, result.failure.message) == (
        "skipped",
        "the search has screened the same variant before",
    )
