"""What trackers are told about a run: flat names, SI numbers, nothing that they would refuse."""

import pytest

from optbench import records
from optbench.tracking.log_entry import entry_of, flatten, metrics_of, params_of, plain_name, tags_of
from optbench.tracking.tracker import milliseconds, without_passwords


def test_metrics_have_flat_stable_names(made_run):
    found = metrics_of(made_run())
    expected = {
        "speedup": 2.0,
        "speedup_low": 1.98,
        "speedup_high": 2.02,
        "cpu_speedup": 1.5,
        "size_ratio": 0.4,
        "replicates": 10.0,
        "baseline.latency_mean_seconds": 0.010,
        "candidate.latency_mean_seconds": 0.005,
        "candidate.latency_p50_seconds": 0.0075,
        "candidate.latency_p99_seconds": 0.00995,
        "candidate.samples_per_second": 200.0,
        "candidate.cpu_seconds_per_call": 0.010,
        "candidate.size_bytes": 2_000_000.0,
        "candidate.peak_memory_bytes": 20_000_000.0,
        "candidate.cold_start_seconds": 1.75,
        "baseline.accuracy": 0.9,
        "candidate.accuracy": 0.89,
        "accuracy_difference": -0.01,
        "accuracy_difference_low": -0.02,
        "accuracy_difference_high": 0.005,
        "agreement": 0.975,
        "rows": 200.0,
        "broken": 4.0,
        "fixed": 2.0,
    }
    assert {name: found.get(name) for name in expected} == pytest.approx(expected)
    assert not [name for name in found if "p99_9" in name]
    assert all(type(value) is float for value in found.values())


def test_servers_generation_and_drift_have_their_metrics_too(made_run):
    run = made_run()
    rate = records.Estimate(50.0, records.Interval(45.0, 55.0))
    capacity = records.Capacity(rate, 0.01, [], [])
    phase = records.PhaseLatency(10, 0.2, 0.01, 0.1, 0.3, [records.Percentile(0.999, 0.3)])
    generation = records.Generation(8, phase, None, records.Estimate(40.0))
    server = records.ServerResult(
        0.05,
        None,
        0.95,
        "poisson",
        300,
        4,
        "precision",
        9.0,
        {"candidate": capacity},
        records.Estimate(1.25),
        0.0,
        0.1,
    )
    drift = records.Drift(200, 0, 0.1, 0.2, None, 0.003, 0.03, 1.0, 1.0)
    found = metrics_of(
        records.replace(
            run,
            server=server,
            quality=records.replace(run.quality, drift=drift),
            variants={"candidate": records.replace(run.variants["candidate"], generation=generation)},
        )
    )
    expected = {
        "capacity_ratio": 1.25,
        "candidate.requests_per_second_low": 45.0,
        "candidate.first_token_p99_9_seconds": 0.3,
        "candidate.output_tokens_per_second": 40.0,
        "drift_kl_mean": 0.003,
    }
    assert {name: found.get(name) for name in expected} == expected


def test_params_are_the_config_with_the_names_of_its_parts(made_run):
    config = {
        "tracking": {"tracking_uri": "sqlite:///x.db"},
        "resume": "earlier",
        "threads": "auto",
        "model": {"path": "tiny"},
        "task": {"label_map": {"a b/c": "x"}, "is_regression": False},
        "quality": {"metrics": ["accuracy"], "margin": None},
        "baseline": {"backend": {"precision": "float32"}, "threads": None},
        "chosen": {
            "task": "text-classification",
            "baseline": {"backend": "pytorch", "quantization": "none"},
            "candidate": {"backend": "onnxruntime", "quantization": "dynamic"},
        },
    }
    assert params_of(made_run(config=config)) == {
        "threads": "auto",
        "model.path": "tiny",
        "task": "text-classification",
        "task.label_map.a_b_c": "x",
        "task.is_regression": "false",
        "quality.metrics": '["accuracy"]',
        "quality.margin": "null",
        "baseline.backend.precision": "float32",
        "baseline.backend": "pytorch",
        "baseline.quantization": "none",
        "baseline.threads": "2",
        "candidate.backend": "onnxruntime",
        "candidate.quantization": "dynamic",
        "candidate.threads": "2",
    }


def test_tags_say_what_it_came_to_and_where(made_run):
    verdict = records.Verdict("SHIP", [records.GateResult("min_speedup", "pass", 1.2, 2.0)], "It is faster.")
    environment = {"machine": "m1", "versions": {"torch": "2.0", "nncf": None}, "git": {"commit": "abc"}}
    found = tags_of(made_run(verdict=verdict, environment=environment))
    expected = {
        "status": "ok",
        "grade": "good",
        "verdict": "SHIP",
        "gate.min_speedup": "pass",
        "sentence": "It is faster.",
        "machine": "m1",
        "version.torch": "2.0",
        "git_commit": "abc",
        "candidate": "onnxruntime dynamic",
    }
    assert {name: found.get(name) for name in expected} == expected
    assert not {"version.nncf", "failure", "hostname"} & set(found)


def test_a_run_that_failed_early_is_logged_with_its_reason(made_run):
    failure = records.Failure("DataError", "rows", "no such file")
    bare = {"variants": {}, "comparisons": {}, "quality": None, "trust": None, "timing": None}
    entry = entry_of(made_run(status="failed", failure=failure, **bare))
    assert (entry.name, entry.metrics) == ("onnxruntime dynamic 1x32", {})
    assert (entry.tags["status"], entry.tags["failure"]) == ("failed", "no such file")
    strange = entry_of(made_run(config={"chosen": 3}, environment={"git": "x"}, **bare))
    assert strange.name == "candidate"


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("seqeval_f1@PER", "seqeval_f1_PER"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("/abs", "_abs"),
        ("a=<b>", "a__b_"),
        ("..", "_"),
        ("größe", "gr__e"),
    ],
)
def test_names_are_plain_and_never_a_path(name, plain):
    assert plain_name(name) == plain


def test_long_values_are_cut(made_run):
    found = params_of(made_run(config={"model": {"path": "x" * 9000}}))
    assert found["model.path"] == "x" * 499 + "…"


def test_an_empty_mapping_is_a_leaf():
    assert flatten({"a": {"b": 1, "c": {}}}) == {"a.b": 1, "a.c": {}}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:secret@host/path", "https://***@host/path"),
        ("postgresql://me:p@host/db refused", "postgresql://***@host/db refused"),
        ("https://token@host", "https://***@host"),
        ("sqlite:////a/b.db", "sqlite:////a/b.db"),
        ("https://host/a@b", "https://host/a@b"),
    ],
)
def test_addresses_lose_their_passwords(text, shown):
    assert without_passwords(text) == shown


def test_moments_become_milliseconds():
    assert milliseconds("1970-01-02T00:00:00+00:00") == 86_400_000
    assert milliseconds("1970-01-02T00:00:00") == 86_400_000
    assert milliseconds("some day") is None
    assert milliseconds(None) is None
