"""Commands that read results: what they print, where they write, their exit codes, and what they import."""

import errno
import json
import subprocess
import sys

import pytest

from optbench.cli import TOOLS, main
from optbench.commands.tools import app
from optbench.results import tables

HEAVY = ("torch", "transformers", "onnxruntime", "datasets", "sklearn", "pandas", "optuna", "hydra")


@pytest.fixture
def sweep(tmp_path, made_run, write_run):
    """Two points."""
    for number, batch in enumerate((1, 8)):
        write_run(tmp_path / "sweep" / str(number), made_run(batch=batch), [f"batch_size={batch}"])
    return tmp_path / "sweep"


def test_every_command_is_known_to_the_command_line():
    commands = {command.name or command.callback.__name__ for command in app.registered_commands}
    groups = {group.name or group.typer_instance.info.name for group in app.registered_groups}
    assert commands | groups == set(TOOLS)


def test_aggregate_prints_a_table_and_writes_into_the_sweep(sweep, capsys):
    assert main(["aggregate", str(sweep)]) == 0
    shown = capsys.readouterr()
    assert "2 points: 2 ok" in shown.out
    assert "2.00x (1.98 to 2.02)" in shown.out
    assert "Written: " in shown.err
    assert (sweep / "results.parquet").is_file()


def test_aggregate_prints_nothing_but_the_format_that_is_asked_for(sweep, tmp_path, capsys):
    place = tmp_path / "elsewhere"
    assert main(["aggregate", str(sweep), "--format", "json", "--output", str(place)]) == 0
    assert len(json.loads(capsys.readouterr().out)["points"]) == 2
    assert (place / "results.csv").is_file()
    assert not (sweep / "results.csv").exists()
    assert main(["aggregate", str(sweep), "--format", "markdown"]) == 0
    assert capsys.readouterr().out.startswith("### optbench: 2 points: 2 ok\n")


def test_aggregate_reports_points_that_are_lacking_and_ends_with_0(sweep, write_run, capsys):
    write_run(sweep / "2", None, ["batch_size=16"])
    assert main(["aggregate", str(sweep)]) == 0
    assert "3 points: 2 ok, 1 missing" in capsys.readouterr().out


def test_aggregate_of_several_places_writes_only_where_it_is_told(sweep, capsys):
    assert main(["aggregate", str(sweep / "0"), str(sweep / "1")]) == 0
    shown = capsys.readouterr()
    assert "2 points" in shown.out
    assert "name a place with --output" in shown.err


def test_aggregate_of_a_directory_that_is_read_only_prints_its_table_and_says_so(
    sweep, tmp_path, capsys, monkeypatch
):
    def refuse(file, content):
        raise PermissionError(errno.EACCES, "Permission denied", str(file))

    monkeypatch.setattr(tables, "write_atomically", refuse)
    assert main(["aggregate", str(sweep)]) == 0
    printed = capsys.readouterr()
    assert "points" in printed.out
    assert printed.err == (
        f"nothing is written: {sweep} must be a directory that can be written, but Permission denied; choose "
        "another with --output\n"
    )
    assert main(["aggregate", str(sweep), "--output", str(tmp_path / "o")]) == 2


def test_a_history_out_of_reach_is_not_to_be_moved_away(tmp_path, capsys, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("OPTBENCH_CACHE_DIR", str(tmp_path / "file" / "cache"))
    assert main(["history"]) == 2
    told = capsys.readouterr().err
    assert "cannot be used as the history: Not a directory; set OPTBENCH_CACHE_DIR to a folder you" in told
    assert "move it away" not in told


def test_a_mistake_is_one_sentence_and_code_2(tmp_path, capsys):
    assert main(["aggregate", str(tmp_path / "gone")]) == 2
    assert capsys.readouterr().err == (
        f"optbench: {tmp_path / 'gone'} must be a directory that holds results, but there is none; "
        "give a run or sweep directory\n"
    )
    assert main(["aggregate"]) == 2
    assert main(["aggregate", str(tmp_path), "--format", "html"]) == 2


def test_reading_results_imports_nothing_heavy(sweep):
    script = (
        "import sys; from optbench.cli import main; code = main(['aggregate', sys.argv[1]]); "
        f"print('loaded:', *[name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    command = [sys.executable, "-c", script, str(sweep)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr.endswith("loaded:\n"), done.stderr


def test_the_script_does_the_same(sweep):
    command = [sys.executable, "scripts/aggregate.py", str(sweep)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "2 points: 2 ok" in done.stdout, done.stderr


def test_compare_prints_a_table_and_leaves_with_the_code_of_the_conditions(sweep, capsys):
    assert main(["compare", str(sweep), str(sweep)]) == 0
    assert "no difference shown" in capsys.readouterr().out
    fails = ["--fail-if", "size_ratio>0.5", "--fail-if", "speedup<0.9"]
    assert main(["compare", str(sweep), str(sweep), *fails]) == 1
    assert "size_ratio>0.5 at batch_size=1: fail, found 1.00x" in capsys.readouterr().out
    assert main(["compare", str(sweep), str(sweep), "--fail-if", "speedup<1"]) == 4


def test_compare_writes_a_file_for_ci_beside_the_table(sweep, tmp_path, capsys):
    file = tmp_path / "new" / "junit.xml"
    arguments = ["compare", str(sweep), str(sweep), "--format", "junit", "--output", str(file)]
    assert main(arguments) == 0
    assert file.read_bytes().startswith(b"<?xml")
    assert "no difference shown" in capsys.readouterr().out
    assert main(["compare", str(sweep), str(sweep), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["schema_version"] == 1
    text = ["--output", str(tmp_path / "table.txt")]
    assert main(["compare", str(sweep), str(sweep), *text]) == 0
    assert "B over A" in (tmp_path / "table.txt").read_text()
    assert main(["compare", str(sweep), str(sweep), "--output", str(tmp_path)]) == 2


def test_compare_of_a_damaged_run_is_one_line_and_code_2_as_for_a_report(sweep, tmp_path, capsys):
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "result.json").write_text('{"schema_version": 1')
    for arguments in (["compare", str(sweep / "0")], ["report"]):
        assert main([*arguments, str(tmp_path / "cut")]) == 2
        shown = capsys.readouterr()
        assert shown.out == ""
        assert shown.err.startswith(f"optbench: {tmp_path}/cut/result.json is not a readable optbench result")
        assert shown.err.count("\n") == 1


def test_a_mistyped_condition_is_code_2(sweep, capsys):
    assert main(["compare", str(sweep), str(sweep), "--fail-if", "speedup=1"]) == 2
    assert "got 'speedup=1'" in capsys.readouterr().err
