"""The aggregate as files: the same numbers in every form, and the former body."""

import csv

import msgspec
import pytest
from pyarrow import parquet

from optbench.errors import ResultError
from optbench.records import Aggregate, replace
from optbench.results.aggregate import aggregate
from optbench.results.body import run_body
from optbench.results.tables import write_all


@pytest.fixture
def grid(tmp_path, made_run, write_run):
    """Two batch sizes and a point that left nothing."""
    directory = tmp_path / "grid"
    for number, batch in enumerate((1, 8)):
        run = made_run(batch=batch, speedup=2.0 * batch)
        write_run(directory / str(number), run, [f"batch_size={batch}"])
    write_run(directory / "2", None, ["batch_size=16"])
    return directory


def test_every_file_holds_a_row_for_each_point(grid):
    found = aggregate([grid])
    files = {file.name: file for file in write_all(found, grid)}
    assert set(files) == {"results.json", "results.csv", "results.parquet", "run_body.json"}
    assert msgspec.json.decode(files["results.json"].read_bytes(), type=Aggregate) == found
    table = parquet.read_table(files["results.parquet"]).to_pylist()
    with files["results.csv"].open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    assert [row["name"] for row in table] == [line["name"] for line in lines] == ["0", "1", "2"]
    first = {key: value for key, value in table[0].items() if value is not None}
    assert first["speedup"] == 2.0
    assert first["speedup_low"] == 1.98
    assert first["candidate_latency_mean_seconds"] == 0.005
    assert first["candidate_latency_p95_seconds"] == pytest.approx(0.005 * 1.95)
    assert "candidate_latency_p99_9_seconds" not in first
    assert first["accuracy_difference"] == -0.01
    assert first["axis_batch_size"] == "1"
    assert first["candidate_samples_per_second"] == 200.0
    assert lines[0]["speedup"] == "2.0"
    assert (table[2]["status"], table[2]["speedup"], lines[2]["speedup"]) == ("missing", None, "")


def test_aggregating_again_finds_the_same_points(grid):
    before = aggregate([grid])
    write_all(before, grid)
    assert aggregate([grid]).points == before.points


def test_the_former_body_has_a_time_entry_for_each_shape(grid):
    body = run_body(aggregate([grid]))
    assert body["model_name_or_path"] == "tiny"
    assert body["quantization_approach"] == "dynamic"
    assert body["framework"] == "onnxruntime"
    assert body["versions"] == {"torch": "2.0", "numpy": "2.1"}
    assert [entry["batch_size"] for entry in body["evaluation"]["time"]] == [1, 8]
    entry = body["evaluation"]["time"][0]
    assert entry["input_length"] == 32
    assert entry["baseline"] == {
        "nb_forwards": 100,
        "throughput": 100.0,
        "latency_mean": 10.0,
        "latency_std": 1.0,
        "latency_50": pytest.approx(15.0),
        "latency_90": pytest.approx(19.0),
        "latency_95": pytest.approx(19.5),
        "latency_99": pytest.approx(19.9),
        "latency_999": None,
    }
    assert entry["optimized"]["latency_mean"] == 5.0
    assert body["evaluation"]["others"] == {"baseline": {"accuracy": 0.9}, "optimized": {"accuracy": 0.89}}


def test_the_former_body_takes_the_task_from_what_hydra_kept(grid):
    (grid / "0" / ".hydra" / "hydra.yaml").write_text("hydra: {runtime: {choices: {task: fill-mask}}}")
    assert run_body(aggregate([grid]))["task"] == "fill-mask"
    (grid / "0" / ".hydra" / "hydra.yaml").write_text("hydra: [")
    assert run_body(aggregate([grid]))["task"] is None


def test_several_variants_are_several_bodies(grid, made_run, write_run):
    write_run(grid / "3", made_run(quantization="static"), ["quant=static", "batch_size=1"])
    bodies = run_body(aggregate([grid]))["runs"]
    assert [body["quantization_approach"] for body in bodies] == ["dynamic", "static"]


def test_a_variant_without_timing_and_results_that_are_gone_leave_no_hole(grid, made_run, write_run):
    run = made_run(batch=32)
    bare = {name: replace(variant, latency=None) for name, variant in run.variants.items()}
    write_run(grid / "4", replace(run, variants=bare, quality=None), ["batch_size=32"])
    found = aggregate([grid])
    entry = run_body(found)["evaluation"]["time"][-1]
    assert entry["baseline"] == {"nb_forwards": 0, "throughput": None, "latency_mean": None}
    for number in (0, 1, 4):
        (grid / str(number) / "result.json").unlink()
    assert run_body(found) == {"runs": []}


def test_a_directory_that_cannot_be_written_is_named(grid, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultError, match="must be a directory that can be written"):
        write_all(aggregate([grid]), tmp_path / "file")
