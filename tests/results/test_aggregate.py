"""Many results as one record: every point has its row, whatever became of it."""

import gc
import inspect
import json
import os
import socket
from datetime import datetime, timezone

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optbench import __version__, records
from optbench.claims import Holder
from optbench.errors import ResultError
from optbench.locations import LOCK_FILE
from optbench.records import Failure, replace, to_json, write_atomically
from optbench.records.aggregate import PLAN_FILE, Point, Side, SweepPlan
from optbench.reports.points import reasons, to_markdown
from optbench.results.aggregate import (
    NEVER_STARTED,
    NO_RESULT,
    aggregate,
    axes_of,
    fits_into,
    natural,
    order_of,
    plan_key,
    planned,
)
from optbench.results.tables import write_all
from optbench.results.walk import parse_overrides, plain_items, read_overrides, split_override

GRID = [(quant, batch) for quant in ("none", "dynamic") for batch in (1, 8)]


@pytest.fixture
def sweep(tmp_path, made_run, write_run):
    """Four points, run in another order than they are read in."""
    directory = tmp_path / "sweep"
    for number, (quant, batch) in enumerate(reversed(GRID)):
        result = made_run(batch=batch, quantization=quant, speedup=2.0 + number)
        write_run(directory / str(number), result, [f"quant={quant}", f"batch_size={batch}", "seed=0"])
    return directory


def names(found, **wanted):
    return [p.name for p in found.points if all(getattr(p, key) == value for key, value in wanted.items())]


def test_a_sweep_is_a_row_for_each_point_ordered_by_variant_and_shape(sweep):
    found = aggregate([sweep])
    assert found.counts == {"ok": 4}
    assert found.axes == {"quant": ["dynamic", "none"], "batch_size": ["1", "8"]}
    assert [(p.name, p.candidate.label, p.batch_size) for p in found.points] == [
        ("3", "onnxruntime", 1),
        ("2", "onnxruntime", 8),
        ("1", "onnxruntime dynamic", 1),
        ("0", "onnxruntime dynamic", 8),
    ]
    assert found.points[0].axes == {"quant": "none", "batch_size": "1"}


def test_the_record_says_who_made_it_when_and_from_where(sweep):
    before = datetime.now(timezone.utc).replace(microsecond=0)
    found = aggregate([sweep, sweep / "0"])
    assert found.optbench_version == __version__
    created = datetime.fromisoformat(found.created_at)
    assert before <= created <= datetime.now(timezone.utc)
    assert found.created_at == f"{created:%Y-%m-%dT%H:%M:%S}+00:00"
    assert (found.root, found.directories) == (str(sweep), [str(sweep), str(sweep / "0")])


def test_a_row_holds_what_the_result_holds(sweep):
    point = aggregate([sweep]).points[-1]
    assert point.speedup.value == 2.0
    assert (point.speedup.interval.low, point.speedup.interval.high) == (1.98, 2.02)
    assert (point.cpu_speedup.value, point.size_ratio, point.replicates) == (1.5, 0.4, 10)
    assert (point.rows, point.broken, point.fixed, point.agreement.value) == (200, 4, 2, 0.975)
    assert point.leading_metric.difference.value == -0.01
    assert (point.grade, point.model, point.input_length, point.config_hash) == (
        "good",
        "tiny",
        32,
        "dynamic-8-32",
    )
    side = point.candidate
    assert (side.threads, side.size_bytes, side.peak_memory_bytes, side.cold_start_seconds) == (
        2,
        2_000_000,
        20_000_000,
        1.75,
    )
    assert side.latency.mean_seconds == 0.005


def test_failed_skipped_missing_and_damaged_points_keep_their_reasons(sweep, made_run, write_run):
    failed = {"variants": {}, "comparisons": {}, "timing": None, "quality": None, "trust": None}
    worker = Failure("WorkerError", "timing", "the candidate died of signal 9")
    write_run(sweep / "4", made_run(batch=16, status="failed", failure=worker, **failed), ["quant=none"])
    unable = Failure("Unsupported", "model", "it cannot be exported")
    write_run(sweep / "5", made_run(status="skipped", failure=unable, **failed), ["quant=static"])
    write_run(sweep / "6", None, ["quant=int4"])
    write_run(sweep / "7", made_run(), ["quant=none"])
    whole = (sweep / "7" / "result.json").read_bytes()
    (sweep / "7" / "result.json").write_bytes(whole[: len(whole) // 2])
    found = aggregate([sweep])
    assert found.counts == {"ok": 4, "failed": 1, "skipped": 1, "missing": 1, "unreadable": 1}
    by_name = {point.name: point for point in found.points}
    assert by_name["4"].reason == "the candidate died of signal 9"
    assert (by_name["4"].stage, by_name["4"].batch_size, by_name["4"].group) == ("timing", 16, 0)
    assert by_name["4"].candidate.label == "onnxruntime dynamic"
    assert by_name["4"].log == str(sweep / "4" / "optbench.log")
    assert by_name["5"].reason == "it cannot be exported"
    assert by_name["6"].reason == NO_RESULT
    assert by_name["6"].axes["quant"] == "int4"
    assert by_name["7"].reason.startswith("result.json is damaged or no result of optbench")


def test_points_that_a_sweep_planned_and_never_started_are_missing(sweep):
    plan = SweepPlan({"quant": ["none", "dynamic"], "batch_size": ["1", "8", "16"], "+seed": ["0"]})
    write_atomically(sweep / PLAN_FILE, to_json(plan))
    missing = [point for point in aggregate([sweep]).points if point.status == "missing"]
    assert {point.reason for point in missing} == {NEVER_STARTED}
    assert sorted(point.overrides for point in missing) == [
        ["quant=dynamic", "batch_size=16", "+seed=0"],
        ["quant=none", "batch_size=16", "+seed=0"],
    ]


def test_points_that_never_started_are_named_by_what_sets_them_apart(sweep):
    plan = SweepPlan({"quant": ["none", "dynamic"], "batch_size": ["1", "8", "16"], "+seed": ["0"]})
    write_atomically(sweep / PLAN_FILE, to_json(plan))
    found = aggregate([sweep])
    assert names(found, status="missing") == ["quant=dynamic batch_size=16", "quant=none batch_size=16"]
    told = f"missing: quant=dynamic batch_size=16, quant=none batch_size=16: {NEVER_STARTED}"
    assert reasons(found) == [told]
    assert names(aggregate([sweep.parent]), status="missing")[0] == "sweep/quant=dynamic batch_size=16"


def test_a_sweep_that_runs_is_not_called_dead(sweep, made_run, write_run, monkeypatch):
    plan = SweepPlan({"quant": ["none", "dynamic"], "batch_size": ["1", "8", "16", "32"]})
    write_atomically(sweep / PLAN_FILE, to_json(plan))
    begun = Failure("interrupted", "timing", "the run has not come to its end")
    unfinished = made_run(batch=16, status="failed", failure=begun, finished_at=None)
    write_run(sweep / "4", unfinished, ["quant=none", "batch_size=16", "seed=0"])
    write_run(sweep / "5", None, ["quant=none", "batch_size=32", "seed=0"])
    (sweep / LOCK_FILE).write_text("7 here\n")
    monkeypatch.setattr("optbench.results.aggregate.holder_of", lambda place: Holder(7, "here"))
    found = aggregate([sweep])
    assert found.counts == {"ok": 4, "running": 2, "missing": 2}
    assert {p.reason for p in found.points if p.status == "running"} == {"still running (pid 7 on here)"}
    assert {p.stage for p in found.points if p.name == "4"} == {"timing"}
    told = "has not started yet: its sweep is running (pid 7 on here)"
    assert {p.reason for p in found.points if p.status == "missing"} == {told}


def test_a_run_that_was_killed_is_told_from_one_that_may_run(sweep, made_run, write_run):
    begun = Failure("interrupted", "timing", "it still runs, or was killed")
    unfinished = made_run(batch=16, status="failed", failure=begun, finished_at=None)
    for number, text in ((4, f"7 {socket.gethostname()}"), (5, "7 elsewhere")):
        (write_run(sweep / str(number), unfinished, ["quant=none"]) / LOCK_FILE).write_text(text)
    found = {point.name: point.reason for point in aggregate([sweep]).points if point.status == "failed"}
    assert found == {"4": "was killed in its stage 'timing'", "5": "it still runs, or was killed"}


def test_what_was_started_on_another_host_is_not_called_dead(sweep, write_run, monkeypatch):
    (write_run(sweep / "4", None, ["quant=none"]) / LOCK_FILE).write_text("7 there\n")
    found = aggregate([sweep])
    assert [p.reason for p in found.points if p.status == "missing"] == [
        "no result.json yet: it was started as pid 7 on there, which cannot be asked from here"
    ]


def test_a_sweep_of_another_host_may_still_run_and_only_its_own_lock_is_asked_for(tmp_path):
    for place in (tmp_path / "sweep", tmp_path / "other"):
        place.mkdir()
        write_atomically(place / PLAN_FILE, to_json(SweepPlan({"quant": ["none"], "batch_size": ["4"]})))
    (tmp_path / "sweep" / LOCK_FILE).write_text("7 elsewhere\n")
    reasons_of = {point.name: point.reason for point in aggregate([tmp_path]).points if point.reason}
    assert "pid 7 on elsewhere" in reasons_of["sweep/quant=none batch_size=4"]
    assert reasons_of["other/quant=none batch_size=4"] == NEVER_STARTED


def test_a_sweep_of_which_nothing_was_started_has_no_groups(tmp_path):
    write_atomically(tmp_path / PLAN_FILE, to_json(SweepPlan({"quant": ["none"], "batch_size": ["4"]})))
    found = aggregate([tmp_path])
    assert (found.counts, found.groups, found.differing) == ({"missing": 1}, [], [])


def test_a_plan_that_the_points_do_not_fit_is_a_note_and_no_guess(sweep):
    write_atomically(sweep / PLAN_FILE, to_json(SweepPlan({"quant": [str(n) for n in range(9)]})))
    found = aggregate([sweep])
    assert found.counts == {"ok": 4}
    assert found.notes == [".: 9 points were planned, 4 were started"]


def test_where_as_many_points_were_started_as_planned_none_is_missed(sweep):
    write_atomically(sweep / PLAN_FILE, to_json(SweepPlan({"quant": ["a", "b", "c", "d"]})))
    found = aggregate([sweep])
    assert (found.counts, found.notes) == ({"ok": 4}, [])


def test_the_gaps_of_several_sweeps_are_all_found_whatever_became_of_the_others(
    tmp_path, made_run, write_run
):
    plans = {"a": ["1"], "b": ["7", "8", "9"], "c": ["1", "2"], "d": ["1", "3"]}
    for name, values in plans.items():
        write_run(tmp_path / name / "0", made_run(), ["seed=1"])
        write_atomically(tmp_path / name / PLAN_FILE, to_json(SweepPlan({"seed": values})))
    found = aggregate([tmp_path])
    assert found.notes == ["b: 3 points were planned, 1 were started"]
    missing = [point for point in found.points if point.status == "missing"]
    assert [(point.name, point.directory, point.overrides) for point in missing] == [
        ("c/seed=2", str(tmp_path / "c"), ["seed=2"]),
        ("d/seed=3", str(tmp_path / "d"), ["seed=3"]),
    ]


@pytest.mark.parametrize(("limit", "missing"), [(6, 2), (5, 0)])
def test_a_grid_beyond_the_limit_is_a_note_and_not_listed(sweep, monkeypatch, limit, missing):
    monkeypatch.setattr(inspect.getmodule(aggregate), "PLAN_LIMIT", limit)
    plan = SweepPlan({"quant": ["none", "dynamic"], "batch_size": ["1", "8", "16"]})
    write_atomically(sweep / PLAN_FILE, to_json(plan))
    found = aggregate([sweep])
    assert found.counts.get("missing", 0) == missing
    assert found.notes == ([] if missing else [".: 6 points were planned, 4 were started"])


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"axes": {}, "schema_version": 99}'])
def test_a_plan_that_cannot_be_read_is_no_plan(sweep, content):
    (sweep / PLAN_FILE).write_bytes(content)
    assert aggregate([sweep]).counts == {"ok": 4}


def test_what_may_not_be_compared_is_in_different_groups_and_the_fields_are_named(
    tmp_path, made_run, write_run
):
    other = {"machine": "m2", "versions": {"torch": "2.1", "numpy": "2.1"}}
    write_run(tmp_path / "a", made_run())
    write_run(tmp_path / "b", made_run(environment=other))
    write_run(tmp_path / "c", made_run())
    found = aggregate([tmp_path])
    assert found.differing == ["machine", "torch"]
    assert [(group.number, group.points) for group in found.groups] == [(0, 2), (1, 1)]
    assert names(found, group=1) == ["b"]


def test_differing_facts_stand_in_their_own_order_and_unknown_ones_at_the_end(tmp_path, made_run, write_run):
    variables = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    for name, version, more in (("a", "2.0", {}), ("b", "2.1", variables)):
        environment = {
            "machine": f"m-{name}",
            "cpu_model": f"cpu-{name}",
            "versions": {"torch": version},
            "thread_variables": more,
        }
        write_run(tmp_path / name, made_run(environment=environment))
    assert aggregate([tmp_path]).differing == [
        "machine",
        "cpu_model",
        "torch",
        "MKL_NUM_THREADS",
        "OMP_NUM_THREADS",
    ]


def test_points_of_one_sweep_on_two_machines_are_two_groups_and_none_is_missed(tmp_path, made_run, write_run):
    sweep = tmp_path / "sweep"
    for number, (batch, host) in enumerate([(1, "a"), (2, "b"), (4, "a"), (8, "b")]):
        environment = {"machine": f"m-{host}", "hostname": host, "versions": {"torch": "2.0"}}
        result = made_run(batch=batch, environment=environment)
        write_run(sweep / str(number), result, [f"batch_size={batch}", "cluster=ray"])
    axes = {"batch_size": ["1", "2", "4", "8"], "cluster": ["ray"]}
    write_atomically(sweep / PLAN_FILE, to_json(SweepPlan(axes)))
    found = aggregate([sweep])
    assert found.counts == {"ok": 4}
    assert found.differing == ["machine"]
    assert [(group.facts["machine"], group.points) for group in found.groups] == [("m-a", 2), ("m-b", 2)]
    assert [point.axes["batch_size"] for point in found.points if point.group == 1] == ["2", "8"]


def test_threads_make_groups(tmp_path, made_run, write_run):
    run = made_run()
    one = {name: replace(variant, threads=1) for name, variant in run.variants.items()}
    write_run(tmp_path / "a", run)
    write_run(tmp_path / "b", replace(run, variants=one))
    assert aggregate([tmp_path]).differing == ["threads of the baseline", "threads of the candidate"]


def test_a_library_that_was_not_installed_in_some_runs_makes_no_groups(tmp_path, made_run, write_run):
    for name, version in (("a", None), ("b", "1.0")):
        environment = {"machine": "m1", "versions": {"torch": "2.0", "openvino": version}}
        write_run(tmp_path / name, made_run(environment=environment))
    assert len(aggregate([tmp_path]).groups) == 1
    environment = {"machine": "m1", "versions": {"torch": "2.0", "openvino": "2.0"}}
    write_run(tmp_path / "c", made_run(environment=environment))
    assert aggregate([tmp_path]).differing == ["openvino"]


def test_a_plug_in_counts_as_a_library_does(tmp_path, made_run, write_run):
    for name, plug_ins in (("a", {}), ("b", {"mine": "1.0"})):
        write_run(tmp_path / name, made_run(environment={"machine": "m1", "plug_ins": plug_ins}))
    assert len(aggregate([tmp_path]).groups) == 1
    write_run(tmp_path / "c", made_run(environment={"machine": "m1", "plug_ins": {"mine": "2.0"}}))
    assert aggregate([tmp_path]).differing == ["plug-in mine"]


def test_a_result_of_a_newer_schema_says_so_and_one_of_an_older_is_read(tmp_path, made_run, write_run):
    content = json.loads(to_json(made_run()))
    for name, version in (("new", records.SCHEMA_VERSION + 1), ("old", 0)):
        write_run(tmp_path / name)
        (tmp_path / name / "result.json").write_text(json.dumps({**content, "schema_version": version}))
    write_run(tmp_path / "future")
    (tmp_path / "future" / "result.json").write_text('{"schema_version": 99}')
    by_name = {point.name: point for point in aggregate([tmp_path]).points}
    assert by_name["old"].status == "ok"
    assert "upgrade optbench" in by_name["new"].reason
    assert by_name["future"].reason.startswith("result.json has schema version 99")


def test_links_hidden_directories_and_files_of_the_name_do_no_harm(sweep):
    (sweep / "loop").symlink_to(sweep)
    (sweep / "again").symlink_to(sweep / "0")
    (sweep / ".hidden").mkdir()
    (sweep / ".hidden" / "result.json").write_text("{}")
    (sweep / "folder" / "result.json").mkdir(parents=True)
    (sweep / "dangling").mkdir()
    (sweep / "dangling" / "result.json").symlink_to(sweep / "dangling" / "result.json")
    found = aggregate([sweep, sweep / "0", sweep / "0" / "result.json"])
    assert found.counts == {"ok": 4, "unreadable": 2}
    assert {p.reason for p in found.points if p.status == "unreadable"} == {"result.json is not a file"}


def test_a_pipe_in_place_of_a_result_does_not_block(sweep):
    (sweep / "9").mkdir()
    os.mkfifo(sweep / "9" / "result.json")
    assert names(aggregate([sweep]), status="unreadable") == ["9"]


def test_an_empty_result_blames_the_disk(sweep):
    (sweep / "0" / "result.json").write_bytes(b"\0\0\0")
    (point,) = [point for point in aggregate([sweep]).points if point.status == "unreadable"]
    assert point.reason == "result.json is empty; the disk may have been full"


def test_nothing_to_aggregate_is_an_error(tmp_path):
    with pytest.raises(ResultError, match="must be a directory that holds results, but there is none"):
        aggregate([tmp_path / "gone"])
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultError, match="is a file"):
        aggregate([tmp_path / "file"])
    for name in "ab":
        (tmp_path / name).mkdir()
    advice = "holds no results; give a run or sweep directory, or one above them$"
    with pytest.raises(ResultError, match=f"^{tmp_path}/a, {tmp_path}/b {advice}"):
        aggregate([tmp_path / "a", tmp_path / "b"])


def test_garbage_is_collected_afterwards_as_it_was_before(sweep):
    try:
        for switch, collects in ((gc.enable, True), (gc.disable, False)):
            switch()
            aggregate([sweep])
            assert gc.isenabled() == collects
    finally:
        gc.enable()


def test_a_run_without_a_log_points_to_none(sweep):
    (sweep / "0" / "optbench.log").unlink()
    logs = {point.name: point.log for point in aggregate([sweep]).points}
    assert logs["0"] is None
    assert logs["1"] == str(sweep / "1" / "optbench.log")


def test_several_candidates_of_one_run_are_several_rows(tmp_path, made_run, write_run):
    run = made_run()
    variants = {**run.variants, "second": run.variants["candidate"]}
    comparisons = {**run.comparisons, "second": run.comparisons["candidate"]}
    write_run(tmp_path / "run", replace(run, variants=variants, comparisons=comparisons))
    found = aggregate([tmp_path])
    assert [(point.variant, point.speedup.value) for point in found.points] == [
        ("candidate", 2.0),
        ("second", 2.0),
    ]


def test_overrides_are_read_with_and_without_a_yaml_parser(tmp_path):
    plain = "- quant=dynamic\n- quality.metrics=[a,b]\n"
    quoted = "- \"a: b\"\n- 'task.label_map={pos: POSITIVE}'\n- long=1\n  2\n"
    assert plain_items(plain) == parse_overrides(plain) == ["quant=dynamic", "quality.metrics=[a,b]"]
    assert plain_items(quoted) is None
    assert parse_overrides(quoted) == ["a: b", "task.label_map={pos: POSITIVE}", "long=1 2"]
    assert plain_items("[]\n") is None
    for odd in ("[]", "{a: 1}", "- [1", "\t", "&a [*a]"):
        assert parse_overrides(odd) == []
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "overrides.yaml").write_bytes(b"\xff\xfe")
    assert read_overrides(str(tmp_path)) == []
    assert split_override("+a.b=x=1") == ("a.b", "x=1")


def test_axes_are_keys_that_differ_or_are_absent_somewhere():
    assert axes_of([{"a": "1", "b": "2"}, {"a": "1", "b": "10"}, {"a": "1", "c": "x"}, {}]) == {
        "b": ["2", "10"],
        "c": ["x"],
    }
    assert sorted(["none", "10", "9", "nan", "1e3", "a"], key=natural) == [
        "9",
        "10",
        "1e3",
        "a",
        "nan",
        "none",
    ]


def placed(name, group=0, label="onnxruntime", batch_size=None, **axes):
    """A point that stands where these say."""
    side = Side(label=label, backend="", quantization="") if label is not None else None
    shape = {"batch_size": batch_size, "input_length": axes.pop("length", None)}
    return Point(directory="", name=name, status="ok", group=group, candidate=side, axes=axes, **shape)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"group": 0, "label": "b"}, {"group": 1, "label": "a"}),
        ({"group": 100}, {"group": None}),
        ({"label": "a", "seed": "2"}, {"label": "b", "seed": "1"}),
        ({"label": "zebra"}, {"label": None}),
        ({"seed": "9", "batch_size": 8}, {"seed": "10", "batch_size": 1}),
        ({"batch_size": 2, "length": 9}, {"batch_size": 10, "length": 8}),
        ({"length": 9}, {"length": 10}),
        ({"input_length": "16", "seed": "1"}, {"input_length": "8", "seed": "2"}),
        ({"input_length": "8"}, {"input_length": "16"}),
    ],
)
def test_points_stand_by_group_then_candidate_then_axes_then_shape_then_name(first, second):
    earlier, later = placed("z", **first), placed("a", **second)
    assert sorted([later, earlier], key=order_of) == [earlier, later]
    same = placed("b", **second)
    assert sorted([same, later], key=order_of) == [later, same]


def test_a_batch_size_that_was_only_planned_orders_as_a_shape():
    planned_only = [
        replace(placed("a"), axes={"batch_size": "8", "seed": "2"}),
        replace(placed("b"), axes={"batch_size": "16", "seed": "1"}),
        replace(placed("c"), axes={"batch_size": "8", "seed": "1"}),
        replace(placed("d"), axes={"seed": "1"}),
    ]
    assert [point.name for point in sorted(planned_only, key=order_of)] == ["d", "c", "b", "a"]


def test_a_point_is_found_in_a_plan_however_its_values_are_written():
    plan = SweepPlan({"+dataset.ref_keys": ["[a, b]"], "seed": ["0"]})
    assert plan_key(plan, ["dataset.ref_keys='[a,b]'"]) == ("[a,b]", None)
    assert plan_key(plan, ["dataset.ref_keys=[a, b]"]) == ("[a,b]", None)
    assert list(planned(plan)) == [["+dataset.ref_keys=[a, b]", "seed=0"]]


def test_a_point_joins_a_group_by_the_facts_that_are_known_of_it():
    group = {"machine": "m1", "threads of the candidate": "2"}
    assert fits_into({"machine": "m1", "threads of the candidate": None}, group)
    assert not fits_into({"machine": "m2", "threads of the candidate": None}, group)
    assert not fits_into({"machine": "m1"}, group)


def test_a_point_that_loaded_nothing_joins_no_group_if_none_or_several_fit(tmp_path, made_run, write_run):
    run = made_run()
    one = {name: replace(variant, threads=1) for name, variant in run.variants.items()}
    write_run(tmp_path / "a", run)
    write_run(tmp_path / "b", replace(run, variants=one))
    nothing = {"variants": {}, "comparisons": {}, "timing": None, "quality": None, "trust": None}
    failed = replace(run, status="failed", failure=Failure("WorkerError", "load", "it died"), **nothing)
    write_run(tmp_path / "c", failed)
    write_run(tmp_path / "d", replace(failed, environment={**run.environment, "machine": "m2"}))
    found = aggregate([tmp_path])
    assert {p.name: p.group for p in found.points} == {"a": 0, "b": 1, "c": None, "d": None}


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def places_in(value, path=()):
    """Every path inside a JSON value."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places_in(item, (*path, key))


def changed(value, path, new):
    """A copy of a JSON value with another value at `path`."""
    if not path:
        return new
    copied = dict(value) if isinstance(value, dict) else list(value)
    copied[path[0]] = changed(value[path[0]], path[1:], new)
    return copied


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)
@given(data=st.data())
def test_no_damage_to_a_result_makes_aggregation_raise(data, tmp_path, made_run):
    whole = json.loads(to_json(made_run()))
    path = data.draw(st.sampled_from(list(places_in(whole))))
    content = json.dumps(changed(whole, path, data.draw(VALUES))).encode()
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content)))]
    run = tmp_path / "run"
    run.mkdir(exist_ok=True)
    (run / "result.json").write_bytes(content)
    found = aggregate([tmp_path])
    assert len(found.points) >= 1
    write_all(found, tmp_path / "out")
    to_markdown(found)
    assert msgspec.json.decode(to_json(found), type=records.Aggregate) == found
