"""What a person sees: cells of the table, reasons instead of missing numbers, and how much of it."""

import io
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from optbench import __version__
from optbench.backends.onnxruntime import OnnxRuntime
from optbench.backends.pytorch import PyTorch
from optbench.config import Scope, Variant
from optbench.measure.procedure import Progress
from optbench.quantizations.none import NoQuantization
from optbench.records import (
    ArtifactRecord,
    ColdStart,
    Comparison,
    EndToEnd,
    Estimate,
    Failure,
    GateResult,
    Generation,
    Interval,
    KernelReport,
    Latency,
    MetricResult,
    Percentile,
    PhaseLatency,
    QualityResult,
    RunResult,
    Signal,
    Throughput,
    TimingRecord,
    Trust,
    VariantResult,
    Verdict,
    replace,
)
from optbench.reports.console import console
from optbench.reports.html.run_tables import kernels_tables
from optbench.reports.parts import end_to_end_rows
from optbench.reports.remarks import kernel_lines
from optbench.reports.run_table import label, quotient, result_table
from optbench.reports.run_text import to_markdown
from optbench.reports.terminal import Terminal, what_runs
from optbench.units import MISSING_TEXT
from optbench.verbosity import Verbosity

TIMING = TimingRecord("latency", 1, 8, 64, "random", 0, 5, "fork", "runtime", {}, "precision", 10.0, 5.0)


def latency(mean, p99=None):
    percentiles = [
        Percentile(0.5, mean),
        Percentile(0.99, p99, reason=None if p99 else "needs 40 more calls"),
    ]
    return Latency(100, mean, 0.001, 0.001, 0.1, percentiles, 2 * mean)


def variant(backend, quantization, mean, size, peak):
    return VariantResult(
        backend,
        quantization,
        "default",
        2,
        artifact=ArtifactRecord("somewhere", "onnx", backend, size),
        cold_start=ColdStart(1.0, 0.5, mean, peak_memory_bytes=peak),
        latency=latency(mean),
        throughput=Throughput(Estimate(8 / mean), 1 / mean, 10.0),
    )


RESULT = RunResult(
    optbench_version="0",
    status="ok",
    started_at="2025-01-01T00:00:00+00:00",
    command=[],
    config={},
    config_hash="",
    environment={},
    timing=TIMING,
    variants={
        "baseline": variant("pytorch", "none", 0.010, 5_000_000, 400_000_000),
        "candidate": variant("onnxruntime", "dynamic", 0.004, 2_000_000, 100_000_000),
    },
    comparisons={"candidate": Comparison(Estimate(2.5, Interval(2.4, 2.6)), Estimate(2.0))},
    quality=QualityResult(
        rows=1000,
        metrics=[
            MetricResult("accuracy", True, 0.9, 0.896, Estimate(-0.004)),
            MetricResult("pearson", True, None, None, reason="the references are all equal"),
        ],
        agreement=Estimate(0.975),
        broken=15,
        fixed=10,
    ),
    notes=["the dataset does not name its labels"],
    verdict=Verdict("NOT ASKED", [], "The candidate is 2.50x faster."),
)


def change(result, name, **changes):
    """`result` with fields of one variant changed."""
    variants = {**result.variants, name: replace(result.variants[name], **changes)}
    return replace(result, variants=variants)


def shown(result, width=140):
    """The table as text."""
    place = io.StringIO()
    made = console(place)
    made.width = width
    made.print(result_table(result))
    return place.getvalue()


def cells(result):
    """Row name to its other cells, by the table's columns two spaces or more apart."""
    lines = [line.rstrip() for line in shown(result).splitlines() if line.strip()]
    rows = (re.split(r"\s{2,}", line.strip()) for line in lines)
    return {name: rest for name, *rest in rows}


@pytest.fixture
def terminal(monkeypatch, tmp_path):
    """Makes terminals; what they printed is read with capsys."""

    def make(level=Verbosity.normal, point=None):
        monkeypatch.setenv("OPTBENCH_VERBOSITY", level.value)
        return Terminal(point)

    return make


def test_the_head_names_shape_threads_and_both_sides():
    lines = shown(RESULT).splitlines()
    assert lines[0].strip() == "batch 8 x 64 tokens, 2 threads"
    assert lines[1].split() == ["baseline", "candidate"]
    assert lines[2].split() == ["pytorch", "onnxruntime", "dynamic", "change"]


def test_times_ratios_and_sizes_stand_in_their_cells():
    table = cells(RESULT)
    assert table["latency, mean"] == ["10.0 ms", "4.00 ms", "2.50x as fast"]
    assert table["latency, p50"] == ["10.0 ms", "4.00 ms", "2.50x"]
    assert table["CPU time per call"] == ["20.0 ms", "8.00 ms", "2.00x"]
    assert table["throughput"] == ["800/s", "2,000/s", "2.50x"]
    assert table["weights"] == ["5.00 MB", "2.00 MB", "40%"]
    assert table["peak memory"] == ["400 MB", "100 MB", "25%"]
    assert table["cold start to first answer"] == ["1.51 s", "1.50 s", "1.00x"]


def generated(seconds, steps_seconds):
    """A variant's phases: to the first token, and per token after it."""
    phases = [
        None
        if value is None
        else PhaseLatency(9, value, 0.0, value, value, [Percentile(0.5, value), Percentile(0.99, value)])
        for value in (seconds, steps_seconds)
    ]
    return Generation(32, *phases, Estimate(3.2 / seconds))


def test_phases_of_a_generation_have_rows_of_their_own():
    result = change(RESULT, "baseline", generation=generated(0.008, 0.002))
    result = change(result, "candidate", generation=generated(0.004, 0.0005))
    compared = replace(
        RESULT.comparison, first_token_speedup=Estimate(2.1), per_output_token_speedup=Estimate(4.2)
    )
    timing = replace(TIMING, new_tokens=32)
    table = cells(replace(result, comparisons={"candidate": compared}, timing=timing))
    assert table["first token, mean"] == ["8.00 ms", "4.00 ms", "2.10x as fast"]
    assert table["first token, p50"] == ["8.00 ms", "4.00 ms", "2.00x"]
    assert table["per output token, mean"] == ["2.00 ms", "500 µs", "4.20x as fast"]
    assert table["output tokens"] == ["400/s", "800/s", "2.00x"]
    assert not any(name.endswith("token, p99") for name in table)
    assert shown(replace(result, timing=timing)).splitlines()[0].strip() == (
        "batch 8 x 64 tokens + 32 new, 2 threads"
    )


def test_a_generation_of_one_token_has_no_time_per_output_token():
    result = change(RESULT, "baseline", generation=generated(0.008, None))
    result = change(result, "candidate", generation=generated(0.004, None))
    table = cells(result)
    assert table["first token, mean"] == ["8.00 ms", "4.00 ms", "2.00x"]
    assert not any(name.startswith("per output token") for name in table)


def test_a_missing_percentile_shows_its_reason():
    assert cells(RESULT)["latency, p99"] == ["needs 40 more calls", "needs 40 more calls"]


def test_a_percentile_that_one_side_lacks_has_no_ratio():
    result = change(RESULT, "candidate", latency=latency(0.004, p99=0.006))
    assert cells(result)["latency, p99"] == ["needs 40 more calls", "6.00 ms"]


def test_a_missing_percentile_without_a_reason_is_a_dash():
    bare = replace(latency(0.01), percentiles=[Percentile(0.5, None)])
    result = change(change(RESULT, "baseline", latency=bare), "candidate", latency=bare)
    assert cells(result)["latency, p50"] == [MISSING_TEXT, MISSING_TEXT]


def test_metrics_agreement_and_flips_stand_below():
    table = cells(RESULT)
    assert table["accuracy"] == ["0.9000", "0.8960", "-0.40 pt"]
    assert table["same answers of 1,000"] == ["97.5%", "15 broken, 10 fixed"]


def test_an_undefined_metric_shows_its_reason():
    assert cells(RESULT)["pearson"] == ["the references are all equal"]


def test_an_undefined_metric_without_a_reason_is_a_dash():
    quality = replace(RESULT.quality, metrics=[MetricResult("pearson", True, None, None)])
    assert cells(replace(RESULT, quality=quality))["pearson"] == [MISSING_TEXT]


def test_a_change_without_a_difference_is_told_in_the_metrics_own_unit():
    metrics = [MetricResult("mae", False, 1.5, 2.0, is_share=False)]
    quality = replace(RESULT.quality, metrics=metrics, broken=None, fixed=None)
    table = cells(replace(RESULT, quality=quality))
    assert table["mae"] == ["1.5000", "2.0000", "+0.500"]
    assert table["same answers of 1,000"] == ["97.5%"]


@pytest.mark.parametrize("name", ["mse", "mae"])
def test_errors_do_not_change_by_percentage_points(name):
    metrics = [MetricResult(name, False, 1.5, 2.0, Estimate(0.5), is_share=False)]
    assert "pt" not in cells(replace(RESULT, quality=replace(RESULT.quality, metrics=metrics)))[name][-1]


def test_without_rows_there_are_no_rows_about_quality():
    table = cells(replace(RESULT, quality=None))
    assert "accuracy" not in table
    assert not any(name.startswith("same answers") for name in table)
    bare = replace(RESULT.quality, metrics=[], agreement=None)
    assert not any(name.startswith("same answers") for name in cells(replace(RESULT, quality=bare)))


@pytest.mark.parametrize(
    "result",
    [
        change(RESULT, "candidate", latency=None),
        change(RESULT, "baseline", latency=None),
        replace(RESULT, comparisons={}),
    ],
    ids=["no candidate", "no baseline", "no comparison"],
)
def test_without_both_timings_there_is_no_row_about_speed(result):
    assert not {"latency, mean", "throughput"} & set(cells(result))


def test_parts_that_are_unknown_leave_their_row_out():
    result = change(RESULT, "candidate", throughput=None, artifact=None, cold_start=None)
    assert not {"throughput", "weights", "peak memory", "cold start to first answer"} & set(cells(result))


def test_unknown_memory_is_a_dash_without_a_share():
    unknown = replace(RESULT.variants["candidate"].cold_start, peak_memory_bytes=None)
    assert cells(change(RESULT, "candidate", cold_start=unknown))["peak memory"] == ["400 MB", MISSING_TEXT]


def test_a_run_without_timing_has_no_shape_in_its_head():
    assert shown(replace(RESULT, timing=None)).splitlines()[0].strip() == "2 threads"


def test_an_unquantized_variant_is_labelled_by_its_runtime():
    assert label(RESULT.variants["baseline"]) == "pytorch"
    assert label(RESULT.variants["candidate"]) == "onnxruntime dynamic"


def test_a_variant_is_called_by_its_own_label():
    assert label(replace(RESULT.variants["baseline"], label="pytorch bfloat16")) == "pytorch bfloat16"


@pytest.mark.parametrize(("before", "told"), [(False, "40.0 s"), (True, "40.0 s (cached)")])
def test_time_spent_compiling_is_told_where_something_compiles(before, told):
    assert "  of which compiling" not in shown(RESULT)
    compiled = replace(RESULT.variants["candidate"].cold_start, compile_seconds=40.0, compiled_before=before)
    lines = shown(change(RESULT, "candidate", cold_start=compiled)).splitlines()
    [line] = [line for line in lines if "of which compiling" in line]
    assert line.split("compiling")[1].strip() == told


def test_a_quotient_of_something_missing_is_empty():
    assert quotient(None, 1.0) == quotient(1.0, None) == quotient(1.0, 0.0) == ""
    assert quotient(3.0, 2.0) == "1.50x"


def test_a_finished_run_shows_table_notes_gates_answer_and_path(terminal, tmp_path, capsys):
    gates = [GateResult("min_speedup", "pass", 1.5, 2.5)]
    terminal().finish(replace(RESULT, verdict=replace(RESULT.verdict, gates=gates)), tmp_path / "r.json")
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert "latency, mean" in out
    assert "note: the dataset does not name its labels" in lines
    assert lines[-3:] == [
        "gate min_speedup=1.5: pass, speed-up 2.50x",
        "The candidate is 2.50x faster.",
        f"Result: {tmp_path / 'r.json'}",
    ]


def test_quiet_shows_the_gates_that_do_not_pass(terminal, tmp_path, capsys):
    gates = [
        GateResult("max_size_bytes", "pass", 3e6, 2e6),
        GateResult("min_speedup", "inconclusive", 1.5, 1.48, needs="more replicates"),
        GateResult("max_accuracy_drop", "fail", 0.01, 0.02),
    ]
    failed = replace(RESULT, verdict=replace(RESULT.verdict, gates=gates))
    terminal(Verbosity.quiet).finish(failed, tmp_path / "r.json")
    assert capsys.readouterr().out.splitlines() == [
        "gate min_speedup=1.5: inconclusive, speed-up 1.48x; to settle it: more replicates",
        "gate max_accuracy_drop=0.01: fail, drop 2.00 pt",
        "The candidate is 2.50x faster.",
        f"Result: {tmp_path / 'r.json'}",
    ]


def test_quiet_shows_the_answer_and_the_path_only(terminal, tmp_path, capsys):
    gates = [GateResult("min_speedup", "pass", 1.5, 2.5)]
    quiet = terminal(Verbosity.quiet)
    with quiet.stage("timing both, in turn"):
        quiet.progress(Progress(1, 0.02, 10.0))
    quiet.finish(replace(RESULT, verdict=replace(RESULT.verdict, gates=gates)), tmp_path / "r.json")
    captured = capsys.readouterr()
    assert captured.out.splitlines() == ["The candidate is 2.50x faster.", f"Result: {tmp_path / 'r.json'}"]
    assert captured.err == ""


def test_a_point_of_a_sweep_is_named_and_has_no_table(terminal, tmp_path, capsys):
    terminal(point="point 3: quant=none").finish(RESULT, tmp_path / "r.json")
    assert capsys.readouterr().out.splitlines() == [
        "point 3: quant=none",
        "The candidate is 2.50x faster.",
        f"Result: {tmp_path / 'r.json'}",
    ]


def test_a_run_without_a_verdict_shows_its_path(terminal, tmp_path, capsys):
    terminal(Verbosity.quiet).finish(replace(RESULT, verdict=None), tmp_path / "r.json")
    assert capsys.readouterr().out == f"Result: {tmp_path / 'r.json'}\n"


FAILED = replace(
    RESULT, status="failed", failure=Failure("WorkerError", "timing", "the worker died", "Traceback: x")
)


@pytest.mark.parametrize(
    ("level", "details"), [(Verbosity.quiet, False), (Verbosity.normal, False), (Verbosity.verbose, True)]
)
def test_a_failure_goes_to_stderr_with_its_details_if_asked(terminal, tmp_path, capsys, level, details):
    terminal(level).finish(FAILED, tmp_path / "r.json")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "optbench: failed: the worker died" in captured.err
    assert str(tmp_path / "r.json") in captured.err
    assert ("Traceback: x" in captured.err) is details


def test_a_failure_names_the_log_if_anything_stands_in_it(terminal, tmp_path, capsys):
    log = tmp_path / "optbench.log"
    log.write_text("")
    terminal().finish(FAILED, tmp_path / "r.json")
    assert "said" not in capsys.readouterr().err
    log.write_text("bad news")
    terminal().finish(FAILED, tmp_path / "r.json")
    assert f"What its processes said: {log}" in capsys.readouterr().err


def test_stages_are_told_once_they_are_over_where_stderr_is_a_pipe(terminal, capsys):
    made = terminal()
    with made.stage("reading the rows"):
        made.progress(Progress(1, 0.02, 10.0))
        assert capsys.readouterr().err == ""
    line = capsys.readouterr().err
    assert re.fullmatch(r"  \d\d:\d\d:\d\d  reading the rows \S+ (µs|ms|s)\n", line)


CONFIG = SimpleNamespace(
    model=SimpleNamespace(path="models/my_model/"),
    baseline=Variant(PyTorch(), NoQuantization()),
    candidate=Variant(OnnxRuntime(), NoQuantization(), artifact="../mine"),
    batch_size=1,
    input_length=32,
    task=SimpleNamespace(has_length=True, generated_tokens=None),
    measure=SimpleNamespace(scope=Scope.model),
)


def test_the_first_line_tells_what_runs_and_where_its_result_will_lie(
    terminal, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    terminal().begin(CONFIG, tmp_path / "outputs" / "x")
    assert capsys.readouterr().err == (
        f"optbench {__version__}: my_model, pytorch against onnxruntime, artifact mine, batch 1 x 32, "
        "into outputs/x\n"
    )
    terminal(point="point 3: quant=none").begin(CONFIG, tmp_path.parent)
    assert capsys.readouterr().err.startswith(f"optbench {__version__}: point 3: quant=none: my_model, ")
    terminal(Verbosity.quiet).begin(CONFIG, tmp_path)
    assert capsys.readouterr().err == ""


def test_the_first_line_tells_the_shape_of_whole_answers_and_generations():
    whole = vars(CONFIG) | {"measure": SimpleNamespace(scope=Scope.end_to_end)}
    assert "batch 1 from raw rows to answers, into" in what_runs(SimpleNamespace(**whole), Path("x"))
    generated = vars(CONFIG) | {"task": SimpleNamespace(has_length=True, generated_tokens=16)}
    assert "batch 1 x 32 + 16 new, into" in what_runs(SimpleNamespace(**generated), Path("x"))


def test_long_lines_are_not_wrapped_and_pipes_have_no_colour(terminal, tmp_path, capsys):
    long = replace(RESULT, notes=["word " * 60 + "end"])
    terminal().finish(long, tmp_path / "r.json")
    out = capsys.readouterr().out
    assert "note: " + "word " * 60 + "end" in out.splitlines()
    assert "\x1b" not in out


class Tty(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


def test_on_a_terminal_the_progress_is_shown_while_it_lasts(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "stderr", Tty())
    made = Terminal()
    said = []
    with made.stage("timing"):
        monkeypatch.setattr(made._status, "update", said.append)
        made.progress(Progress(1, None, None))
        made.progress(Progress(3, 0.0312, 75.0))
        made.progress(Progress(4, 0.02, -3.0))
    assert said == [
        "timing: replicate 1 done …",
        "timing: replicate 3 done, speed-up known to ±3.1%, at most 75.0 s to go …",
        "timing: replicate 4 done, speed-up known to ±2.0%, at most 0 µs to go …",
    ]
    made.progress(Progress(5, 0.01, 0.0))
    assert len(said) == 3


HOSTILE = ["[red]x", "[/red]", "[link=http://example.com]x[/link]", ":smile:", "[bold]x[/bold]", "\\[red]"]


@pytest.mark.parametrize("text", HOSTILE)
def test_what_libraries_and_users_wrote_is_shown_as_it_is(terminal, tmp_path, capsys, text):
    verdict = Verdict("SHIP", [GateResult(text, "pass", 1.0, 2.0, needs=text)], f"Answer {text}.")
    terminal().finish(replace(RESULT, notes=[text], verdict=verdict), tmp_path / text)
    out = capsys.readouterr().out
    assert f"note: {text}\n" in out
    assert f"gate {text}=1: pass, found 2; to settle it: {text}\n" in out
    assert f"Answer {text}.\n" in out
    assert f"Result: {tmp_path / text}\n" in out


@pytest.mark.parametrize("text", HOSTILE)
def test_the_message_of_a_failure_is_shown_as_it_is(terminal, tmp_path, capsys, text):
    failure = Failure("DataError", "rows", f"message {text}", f"details {text}")
    terminal(Verbosity.verbose).finish(replace(FAILED, failure=failure), tmp_path / "r.json")
    error = capsys.readouterr().err
    assert f"message {text}\n" in error
    assert f"details {text}\n" in error


@pytest.mark.parametrize("text", [text for text in HOSTILE if "[" in text])
def test_names_and_reasons_in_the_table_are_shown_as_they_are(text):
    metrics = [
        MetricResult(f"metric {text}", True, 0.5, 0.5, Estimate(0.0)),
        MetricResult("undefined", True, None, None, reason=f"because {text}"),
    ]
    result = replace(RESULT, quality=replace(RESULT.quality, metrics=metrics))
    bare = replace(latency(0.01), percentiles=[Percentile(0.5, None, reason=f"for {text}")])
    result = change(change(result, "baseline", latency=bare), "candidate", latency=bare, backend=text)
    table = shown(result, width=300)
    assert f"metric {text} " in table
    assert f"because {text}" in table
    assert f"for {text}" in table
    assert f"{text} dynamic" in table


def with_kernels(kernels):
    candidate = replace(RESULT.variants["candidate"], kernels=kernels)
    return replace(RESULT, variants={**RESULT.variants, "candidate": candidate})


def test_the_table_tells_how_many_products_run_in_integers():
    result = with_kernels(KernelReport(36, 36, time_share=0.93))
    assert "36 of 36, 93% of one look" in shown(result)
    assert kernel_lines(result) == []


@pytest.mark.parametrize("grade", ["poor", "quick look"])
def test_a_share_of_the_time_of_a_disturbed_machine_is_left_out(grade):
    red = Signal("CPU used by others", "red", 0.9, 0.05, 0.2, "cores")
    result = replace(with_kernels(KernelReport(36, 36, time_share=0.93)), trust=Trust(grade, [red], []))
    assert cells(result)["products in integers"] == ["36 of 36"]
    (table,) = kernels_tables(result.variants, result.trust)
    assert table.rows[0][5].value is None


@pytest.mark.parametrize(("level", "shown"), [(Verbosity.normal, 3), (Verbosity.verbose, 7)])
def test_the_most_important_reasons_of_a_grade_are_shown(terminal, tmp_path, capsys, level, shown):
    reasons = [f"sign {number}" for number in range(7)]
    terminal(level).finish(replace(RESULT, trust=Trust("poor", [], reasons)), tmp_path / "r.json")
    lines = capsys.readouterr().out.splitlines()
    assert lines[1 : shown + 1] == [f"  sign {number}" for number in range(shown)]
    assert ("  and 4 more in report.html" in lines) is (shown == 3)


def test_what_is_known_of_the_answers_is_a_note_once(terminal, tmp_path, capsys):
    rare = "f1_macro: 8 of 600 rows changed, too few to resample"
    quality = replace(RESULT.quality, notes=[rare, RESULT.notes[0]])
    result = replace(RESULT, quality=quality)
    terminal().finish(result, tmp_path / "r.json")
    notes = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: ")]
    assert notes == [f"note: {RESULT.notes[0]}", f"note: {rare}"]
    assert f"- note: {rare}".replace("_", "\\_") in to_markdown(result, "")


def test_no_name_of_a_row_about_whole_answers_is_wider_than_the_others():
    parts = EndToEnd(*[PhaseLatency(9, 0.01, 0.0, 0.01, 0.01, [])] * 2, 0.5)
    result = change(change(RESULT, "baseline", end_to_end=parts), "candidate", end_to_end=parts)
    names = [row[0] for row in end_to_end_rows(result)]
    assert names == ["  of it the model, mean", "  of it processing, mean", "  of it the model, share"]


def test_int8_that_is_mostly_float_is_said_so():
    result = with_kernels(KernelReport(36, 12, float_nodes=["/layer.0/MatMul", "/layer.1/MatMul", "x"]))
    (line,) = kernel_lines(result)
    assert line == (
        "candidate: dynamic is mostly float: 24 of 36 matrix products are not computed in integers, such as "
        "/layer.0/MatMul, /layer.1/MatMul"
    )


def test_a_look_at_the_kernels_that_failed_says_why():
    result = with_kernels(KernelReport(0, 0, reason="the look at the kernels failed: no memory"))
    assert kernel_lines(result) == ["candidate: the look at the kernels failed: no memory"]
    assert "products in integers" not in shown(result)
