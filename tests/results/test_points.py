"""One result as a row: where each number of a row comes from, and what may be compared with what."""

import msgspec
import pytest

from optbench.records import Estimate, Failure, Latency, MetricResult, Throughput
from optbench.records.aggregate import Point, Side
from optbench.results.points import facts_of, label, machine_of, point_of, side_of, text_at, whole
from optbench.results.walk import SlimResult

LATENCY = Latency(100, 0.01, 0.001, 0.005, 0.02, [], 0.02)
THROUGHPUT = Throughput(Estimate(800.0), 100.0, 1.0)
ACCURACY = MetricResult("accuracy", True, 0.9, 0.89)
COMMON = {"directory": "/runs/0", "name": "0", "overrides": ["seed=1"], "log": "/runs/0/optbench.log"}
WHOLE = {
    "status": "ok",
    "started_at": "2026-01-01T00:00:00+00:00",
    "finished_at": "2026-01-01T00:01:00+00:00",
    "config_hash": "abc",
    "schema_version": 3,
    "config": {
        "model": {"path": "tiny"},
        "dataset": {"path": "rows"},
        "measure": {"scenario": "server"},
        "batch_size": 4,
        "input_length": 16,
        "chosen": {"other": {"backend": "openvino", "quantization": "nncf"}, "half": {"backend": "openvino"}},
    },
    "environment": {
        "machine": "m1",
        "cpu_model": "some CPU",
        "cores_available": 4,
        "python": None,
        "thread_variables": {"OMP_NUM_THREADS": "2"},
        "versions": {"torch": "2.0"},
        "plug_ins": {"mine": "1.0"},
    },
    "variants": {
        "baseline": {"backend": "pytorch", "quantization": "none", "graph": "default", "threads": 2},
        "candidate": {
            "backend": "onnxruntime",
            "quantization": "dynamic",
            "graph": "fused",
            "threads": 3,
            "label": "recipe",
            "artifact": {"path": "somewhere", "sha256": "0a", "size_bytes": 7},
            "cold_start": {
                "import_seconds": 1.0,
                "load_seconds": 0.5,
                "first_call_seconds": 0.25,
                "peak_memory_bytes": 9,
            },
            "latency": msgspec.to_builtins(LATENCY),
            "throughput": msgspec.to_builtins(THROUGHPUT),
            "kernels": {"nodes": 12, "integer_nodes": 8, "time_share": 0.6},
        },
    },
    "timing": {"scenario": "latency", "batch_size": 8, "input_length": 32, "replicates": 10},
    "comparisons": {
        "candidate": {
            "speedup": {"value": 2.0},
            "cpu_speedup": {"value": 1.5},
            "size_ratio": 0.4,
            "peak_memory_ratio": 0.5,
            "noise_floor": 0.03,
            "replicate_log_ratios": [0.6, 0.7, 0.8],
        }
    },
    "server": {
        "variants": {
            "baseline": {"requests_per_second": {"value": 50.0}},
            "candidate": {"requests_per_second": {"value": 90.0}},
        },
        "capacity_ratio": {"value": 1.8},
    },
    "quality": {
        "rows": 200,
        "metrics": [msgspec.to_builtins(ACCURACY)],
        "agreement": {"value": 0.97},
        "broken": 4,
        "fixed": 2,
    },
    "trust": {"grade": "usable", "reasons": ["a busy machine"]},
    "verdict": {"decision": "SHIP", "sentence": "Ship it."},
}
BASELINE = Side(
    label="pytorch",
    backend="pytorch",
    quantization="none",
    graph="default",
    threads=2,
    requests_per_second=Estimate(50.0),
)
CANDIDATE = Side(
    label="recipe",
    backend="onnxruntime",
    quantization="dynamic",
    graph="fused",
    threads=3,
    artifact="somewhere",
    sha256="0a",
    size_bytes=7,
    peak_memory_bytes=9,
    cold_start_seconds=1.75,
    latency=LATENCY,
    throughput=THROUGHPUT,
    requests_per_second=Estimate(90.0),
    products=12,
    integer_products=8,
    integer_time_share=0.6,
)


def slim(**changes):
    """The whole result with other values."""
    return msgspec.convert({**WHOLE, **changes}, SlimResult)


def test_a_row_holds_every_number_of_its_result():
    assert point_of(slim(), "candidate", COMMON) == Point(
        **COMMON,
        status="ok",
        schema_version=3,
        started_at="2026-01-01T00:00:00+00:00",
        finished_at="2026-01-01T00:01:00+00:00",
        config_hash="abc",
        model="tiny",
        dataset="rows",
        scenario="latency",
        batch_size=8,
        input_length=32,
        variant="candidate",
        baseline=BASELINE,
        candidate=CANDIDATE,
        replicates=3,
        speedup=Estimate(2.0),
        cpu_speedup=Estimate(1.5),
        capacity_ratio=Estimate(1.8),
        size_ratio=0.4,
        peak_memory_ratio=0.5,
        noise_floor=0.03,
        rows=200,
        metrics=[ACCURACY],
        agreement=Estimate(0.97),
        broken=4,
        fixed=2,
        grade="usable",
        grade_reasons=["a busy machine"],
        decision="SHIP",
        sentence="Ship it.",
    )


def test_answers_and_capacities_are_those_of_the_first_candidate():
    second = WHOLE["variants"]["candidate"] | {"label": ""}
    point = point_of(slim(variants={**WHOLE["variants"], "second": second}), "second", COMMON)
    assert (point.variant, point.baseline, point.candidate.label) == (
        "second",
        BASELINE,
        "onnxruntime dynamic",
    )
    assert (point.rows, point.metrics, point.agreement, point.broken, point.fixed) == (
        None,
        [],
        None,
        None,
        None,
    )
    assert (point.capacity_ratio, point.candidate.requests_per_second) == (None, None)
    assert (point.speedup, point.replicates) == (None, 0)


BARE = {
    "variants": {},
    "timing": None,
    "comparisons": {},
    "server": None,
    "quality": None,
    "trust": None,
    "verdict": None,
}


def test_a_point_that_came_to_nothing_is_told_by_its_config_and_its_failure():
    failure = msgspec.to_builtins(Failure("WorkerError", "timing", "it died"))
    point = point_of(slim(**BARE, status="failed", failure=failure), "other", COMMON)
    assert point == Point(
        **COMMON,
        status="failed",
        reason="it died",
        stage="timing",
        schema_version=3,
        started_at="2026-01-01T00:00:00+00:00",
        finished_at="2026-01-01T00:01:00+00:00",
        config_hash="abc",
        model="tiny",
        dataset="rows",
        scenario="server",
        batch_size=4,
        input_length=16,
        variant="other",
        candidate=Side(label="openvino nncf", backend="openvino", quantization="nncf"),
    )
    finished = point_of(slim(failure=failure), "candidate", COMMON)
    assert (finished.reason, finished.stage) == (None, None)
    assert (point_of(slim(**BARE, status="skipped"), "other", COMMON).reason) is None


def test_a_side_of_which_only_a_part_was_chosen_is_unknown():
    assert side_of(slim(**BARE), "half") is None
    half = {"chosen": {"half": {"quantization": "nncf"}}}
    assert side_of(slim(**BARE, config=half), "half") is None


def test_a_variant_that_was_only_loaded_has_no_numbers():
    assert side_of(slim(server=None), "baseline") == Side(
        label="pytorch", backend="pytorch", quantization="none", graph="default", threads=2
    )


def test_facts_stand_in_the_order_in_which_they_matter():
    assert list(facts_of(slim(), "candidate").items()) == [
        ("threads of the baseline", "2"),
        ("threads of the candidate", "3"),
        ("machine", "m1"),
        ("cpu_model", "some CPU"),
        ("cores_available", "4"),
        ("python", None),
        ("OMP_NUM_THREADS", "2"),
        ("torch", "2.0"),
        ("plug-in mine", "1.0"),
    ]
    unloaded = facts_of(slim(variants={}), "second")
    assert (unloaded["threads of the baseline"], unloaded["threads of the candidate"]) == (None, None)


@pytest.mark.parametrize(
    ("content", "machine"),
    [
        (msgspec.json.encode(WHOLE), "m1"),
        (msgspec.json.encode({**WHOLE, "environment": {"machine": 7}}), None),
        (b"{", None),
    ],
)
def test_the_machine_of_a_result_is_its_fingerprint_or_unknown(content, machine):
    assert machine_of(content) == machine


def test_what_a_config_holds_of_another_kind_is_not_known():
    config = {"a": {"b": "text", "c": 1}, "d": "word"}
    assert text_at(config, "a", "b") == "text"
    assert (text_at(config, "a", "c"), text_at(config, "a"), text_at(config, "d", "e")) == (None, None, None)
    assert (whole(3), whole(True), whole("3"), whole(3.0)) == (3, None, None, None)


def test_a_label_names_the_quantization_if_there_is_one():
    assert (label("pytorch", "none"), label("pytorch", "dynamic")) == ("pytorch", "pytorch dynamic")
