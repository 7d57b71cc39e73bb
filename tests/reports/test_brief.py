"""What Python shows of a result: a few lines that say what was found."""

import optbench
from optbench import records
from optbench.api.views import Run, viewed


def test_a_run_shows_its_grade_speed_and_answers(made_run):
    assert repr(viewed(Run, made_run(), directory="out/1")).splitlines() == [
        "optbench run: ok, grade good",
        "  onnxruntime dynamic against pytorch: 2.00x (1.98 to 2.02) as fast",
        "  accuracy 0.9000 → 0.8900, -1.00 pt (95% interval -2.00 pt to +0.50 pt); 97.5% of 200 answers stay "
        "the same",
        "  out/1",
    ]


def test_a_verdict_that_was_asked_for_leads(made_run):
    verdict = records.Verdict("DO NOT SHIP", [], "DO NOT SHIP: it is slower.")
    shown = repr(viewed(Run, made_run(verdict=verdict, quality=None), directory="out"))
    assert shown.startswith("optbench run: DO NOT SHIP, grade good\n")
    assert "accuracy" not in shown


def test_a_failed_run_shows_where_and_why(made_run):
    failure = records.Failure("WorkerError", "timing", "the candidate process was ended\nby SIGKILL")
    run = made_run(status="failed", failure=failure, comparisons={}, quality=None, trust=None)
    assert repr(viewed(Run, run, directory="out")).splitlines() == [
        "optbench run: failed",
        "  in timing: the candidate process was ended by SIGKILL",
        "  out",
    ]


def test_results_show_a_line_for_each_point(tmp_path, made_run, write_run):
    write_run(tmp_path / "0", made_run(batch=1), ["batch_size=1"])
    write_run(tmp_path / "1", made_run(batch=8, speedup=1.5), ["batch_size=8"])
    write_run(tmp_path / "2", None, ["batch_size=16"])
    found = optbench.load_results(tmp_path)
    assert repr(found).splitlines() == [
        "optbench results: 3 points: 2 ok, 1 missing",
        "  batch_size=1: 2.00x (1.98 to 2.02) as fast, grade good",
        "  batch_size=8: 1.50x (1.48 to 1.52) as fast, grade good",
        "  batch_size=16: missing: left no result.json: it ended before it could write one",
    ]
    assert "| 2.00x" in found._repr_markdown_()
    alone = repr(optbench.load_results(tmp_path / "0")).splitlines()
    assert alone[1] == "  0: 2.00x (1.98 to 2.02) as fast, grade good"


def test_of_many_points_the_first_are_shown(tmp_path, made_run, write_run):
    for number in range(22):
        write_run(tmp_path / str(number), made_run(batch=number + 1), [f"batch_size={number + 1}"])
    assert repr(optbench.load_results(tmp_path)).splitlines()[-1] == "  and 2 more"
    compared = repr(optbench.compare(tmp_path, tmp_path))
    assert compared.splitlines()[-1] == "  and 2 more"


def test_a_comparison_shows_its_points_and_conditions(tmp_path, made_run, write_run):
    write_run(tmp_path / "a" / "0", made_run(batch=1), ["batch_size=1"])
    write_run(tmp_path / "a" / "1", made_run(batch=8), ["batch_size=8"])
    write_run(tmp_path / "b" / "0", made_run(batch=1, speedup=1.0), ["batch_size=1"])
    found = optbench.compare(tmp_path / "a", tmp_path / "b", ["speedup<0.97"])
    lines = repr(found).splitlines()
    assert lines[0] == f"optbench comparison: {tmp_path}/b over {tmp_path}/a, 2 points"
    assert lines[1].startswith("  batch_size=1: 0.500x (")
    assert "slower" in lines[1]
    assert lines[2].startswith("    speedup<0.97 at batch_size=1: fail")
    assert any(line.startswith("  batch_size=8: only in A") for line in lines)
    assert "- speedup\\<0.97" in found._repr_markdown_() or "speedup&lt;0.97" in found._repr_markdown_()
