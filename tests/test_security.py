"""What SECURITY.md promises, each with the tests that hold it."""

import ast
import csv
import functools
import os
import re
import stat
import subprocess
from pathlib import Path

import pytest
from pyarrow import parquet

import optbench
from optbench.cli import main
from optbench.errors import DataError
from optbench.processes import host
from optbench.processes.child import QUIET
from optbench.records import ArtifactRecord, Failure, replace
from optbench.results.aggregate import aggregate
from optbench.results.tables import cell, write_all
from optbench.stages.preparing import working_directory
from optbench.trackers.mlflow import Mlflow
from optbench.trackers.wandb import Wandb

PACKAGE = Path(optbench.__file__).parent
TESTS = Path(__file__).parent
ROOT = TESTS.parent
SOURCES = sorted([*PACKAGE.rglob("*.py"), *(ROOT / "scripts").rglob("*.py")])

PROMISES = {
    "Strings are never evaluated": [
        "test_security.py::test_no_source_evaluates_text_or_starts_a_shell",
        "test_security.py::test_hydra_instantiates_nothing_of_others",
    ],
    "No pickles from elsewhere": [
        "test_security.py::test_no_source_reads_a_pickle_of_others",
        "test_trust.py::test_a_pickle_among_the_weights_is_not_executed",
        "test_trust.py::test_the_exporter_executes_trusted_code_and_no_pickle",
    ],
    "Code in a checkpoint runs only if you say so": [
        "test_trust.py::test_a_checkpoint_with_code_of_its_own_is_refused_unless_it_is_trusted",
        "test_trust.py::test_the_command_line_refuses_before_anything_is_loaded",
        "test_trust.py::test_code_is_run_only_where_it_is_trusted",
        "test_trust.py::test_python_files_are_fetched_only_if_they_are_trusted",
    ],
    "Text stays text": [
        "reports/test_escape.py::test_markdown_shows_what_is_there_and_does_nothing",
        "reports/test_escape.py::test_a_code_block_cannot_be_closed_from_inside",
        "reports/html/test_run_page.py::test_no_text_of_a_result_becomes_markup",
        "reports/html/test_run_page.py::test_the_page_loads_nothing_and_runs_only_its_own_script",
        "reports/html/test_sweep_page.py::test_no_name_of_a_directory_becomes_an_address_or_markup",
        "reports/html/test_sweep_page.py::test_no_text_of_a_point_becomes_markup",
        "reports/html/test_browser.py::test_the_browser_refuses_a_script_that_is_not_ours",
        "reports/test_points.py::test_a_hostile_name_stays_one_cell",
        "reports/test_comparison.py::test_junit_has_a_case_for_every_condition_and_an_error_for_a_failed_point",
        "delivery/test_handover.py::test_hostile_strings_stay_text",
        "test_security.py::test_a_result_steers_no_terminal",
        "test_security.py::test_no_cell_of_the_table_is_a_formula",
        "tracking/test_log_entry.py::test_names_are_plain_and_never_a_path",
    ],
    "Paths stay in their folder": [
        "stages/test_resume.py::test_links_in_an_earlier_sweep_are_not_followed",
        "test_security.py::test_a_path_in_a_result_leads_nowhere",
        "delivery/test_handover.py::test_links_out_of_a_checkpoint_are_not_followed",
        "delivery/test_handover.py::test_a_changed_or_vanished_model_is_refused_with_the_way_to_make_it",
        "delivery/test_handover.py::test_what_is_there_is_replaced_only_by_force_and_only_if_it_is_ours",
        "artifacts/test_cache.py::test_clear_removes_everything_but_what_is_not_ours",
        "artifacts/test_cache.py::test_a_key_that_is_none_is_refused",
        "delivery/test_publishing.py::test_files_are_those_of_the_run_and_raw_values_only_if_asked",
    ],
    "Temporary files are private": [
        "test_security.py::test_temporary_directories_are_made_by_the_library_that_closes_them",
        "test_security.py::test_what_processes_of_a_run_exchange_is_private",
        "test_security.py::test_the_shared_lock_follows_no_link",
    ],
    "The cache trusts its owner": [
        "artifacts/test_entries.py::test_an_entry_and_its_folder_are_private",
        "artifacts/test_entries.py::test_an_entry_of_another_user_is_not_used_but_that_of_root_is",
        "artifacts/test_entries.py::test_a_folder_of_another_user_is_refused_with_the_way_out",
        "artifacts/test_entries.py::test_a_folder_that_is_a_link_is_refused",
    ],
    "No telemetry": [
        "test_security.py::test_processes_are_started_with_telemetry_off",
        "test_security.py::test_the_sources_name_no_address_but_those_that_are_known",
        "test_openvino.py::test_importing_it_starts_no_thread_and_no_telemetry",
    ],
    "Secrets stay out of results": [
        "delivery/test_publishing.py::test_settings_that_cannot_work_are_named",
        "delivery/test_publishing.py::test_a_failure_is_a_note_in_result_and_page_without_the_password",
        "tracking/test_log_entry.py::test_addresses_lose_their_passwords",
    ],
}


@functools.cache
def tree(path):
    return ast.parse(path.read_text())


def calls():
    """Every call in the sources: place, dotted name as written, and the call itself."""
    for path in SOURCES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call):
                yield f"{path.name}:{node.lineno}", ast.unparse(node.func), node


def keyword(call, name):
    return next((ast.unparse(one.value) for one in call.keywords if one.arg == name), None)


def test_every_promise_has_tests_and_every_test_is_there():
    text = (ROOT / "SECURITY.md").read_text()
    promised = text.split("## Promises")[1].split("\n## ")[0]
    assert re.findall(r"^### (.+)$", promised, re.MULTILINE) == list(PROMISES)
    for named in {name for names in PROMISES.values() for name in names}:
        file, _, test = named.partition("::")
        defined = [node.name for node in tree(TESTS / file).body if isinstance(node, ast.FunctionDef)]
        assert test in defined, f"{named} is gone; name another one"


EVALUATES = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "os.system",
    "os.popen",
    "builtins.eval",
    "builtins.exec",
}
OWN_COMPILE = {"openvino_kernels.py", "torch_compile.py"}
"""Files whose `compile` is a runtime's."""


def test_no_source_evaluates_text_or_starts_a_shell():
    found = [
        place
        for place, name, call in calls()
        if (name in EVALUATES and not (name == "compile" and place.split(":")[0] in OWN_COMPILE))
        or keyword(call, "shell") not in (None, "False")
        or name.endswith(("literal_eval", "getoutput", "getstatusoutput"))
    ]
    assert found == []


def test_no_source_reads_a_pickle_of_others():
    modules = {"pickle", "cPickle", "dill", "marshal", "shelve", "joblib", "cloudpickle"}
    for path in SOURCES:
        for node in ast.walk(tree(path)):
            names = [alias.name for alias in getattr(node, "names", [])] + [getattr(node, "module", "") or ""]
            if isinstance(node, ast.Import | ast.ImportFrom) and path.name != "contract.py":  # its own bytes
                assert not modules & {name.split(".")[0] for name in names}, path
    for place, name, call in calls():
        if name in ("np.load", "numpy.load"):
            assert keyword(call, "allow_pickle") == "False", place
        if name == "torch.load":
            assert keyword(call, "weights_only") == "True", place
        if name == "yaml.load":
            assert "SafeLoader" in (keyword(call, "Loader") or ""), place
        assert not name.endswith(("unsafe_load", "full_load", "read_pickle")), place
        trusted = keyword(call, "trust_remote_code") == "True"
        assert not trusted or name == "read_spec", place  # reading a spec runs nothing
    ours = {place.split(":")[0] for place, name, _ in calls() if name == "Connection"}
    assert ours == {"child.py", "template.py"}


def test_hydra_instantiates_nothing_of_others(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    trace = tmp_path / "trace"
    evil = ["_target_=subprocess.getoutput", f"cmd='touch {trace}'"]
    assert main([*(f"+hydra.callbacks.evil.{item}" for item in evil), "batch_size=0"]) == 2
    assert "subprocess.getoutput" in capfd.readouterr().err
    assert main(["-m", "batch_size=0", *(f"++hydra.launcher.{item}" for item in evil)]) == 2
    assert not trace.exists()


STEERING = "\x1b]0;owned\x07\x1b[2J\u202e\x9b31m"


def test_a_result_steers_no_terminal(tmp_path, made_run, write_run, capfd):
    run = made_run(notes=[f"note {STEERING}"])
    candidate = replace(run.variants["candidate"], label=f"evil{STEERING}")
    write_run(tmp_path / "run", replace(run, variants={**run.variants, "candidate": candidate}))
    failed = made_run(batch=8, status="failed", failure=Failure("x", "timing", f"died {STEERING}"))
    write_run(tmp_path / "failed", failed)
    for place in ("run", "failed", "."):
        assert main(["report", str(tmp_path / place), "--format", "terminal"]) == 0
    shown = capfd.readouterr()
    assert not set(STEERING) & {one for one in shown.out + shown.err if not one.isprintable()}
    assert "evil" in shown.out
    assert "died" in shown.out


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("=cmd|'/c calc'!A1", "'=cmd|'/c calc'!A1"),
        ("@SUM(1)", "'@SUM(1)"),
        ("+1+1", "'+1+1"),
        ("-2+3", "'-2+3"),
        ("\t=1", "'\t=1"),
        ("\uff1d1", "'\uff1d1"),
        ("-1.5e3", "-1.5e3"),
        ("a=b", "a=b"),
        (-3, -3),
        (None, None),
    ],
)
def test_text_that_is_a_formula_gets_an_apostrophe(text, safe):
    assert cell(text) == safe


def test_no_cell_of_the_table_is_a_formula(tmp_path, made_run, write_run):
    evil = "=HYPERLINK(A1)"
    run = made_run()
    metric = replace(run.quality.metrics[0], name=evil)
    run = replace(
        run,
        config={**run.config, "model": {"path": evil}},
        quality=replace(run.quality, metrics=[metric]),
        variants={**run.variants, "candidate": replace(run.variants["candidate"], label=evil)},
    )
    write_run(tmp_path / "0", run, [f"model.path={evil}"])
    write_run(tmp_path / "1", made_run(batch=8), ["model.path=-1"])
    files = {file.name: file for file in write_all(aggregate([tmp_path]), tmp_path)}
    with files["results.csv"].open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    by_name = {line["name"]: line for line in lines}
    assert by_name["0"]["model"] == f"'{evil}"
    assert by_name["0"]["axis_model.path"] == f"'{evil}"
    assert by_name["1"]["axis_model.path"] == "-1"
    assert by_name["0"][f"'{evil}_difference"] == "-0.01"
    assert not [name for line in lines for name in (*line, *line.values()) if name.startswith(("=", "@"))]
    kept = {row["name"]: row for row in parquet.read_table(files["results.parquet"]).to_pylist()}
    assert kept["0"]["model"] == evil


@pytest.mark.parametrize("path", ["../../../etc", "/etc", "..", "~/.ssh"])
def test_a_path_in_a_result_leads_nowhere(path, tmp_path, made_run, write_run, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = made_run()
    artifact = ArtifactRecord(path, "onnx", "0" * 64, 1)
    both = {name: replace(one, artifact=artifact) for name, one in run.variants.items()}
    write_run(tmp_path / "run", replace(run, variants=both))
    assert main(["export", "run", "mine"]) == 2
    assert re.search("make it again|must be apart from", capfd.readouterr().err)
    assert main(["aggregate", "run", "--output", "table"]) == 0
    assert main(["report", "run", "--plots", "plots"]) == 0
    places = {file.parent.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*") if file.is_file()}
    assert places == {"run", "run/.hydra", "table", "plots"}


def test_temporary_directories_are_made_by_the_library_that_closes_them():
    allowed = {
        f"tempfile.{name}" for name in ("TemporaryDirectory", "TemporaryFile", "mkdtemp", "gettempdir")
    }
    used = {name: place for place, name, _ in calls() if name.startswith("tempfile.")}
    assert set(used) <= allowed, used
    shared = [place.split(":")[0] for place, name, _ in calls() if name == "tempfile.gettempdir"]
    assert shared == ["host.py"]
    opened = [place for place, name, _ in calls() if name in ("open", "Path") and "'/tmp" in place]
    assert opened == []


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
def test_what_processes_of_a_run_exchange_is_private(tmp_path):
    mask = os.umask(0)
    try:
        with working_directory(tmp_path) as place:
            assert stat.S_IMODE(place.stat().st_mode) == 0o700
    finally:
        os.umask(mask)


@pytest.mark.skipif(os.name != "posix", reason="links need privileges elsewhere")
def test_the_shared_lock_follows_no_link(tmp_path, monkeypatch):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    monkeypatch.setenv(host.VARIABLE, str(tmp_path))
    (tmp_path / host.ROOM).symlink_to(victim)
    with pytest.raises(DataError, match="cannot be opened"), host.timing_alone():
        pass
    assert victim.read_text() == "precious"
    (tmp_path / host.ROOM).unlink()
    with host.timing_alone():
        assert stat.S_IMODE((tmp_path / host.ROOM).stat().st_mode) == 0o644


def test_processes_are_started_with_telemetry_off():
    assert QUIET["HF_HUB_DISABLE_TELEMETRY"] == QUIET["ORT_DISABLE_TELEMETRY"] == "1"
    assert Mlflow.environment["MLFLOW_DISABLE_TELEMETRY"] == Mlflow.environment["DO_NOT_TRACK"] == "true"
    assert Wandb.environment["WANDB_ERROR_REPORTING"] == "false"


def test_the_sources_name_no_address_but_those_that_are_known():
    """A namespace of XML, an address that stands for any, and what names the store of online runs."""
    known = {"http://www.w3.org/2000/svg", "https://api.wandb.ai", "https://hub.example"}
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.update(re.findall(r"https?://[\w./-]+", node.value))
    assert found <= known | {"http://", "https://"}


def audit(tmp_path, tool):
    """Exit code and output of scripts/audit.sh with a made-up pip-audit."""
    place = tmp_path / "pip-audit"
    place.write_text(f"#!/bin/sh\n{tool}\n")
    place.chmod(0o755)
    environment = {**os.environ, "PIP_AUDIT": str(place)}
    command = [str(ROOT / "scripts" / "audit.sh")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


WRITE = (
    'while [ $# -gt 0 ]; do [ "$1" = --output ] && out=$2; shift; done; cat > "$out" <<\'E\'\n{}\nE\nexit {}'
)


@pytest.mark.skipif(os.name != "posix", reason="a shell script")
@pytest.mark.parametrize(
    ("tool", "code", "words"),
    [
        (WRITE.format('{"dependencies": [{"name": "a", "version": "1", "vulns": []}]}', 0), 0, "1 packages"),
        (
            WRITE.format(
                '{"dependencies": [{"name": "a", "version": "1", "vulns": '
                '[{"id": "CVE-1", "fix_versions": ["2"]}]}, {"name": "b", "skip_reason": "not found"}]}',
                1,
            ),
            1,
            "a 1: CVE-1, fixed in: 2",
        ),
        (
            WRITE.format('{"dependencies": [{"name": "b", "skip_reason": "not found"}]}', 0),
            3,
            "0 packages looked up, 1 not",
        ),
        ("echo 'service unreachable' >&2; exit 1", 3, "could not be made: service unreachable"),
    ],
)
def test_the_audit_tells_a_finding_from_an_audit_that_was_not_made(tmp_path, tool, code, words):
    found, text = audit(tmp_path, tool)
    assert (found, words in text) == (code, True), text
