"""The open loop and throughput over the made-up runtime: real processes, a real named pipe."""

import json
import os
import sys
import threading
import time

import numpy as np
import pyarrow.parquet as pq
import pytest

from optbench.cli import main
from optbench.measure.md1 import md1_capacity
from optbench.processes.loadgen import LoadGenerator
from optbench.records import ServerResult, read_result
from optbench.stages.serving import lateness_notes, round_up

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="named pipes and forks as on Linux")

SERVICE = 0.004


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def fake(bare_model):
    """A made-up runtime whose calls take 4 ms, against one twice as fast."""
    return [
        "baseline=fake",
        "backend=fake",
        "quant=none",
        "quality=none",
        f"baseline.backend.call_seconds={SERVICE}",
        f"backend.call_seconds={SERVICE / 2}",
        "baseline.backend.shape=constant",
        "backend.shape=constant",
        "model=pretrained",
        f"model.path={bare_model}",
        "hydra.run.dir=out",
        "measure.budget_seconds=1",
        "measure.replicate_seconds=0.2",
        "measure.replicates=2",
        "measure.max_replicates=2",
    ]


def test_the_generator_sends_when_due_and_says_when(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got = []

    def read():
        with pipe.open("rb", buffering=0) as stream:
            while stream.read(1):
                got.append(time.monotonic_ns())

    reader = threading.Thread(target=read)
    reader.start()
    due = [0, 10_000_000, 10_000_000, 30_000_000]
    intended, sent, cpu_seconds = LoadGenerator().send(pipe, due)
    reader.join(10)
    assert [time - intended[0] for time in intended] == due
    assert len(got) == 4
    assert all(at >= should for at, should in zip(sent, intended, strict=True))
    assert all(arrived >= at for arrived, at in zip(got, sent, strict=True))
    assert 0 <= cpu_seconds < (sent[-1] - intended[0]) / 1e9


@pytest.mark.slow
def test_the_capacity_of_a_run_follows_from_its_requests(place, fake, capfd):
    gate = "gates.min_requests_per_second=10"
    assert main(["measure=server", "measure.server.bound_seconds=0.02", gate, *fake]) == 4
    printed = capfd.readouterr().out
    result = read_result(place / "out")
    server = result.server
    assert "capacity at p95 <= 20.0 ms" in printed
    assert "within a p95 of 20.0 ms it takes" in printed
    assert server.streams == 2
    assert server.requests == 300
    assert set(server.variants) == {"baseline", "candidate"}
    for variant in server.variants.values():  # no machine serves more than its service time allows
        assert 0 < variant.requests_per_second.value < 1.1 * md1_capacity(SERVICE / 2, 0.02)
        assert len(variant.stream_rates) == 2
    pairs = zip(*(server.variants[name].stream_rates for name in ("candidate", "baseline")), strict=True)
    ratio = np.exp(np.mean([np.log(after / before) for after, before in pairs]))
    assert server.capacity_ratio.value == pytest.approx(ratio)
    gate = result.verdict.gates[0]
    assert (gate.name, gate.outcome) == ("min_requests_per_second", "inconclusive")
    assert gate.needs.startswith("at least 3 more streams")  # and more, where the machine was disturbed
    check_requests(place, server)
    assert not (place / "out" / ".work").exists()


def check_requests(place, server):
    """The raw requests are whole, in order, and from nobody's future."""
    requests = pq.read_table(place / "out" / "requests.parquet").to_pandas()
    assert (requests.groupby("trial").size() == server.requests).all()
    assert (requests.settling == (requests["index"] < 30)).all()
    assert (requests.sent_ns >= requests.intended_arrival_ns).all()
    assert (requests.start_ns >= requests.sent_ns).all()
    assert (requests.completion_ns > requests.start_ns).all()
    for _, trial in requests.groupby("trial"):
        assert (np.diff(trial.start_ns) > 0).all()
        assert (trial.start_ns.to_numpy()[1:] >= trial.completion_ns.to_numpy()[:-1]).all()
    lateness = (requests.sent_ns - requests.intended_arrival_ns) / 1e9
    assert server.lateness_seconds == pytest.approx(np.quantile(lateness, 0.99))


def test_set_rates_give_their_percentiles(place, fake, capfd):
    arguments = ["measure=server", "measure.server.rates=[200,300]", "measure.server.requests=70", *fake]
    assert main(arguments) == 0
    server = read_result(place / "out").server
    assert [point.rate_per_second for point in server.variants["candidate"].load] == [200, 300]
    assert server.variants["candidate"].requests_per_second is None
    assert server.bound_reason.startswith("5 times the baseline's mean latency")
    assert "p95 at 200/s" in capfd.readouterr().out


@pytest.mark.slow
def test_several_processes_give_the_throughput_of_all(place, fake, capfd):
    arguments = ["measure=throughput", "measure.processes=2", "threads=1", "batch_size=2", *fake]
    assert main([*arguments, "backend.sleep=true", "baseline.backend.sleep=true"]) == 0
    result = read_result(place / "out")
    assert result.timing.processes == 2
    assert result.timing.scenario == "throughput"
    blocks = pq.read_table(place / "out" / "blocks.parquet").to_pandas()
    mine = blocks[blocks.variant == "baseline"]
    per_second = 2 * (mine.calls - mine.settling_calls).sum() / (mine.wall_nanoseconds.sum() / 1e9)
    assert result.variants["baseline"].throughput.samples_per_second.value == pytest.approx(per_second)
    assert per_second < 1.05 * 2 * 2 / SERVICE
    assert "2 processes of 1 thread " in capfd.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["measure.processes=2"], "measure.processes must be 1 for scenario=latency, got 2"),
        (["measure=server", "measure.server.percentile=1.5"], "measure.server.percentile must lie between"),
        (["measure=server", "measure.server.requests=20"], "measure.server.requests must be >= 66"),
        (
            ["measure=server", "measure.server.rates=[0]"],
            "measure.server.rates must hold requests per second > 0",
        ),
        (
            ["measure=server", "measure.server.bound_seconds=0"],
            "measure.server.bound_seconds must be > 0, got 0",
        ),
        (
            ["gates.min_requests_per_second=5"],
            "gates.min_requests_per_second must go with measure.scenario=server",
        ),
    ],
)
def test_loads_that_make_no_sense_are_refused(place, arguments, said, capfd):
    assert main(arguments) == 2
    assert said in capfd.readouterr().err
    assert list(place.iterdir()) == []


@pytest.mark.parametrize(
    ("seconds", "rounded"), [(0.01234, 0.013), (0.1, 0.1), (1.51, 1.6), (0.000999, 0.001)]
)
def test_a_bound_is_rounded_up_to_two_digits(seconds, rounded):
    assert round_up(seconds) == pytest.approx(rounded)


def test_the_result_is_plain_json(place, fake):
    assert main(["measure=server", "measure.server.rates=[300]", "measure.server.requests=66", *fake]) == 0
    kept = json.loads((place / "out" / "result.json").read_text())
    assert kept["config"]["measure"]["server"]["arrivals"] == "poisson"
    assert kept["server"]["stopped_by"] == "fixed"


@pytest.mark.parametrize(("lateness", "said"), [(0.0009, []), (0.0011, ["up to 1.10 ms late (p99)"])])
def test_a_late_generator_is_told(lateness, said):
    found = ServerResult(0.02, None, 0.95, "poisson", 300, 5, "precision", 1.0, {}, None, lateness, 0.01)
    notes = lateness_notes(found)
    assert len(notes) == len(said)
    assert all(words in note for words, note in zip(said, notes, strict=True))


@pytest.mark.parametrize("error", [None, PermissionError(1, "Operation not permitted")])
def test_the_generator_goes_first_where_the_system_permits(monkeypatch, error):
    asked = []

    def sched_setscheduler(pid, policy, parameters):
        asked.append((pid, policy, parameters.sched_priority))
        if error is not None:
            raise error

    monkeypatch.setattr(os, "sched_setscheduler", sched_setscheduler)
    LoadGenerator(raised=True)
    assert asked == [(0, os.SCHED_FIFO, 1)]
    LoadGenerator(raised=False)
    assert len(asked) == 1
