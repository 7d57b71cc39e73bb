"""What a person sees of many points: rows, maps, reasons, and nothing that is taken for markup."""

import io

import pytest

from optbench.delivery.report import page_of
from optbench.records import Failure, Interval, KernelReport, Percentile, Trust, replace
from optbench.reports.console import console
from optbench.reports.escape import markdown, one_line
from optbench.reports.points import MOST_ROWS, maps, reasons, sheets, show, to_markdown, warnings
from optbench.results.aggregate import aggregate


def shown(found, width=None):
    place = io.StringIO()
    out = console(place)
    if width:
        out.width = width
    show(found, out)
    return place.getvalue()


@pytest.fixture
def variants(tmp_path, made_run, write_run):
    """Two variants at one shape, and one that failed."""
    for number, (quant, speedup) in enumerate((("none", 1.5), ("dynamic", 2.0))):
        run = made_run(quantization=quant, speedup=speedup)
        write_run(tmp_path / str(number), run, [f"quant={quant}"])
    bare = {"variants": {}, "comparisons": {}, "timing": None, "quality": None, "trust": None}
    failure = Failure("WorkerError", "timing", "the candidate [bold]died[/bold]\nof | signal 9")
    run = made_run(quantization="static", status="failed", failure=failure, **bare)
    write_run(tmp_path / "2", run, ["quant=static"])
    return tmp_path


def test_variants_at_one_shape_are_rows_with_everything_that_decides(variants):
    (sheet,) = sheets(aggregate([variants]))
    assert sheet.title == "against pytorch, batch 1, 32 tokens, 2 threads"
    assert sheet.head == [
        "point",
        "variant",
        "speed-up",
        "p50 / p95",
        "weights",
        "peak memory",
        "accuracy",
        "same",
        "grade",
    ]
    assert sheet.rows == [
        [
            "0",
            "onnxruntime",
            "1.50x (1.48 to 1.52)",
            "10.0 ms / 13.0 ms",
            "2.00 MB",
            "20.0 MB",
            "0.8900 -1.00 pt (-2.00 to +0.50)",
            "97.5%",
            "good",
        ],
        [
            "1",
            "onnxruntime dynamic",
            "2.00x (1.98 to 2.02)",
            "7.50 ms / 9.75 ms",
            "2.00 MB",
            "20.0 MB",
            "0.8900 -1.00 pt (-2.00 to +0.50)",
            "97.5%",
            "good",
        ],
        ["2", "onnxruntime static", "failed", "–", "–", "–", "–", "–", "–"],
    ]


def test_a_failure_is_told_in_one_line_with_its_log_and_without_markup(variants):
    text = shown(aggregate([variants]))
    assert "3 points: 2 ok, 1 failed" in text
    log = variants / "2" / "optbench.log"
    assert f"failed: 2: the candidate [bold]died[/bold] of | signal 9 (log: {log})" in text


def test_markdown_shows_the_same_and_escapes_what_would_break_it(variants):
    text = to_markdown(aggregate([variants]))
    assert "| 1 | onnxruntime dynamic | 2.00x (1.98 to 2.02) | 7.50 ms / 9.75 ms |" in text
    assert "- failed: 2: the candidate \\[bold\\]died\\[/bold\\] of \\| signal 9" in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert {line.replace("\\|", "").count("|") for line in rows} == {10}


def test_a_hostile_name_stays_one_cell(tmp_path, made_run, write_run):
    evil = "a\n\x1b[31mb[/red]|<script>"
    run = made_run()
    run = replace(
        run, variants={**run.variants, "candidate": replace(run.variants["candidate"], backend=evil)}
    )
    write_run(tmp_path / "run", run)
    found = aggregate([tmp_path])
    assert "a [31mb[/red]|<script> dynamic" in shown(found)
    assert "\x1b" not in shown(found)
    assert "a \\[31mb\\[/red\\]\\|&lt;script&gt; dynamic" in to_markdown(found)


def test_a_grid_of_shapes_is_a_map_as_well(tmp_path, made_run, write_run):
    for number, (batch, length) in enumerate(((1, 16), (1, 64), (8, 16), (8, 64))):
        run = made_run(batch=batch, length=length, speedup=1.0 + number)
        changes = {"status": "failed", "failure": Failure("x", "timing", "no")} if number == 3 else {}
        overrides = [f"batch_size={batch}", f"input_length={length}"]
        write_run(tmp_path / str(number), replace(run, **changes), overrides)
    found = aggregate([tmp_path])
    (sheet,) = maps(found.points)
    assert sheet.title == "speed-up of onnxruntime dynamic by batch size and length"
    assert sheet.head == ["", "16 tokens", "64 tokens"]
    assert sheet.rows == [
        ["batch 1", "1.00x ±0.01", "2.00x ±0.02"],
        ["batch 8", "3.00x ±0.03", "failed"],
    ]
    assert sheets(found)[0].head[2:4] == ["batch", "length"]
    assert sheet.title in shown(found)


def test_groups_stand_apart_and_the_difference_is_said(tmp_path, made_run, write_run):
    write_run(tmp_path / "a", made_run())
    write_run(tmp_path / "b", made_run(environment={"machine": "m2"}))
    found = aggregate([tmp_path])
    assert warnings(found) == [
        "2 groups that must not be compared with each other: they differ in machine, torch, numpy"
    ]
    assert [sheet.title.split(";")[0] for sheet in sheets(found)] == [
        "group 0: machine m1, torch 2.0, numpy 2.1",
        "group 1: machine m2, torch absent, numpy absent",
    ]


def test_an_axis_that_the_label_does_not_tell_is_part_of_the_name(tmp_path, made_run, write_run):
    for number, value in enumerate(("true", "false")):
        overrides = ["quant=dynamic", f"quantization.per_channel={value}"]
        write_run(tmp_path / str(number), made_run(), overrides)
    (sheet,) = sheets(aggregate([tmp_path]))
    assert [row[1] for row in sheet.rows] == [
        "onnxruntime dynamic quantization.per_channel=false",
        "onnxruntime dynamic quantization.per_channel=true",
    ]


def test_settings_that_make_no_variant_are_no_part_of_its_name_and_keys_are_whole(
    tmp_path, made_run, write_run
):
    common = ["quant=dynamic", "threads=1", "measure=quick"]
    write_run(tmp_path / "0", made_run(), [*common, "model.path=my_model", "dataset.path=rows.csv"])
    write_run(tmp_path / "1", made_run(), ["quant=dynamic"])
    found = aggregate([tmp_path])
    assert "onnxruntime dynamic model.path=my_model dataset.path=rows.csv" in shown(found)
    assert "measure=quick" not in shown(found) + to_markdown(found)
    assert found.axes["measure"] == ["quick"]  # the files still hold it
    page = page_of(tmp_path).html()
    assert "dataset.path=rows.csv" in page
    assert "measure=quick" not in page


def test_settings_of_several_values_stay_in_the_name(tmp_path, made_run, write_run):
    for number, policy in enumerate(("active", "passive")):
        write_run(tmp_path / str(number), made_run(), [f"measure.wait_policy={policy}"])
    found = shown(aggregate([tmp_path]))
    assert "measure.wait_policy=active" in found
    assert "measure.wait_policy=passive" in found


def test_very_many_points_are_cut_and_equal_reasons_are_told_once(tmp_path, write_run):
    for number in range(MOST_ROWS + 1):
        write_run(tmp_path / str(number), None, [f"seed={number}"])
    found = aggregate([tmp_path])
    assert len(sheets(found)[0].rows) == MOST_ROWS
    assert warnings(found) == [f"tables show up to {MOST_ROWS} rows; all stand in results.csv"]
    (line,) = reasons(found)
    assert line.startswith("missing: 0 (seed=0), 1 (seed=1), 2 (seed=2)")
    assert f"and {MOST_ROWS - 7} more" in line


def test_text_is_made_fit_for_a_line():
    assert one_line(" a\tb\n\u202ec ", 40) == "a b c"
    assert one_line("abcdef", 4) == "abc…"
    assert markdown("a_b *c* `d` #1 $x$") == "a\\_b \\*c\\* \\`d\\` \\#1 \\$x\\$"


def test_intervals_labels_and_integer_shares_are_shown_where_a_result_has_them(tmp_path, made_run, write_run):
    run = made_run()
    candidate = run.variants["candidate"]
    percentiles = [Percentile(0.5, 0.004, Interval(0.0038, 0.0042)), Percentile(0.95, 0.006)]
    candidate = replace(
        candidate,
        label="onnxruntime dynamic per tensor",
        latency=replace(candidate.latency, percentiles=percentiles),
        kernels=KernelReport(36, 30, time_share=0.9),
    )
    write_run(tmp_path / "0", replace(run, variants={**run.variants, "candidate": candidate}), [])
    write_run(tmp_path / "1", made_run(speedup=3.0), [])
    (sheet,) = sheets(aggregate([tmp_path]))
    known, bare = (
        dict(zip(sheet.head, row, strict=True)) for row in sorted(sheet.rows, key=lambda row: row[0])
    )
    assert known["variant"] == "onnxruntime dynamic per tensor"
    assert known["p50 / p95"] == "4.00 ms (3.80 ms to 4.20 ms) / 6.00 ms"
    assert known["in integers (one look's time)"] == "30/36 (90%)"
    assert bare["in integers (one look's time)"] == "–"


def test_the_share_of_a_looks_time_is_left_out_where_the_machine_was_disturbed(made_run, write_run, tmp_path):
    run = made_run(trust=Trust("poor", [], []))
    candidate = replace(run.variants["candidate"], kernels=KernelReport(36, 30, time_share=0.9))
    write_run(tmp_path / "0", replace(run, variants={**run.variants, "candidate": candidate}), [])
    (sheet,) = sheets(aggregate([tmp_path]))
    assert dict(zip(sheet.head, sheet.rows[0], strict=True))["in integers (one look's time)"] == "30/36"


def test_a_recipe_is_the_name_of_its_variant(tmp_path, made_run, write_run):
    for number, recipe in enumerate(("onnxruntime-int8", "onnxruntime-static")):
        write_run(tmp_path / str(number), made_run(), [f"recipe={recipe}"])
    (sheet,) = sheets(aggregate([tmp_path]))
    assert sorted(row[1] for row in sheet.rows) == ["onnxruntime-int8", "onnxruntime-static"]
