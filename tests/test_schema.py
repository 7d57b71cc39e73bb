"""docs/result.schema.json describes what is really written."""

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import msgspec
import pytest

from optbench import records
from optbench.cli import main

ROOT = Path(__file__).parents[1]


def test_the_schema_file_is_up_to_date():
    command = [sys.executable, str(ROOT / "scripts" / "build_schema.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.fixture
def schema():
    return json.loads((ROOT / "docs" / "result.schema.json").read_text())


@pytest.fixture
def written():
    estimate = records.Estimate(1.5, records.Interval(1.4, 1.6))
    result = records.RunResult(
        optbench_version="0.1.0",
        status="ok",
        started_at="2026-01-01T00:00:00+00:00",
        command=["optbench"],
        config={},
        config_hash="abc",
        environment={},
        comparisons={"candidate": records.Comparison(estimate, estimate)},
    )
    return json.loads(records.to_json(result))


def test_a_written_result_fits_the_schema(schema, written):
    jsonschema.validate(written, schema)
    assert set(written) <= set(schema["$defs"]["RunResult"]["properties"])


def test_a_damaged_result_does_not_fit(schema, written):
    written["comparisons"]["candidate"]["speedup"]["value"] = "fast"
    with pytest.raises(jsonschema.ValidationError, match="'fast' is not of type 'number'"):
        jsonschema.validate(written, schema)


FILES = sorted((ROOT / "docs").glob("*.schema.json"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_record_is_documented(file):
    parts = json.loads(file.read_text())["$defs"]
    assert {name for name, part in parts.items() if part.get("description")} == set(parts)


def test_names_of_numbers_end_in_their_unit_or_are_plain_counts():
    fields = {
        field.name
        for record in vars(records).values()
        if isinstance(record, type) and issubclass(record, msgspec.Struct)
        for field in msgspec.structs.fields(record)
    }
    scaled = [name for name in fields if name.endswith(("_ms", "_mb", "_us", "_percent", "_mib"))]
    assert scaled == []


def test_lists_for_programs_fit_their_schemas(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OPTBENCH_CACHE_DIR", str(tmp_path))
    for words in (["history"], ["cache", "list"]):
        assert main([*words, "--format", "json"]) == 0
        shown = json.loads(capsys.readouterr().out)
        schema = json.loads((ROOT / "docs" / f"{'-'.join(words)}.schema.json").read_text())
        jsonschema.validate(shown, schema)
        assert set(shown) == set(schema["$defs"][schema["$ref"].rpartition("/")[2]]["properties"])
