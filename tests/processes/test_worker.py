"""The worker's side of a run, in this process: loading, timing by a given clock, evaluating, memory."""

import gc
import os
import sys
import types
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from optbench.backends.fake import Fake
from optbench.components import Artifact, Backend, LoadOptions, Priority, WaitPolicy
from optbench.errors import WorkerError
from optbench.measure.samples import Block
from optbench.measure.schedule import WarmupRule
from optbench.processes import worker
from optbench.processes.outputs import Evaluation, load_outputs, stack
from optbench.processes.remote_worker import RemoteWorker
from optbench.processes.this_process import memory_bytes
from optbench.processes.worker import Assignment, VariantHost
from optbench.records import KernelReport
from optbench.rows.ragged import save_table

MS = 1_000_000
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@dataclass
class Notebook(Backend):
    """A runtime that writes down what it is asked; its answer to a row is the sum of its ids."""

    artifact_formats: ClassVar[tuple[str, ...]] = ("transformers",)
    imports: ClassVar[tuple[str, ...]] = ("numpy",)

    def supports(self, spec, graph):
        return None

    def environment(self, threads, wait_policy):
        return {}

    def load(self, artifact, options):
        return NotebookSession(options)

    def kernels(self, artifact, options, feed):
        return KernelReport(int(feed["input_ids"][0, 0]), 1)


class NotebookSession:
    def __init__(self, options):
        self.options = options
        self.bound = []
        self.forwarded = []
        self.synchronized = 0

    def bind(self, feed):
        self.bound.append(feed)
        return feed

    def forward(self, bound):
        self.forwarded.append(bound)
        return bound

    def outputs(self, raw):
        mask = raw["attention_mask"]
        sums = (raw["input_ids"] * mask).sum(axis=1)
        return {"logits": np.stack([sums, -sums], axis=1), "length": mask.sum(axis=1)}

    def synchronize(self):
        self.synchronized += 1

    def settings(self):
        return {"threads": self.options.threads}

    def weights_bytes(self):
        return 12


def feed(*ids):
    return {"input_ids": np.array([ids]), "attention_mask": np.ones((1, len(ids)), dtype=np.int64)}


def host_of(backend, tmp_path, feeds=(feed(7), feed(8), feed(9))):
    save_table(tmp_path / "feeds.npz", feeds)
    artifact = Artifact(tmp_path, "transformers", "0" * 64, 10)
    options = LoadOptions(3, WaitPolicy.runtime, "default", "AutoModel", priority=Priority.normal)
    return VariantHost(Assignment(backend, artifact, options, tmp_path / "feeds.npz", {}))


@pytest.fixture
def host(tmp_path):
    made = host_of(Notebook(), tmp_path)
    made.load()
    made.session = made._session
    made.session.forwarded.clear()
    yield made
    gc.unfreeze()


def use_clock(monkeypatch, stamps=(), cpu=(), started=0, sleep=None):
    """Give the worker its wall and CPU readings; the seconds of its deadlines stand still."""
    made = types.SimpleNamespace(
        perf_counter=lambda: 0.0,
        perf_counter_ns=iter(stamps).__next__,
        process_time_ns=iter(cpu).__next__,
        monotonic_ns=lambda: started,
        sleep=sleep,
    )
    monkeypatch.setattr(worker, "time", made)
    monkeypatch.setattr(worker, "fall_asleep", lambda: None)


def calls_of(milliseconds):
    """Clock readings around calls of these durations, with a pause of 1 s between them."""
    now, stamps = 0, []
    for duration in milliseconds:
        stamps += [now, now + duration * MS]
        now += duration * MS + 1000 * MS
    return stamps


def inputs(session):
    return [int(bound["input_ids"][0, 0]) for bound in session.forwarded]


def test_the_load_report_of_the_made_up_runtime(tmp_path):
    made = host_of(Fake(call_seconds=1e-6), tmp_path)
    report = made.load()
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    assert report.settings == {"threads": 3, "call_seconds": 1e-6, "shape": "lognormal", "nice": nice}
    assert report.weights_bytes is None
    for seconds in (report.import_seconds, report.load_seconds, report.first_call_seconds):
        assert seconds >= 0


@pytest.mark.parametrize("error", [None, PermissionError(13, "Permission denied")])
def test_the_priority_is_raised_where_the_system_permits(monkeypatch, error):
    asked = []

    def setpriority(which, who, value):
        asked.append((which, who, value))
        if error is not None:
            raise error

    monkeypatch.setattr(os, "setpriority", setpriority)
    worker.raise_priority()
    assert asked == [(os.PRIO_PROCESS, 0, -20)]


@pytest.mark.parametrize(("priority", "calls"), [(Priority.raised, 1), (Priority.normal, 0)])
def test_only_a_raised_priority_is_asked_for(monkeypatch, tmp_path, priority, calls):
    asked = []
    monkeypatch.setattr(worker, "raise_priority", lambda: asked.append(True))
    made = host_of(Fake(call_seconds=1e-6), tmp_path)
    assignment = made._assignment
    made._assignment = replace(assignment, options=replace(assignment.options, priority=priority))
    made.load()
    assert len(asked) == calls


def test_each_part_of_a_load_is_timed_on_its_own(tmp_path, monkeypatch):
    clock = types.SimpleNamespace(perf_counter=iter([0, 2, 10, 13, 20, 25]).__next__)
    monkeypatch.setattr(worker, "time", clock)
    made = host_of(Notebook(), tmp_path)
    report = made.load()
    parts = (report.import_seconds, report.load_seconds, report.first_call_seconds)
    assert parts == (2, 3, 5)
    assert report.weights_bytes == 12
    assert made._session.synchronized == 1
    assert [int(bound["input_ids"][0, 0]) for bound in made._session.bound] == [7, 8, 9]
    assert inputs(made._session) == [7]


@linux_only
def test_the_memory_on_the_way_is_told(tmp_path):
    memory = host_of(Notebook(), tmp_path).load().memory
    assert 0 < memory.after_import <= memory.peak_loading
    assert 0 < memory.after_load <= memory.peak_loading
    assert memory.reset in (True, False)


@dataclass
class Compiling(Notebook):
    """A runtime whose first call compiles."""

    compiles: ClassVar[bool] = True

    def compiled_before(self, session):
        return len(session.forwarded) == 2

    def cautions(self, session):
        return [f"{len(session.forwarded)} calls"]


def test_compiling_is_what_the_first_call_takes_longer_than_the_second(tmp_path, monkeypatch):
    clock = types.SimpleNamespace(perf_counter=iter([0, 2, 10, 13, 20, 25, 30, 32]).__next__)
    monkeypatch.setattr(worker, "time", clock)
    made = host_of(Compiling(), tmp_path)
    report = made.load()
    assert (report.first_call_seconds, report.compile_seconds) == (5, 3)
    assert report.compiled_before
    assert report.cautions == ("2 calls",)
    assert inputs(made._session) == [7, 7]
    made._session.forward(made._bound[1])
    assert made.cautions() == ["3 calls"]


def test_without_compiling_there_is_no_second_call_and_nothing_to_caution(host, tmp_path):
    report = host_of(Notebook(), tmp_path).load()
    assert (report.compile_seconds, report.compiled_before, report.cautions) == (None, False, ())


def test_a_block_holds_the_differences_of_the_clock_in_call_order(host, monkeypatch):
    use_clock(monkeypatch, [0, 500, 1000, 1250, 2000, 2100], cpu=[5, 100, 850], started=77)
    block = host.time_block(0, settling=1, counted=2)
    assert block == Block([500, 250, 100], settling=1, cpu_nanoseconds=750, started_nanoseconds=77)
    assert (block.counted_calls, block.counted_nanoseconds) == (2, 350)


def test_without_settling_calls_the_cpu_time_is_that_of_all_calls(host, monkeypatch):
    use_clock(monkeypatch, [0, 500, 1000, 1250], cpu=[5, 100, 850])
    assert host.time_block(0, settling=0, counted=2).cpu_nanoseconds == 750


def test_a_block_walks_through_the_inputs_from_the_one_it_is_told(host, monkeypatch):
    use_clock(monkeypatch, range(10), cpu=range(3))
    host.time_block(first_input=5, settling=1, counted=4)
    assert inputs(host.session) == [9, 7, 8, 9, 7]


def test_each_call_waits_for_the_device_before_the_clock_is_read(host, monkeypatch):
    log = []
    use_clock(monkeypatch, cpu=range(3))
    worker.time.perf_counter_ns = lambda: log.append("clock") or 0
    monkeypatch.setattr(host.session, "forward", lambda bound: log.append("forward"))
    monkeypatch.setattr(host.session, "synchronize", lambda: log.append("synchronize"))
    host.time_block(0, settling=0, counted=2)
    assert log == ["clock", "forward", "synchronize", "clock"] * 2


def test_a_block_of_generating_calls_keeps_their_first_tokens(host, monkeypatch):
    taken = [[99], [300, 60]]  # the first were left by calls outside of any block
    monkeypatch.setattr(host.session, "take_first_tokens", lambda: taken.pop(0), raising=False)
    use_clock(monkeypatch, [0, 500, 1000, 1250], cpu=[5, 100, 850])
    block = host.time_block(0, settling=1, counted=1)
    assert block.nanoseconds == [500, 250]
    assert block.first_token_nanoseconds == [300, 60]


def test_a_block_of_forward_passes_has_no_first_tokens(host, monkeypatch):
    use_clock(monkeypatch, range(2), cpu=range(3))
    assert host.time_block(0, settling=0, counted=1).first_token_nanoseconds is None


def test_a_block_ends_when_the_runtime_is_asleep(host, monkeypatch):
    asleep = []
    use_clock(monkeypatch, range(2), cpu=range(3))
    monkeypatch.setattr(worker, "fall_asleep", lambda: asleep.append(len(host.session.forwarded)))
    host.time_block(0, settling=0, counted=1)
    assert asleep == [1]


def test_warm_up_ends_when_two_windows_agree(host, monkeypatch):
    # Medians of neighbouring windows of two: 65 and 25, 35 and 20, 25 and 20, then 20 and 20.
    durations = [90, 40, 30, 20, 20, 20, 20]
    use_clock(monkeypatch, calls_of([*durations, 20]), cpu=range(100))
    times = host.warm_up(WarmupRule(min_calls=2, window=2))
    assert times == [duration * MS for duration in durations]
    assert inputs(host.session) == [7, 8, 9, 7, 8, 9, 7]


def test_warm_up_ends_when_its_time_is_over(host, monkeypatch):
    use_clock(monkeypatch, calls_of(range(100, 0, -1)), cpu=range(1000))
    times = host.warm_up(WarmupRule(min_calls=1, window=2, tolerance=0, max_seconds=0.29))
    assert times == [100 * MS, 99 * MS, 98 * MS]


def test_warm_up_leaves_no_garbage_to_be_collected_while_timing(host, monkeypatch):
    before = gc.get_freeze_count()
    use_clock(monkeypatch, calls_of([1, 1]), cpu=range(10))
    host.warm_up(WarmupRule(min_calls=2, window=1))
    assert gc.get_freeze_count() > before


ROWS = [[5, 1, 1], [2], [9, 9, 9, 9], [3, 4], [7]]


def row_of(ids):
    return {
        "input_ids": np.array(ids, dtype=np.int64),
        "attention_mask": np.ones(len(ids), dtype=np.int64),
    }


class Keeping:
    """Stands in for a task: keeps everything."""

    def kept(self, feed, outputs):
        return {**outputs, "first_id": np.asarray(feed["input_ids"][0])}


def evaluation(tmp_path, batch_size):
    save_table(tmp_path / "rows.npz", [row_of(ids) for ids in ROWS])
    return Evaluation(Keeping(), tmp_path / "rows.npz", tmp_path / "out", batch_size, {"input_ids": 99})


@pytest.mark.parametrize("parts", [1, 2, 5])
@pytest.mark.parametrize("batch_size", [1, 2, 3, 5, 8])
def test_outputs_come_in_row_order_whatever_the_batch_size_and_parts(host, tmp_path, batch_size, parts):
    plan = evaluation(tmp_path, batch_size)
    for part in range(parts):
        assert host.evaluate(plan, part, parts) >= 0
    outputs = load_outputs(plan, parts)
    assert [row["logits"].tolist() for row in outputs] == [[sum(ids), -sum(ids)] for ids in ROWS]
    assert [int(row["length"]) for row in outputs] == [len(ids) for ids in ROWS]
    assert [int(row["first_id"]) for row in outputs] == [ids[0] for ids in ROWS]
    assert set(outputs[0]) == {"logits", "length", "first_id"}


def test_rows_are_batched_by_length_and_padded_as_told(host, tmp_path):
    host.evaluate(evaluation(tmp_path, 2), 0, 1)
    ids = [bound["input_ids"].tolist() for bound in host.session.forwarded]
    masks = [bound["attention_mask"].tolist() for bound in host.session.forwarded]
    assert ids == [[[2], [7]], [[3, 4, 99], [5, 1, 1]], [[9, 9, 9, 9]]]
    assert masks == [[[1], [1]], [[1, 1, 0], [1, 1, 1]], [[1, 1, 1, 1]]]


def test_stacking_pads_the_first_axis_and_keeps_the_rest():
    rows = [
        {"boxes": np.ones((1, 2), dtype=np.float32), "ids": np.array([5], dtype=np.int32)},
        {"boxes": np.ones((3, 2), dtype=np.float32), "ids": np.array([6, 7], dtype=np.int32)},
    ]
    batch = stack(rows, {"ids": -1})
    assert batch["boxes"].tolist() == [[[1, 1], [0, 0], [0, 0]], [[1, 1], [1, 1], [1, 1]]]
    assert batch["ids"].tolist() == [[5, -1], [6, 7]]
    assert (batch["boxes"].dtype, batch["ids"].dtype) == (np.float32, np.int32)


@pytest.mark.parametrize(
    "work",
    [
        lambda host: host.time_block(0, 1, 2),
        lambda host: host.warm_up(WarmupRule()),
        lambda host: host.settle(1),
        lambda host: host.evaluate(Evaluation(Keeping(), Path("rows"), Path("out"), 1, {}), 0, 1),
    ],
    ids=["time_block", "warm_up", "settle", "evaluate"],
)
def test_work_before_loading_is_refused(tmp_path, work):
    with pytest.raises(WorkerError, match="before it was told to load"):
        work(host_of(Notebook(), tmp_path))


@linux_only
def test_settling_tells_the_peak_after_so_many_calls(host):
    assert host.settle(5) >= memory_bytes("VmRSS") * 0.9
    assert inputs(host.session) == [7, 8, 9, 7, 8]


class Scripted:
    """Stands in for a child process: answers each request with its own description."""

    def __init__(self):
        self.asked = []
        self.closed = False

    def receive(self, timeout=None):
        self.asked.append(("ready", timeout))

    def call(self, method, *args, timeout=None):
        self.asked.append((method, *args, timeout))
        return f"answer to {method}"

    def close(self):
        self.closed = True


def test_the_stand_in_passes_requests_on_with_the_timeout():
    child = Scripted()
    remote = RemoteWorker(child, 9.0)
    assert remote.report == "answer to load"
    rule = WarmupRule()
    assert remote.warm_up(rule) == "answer to warm_up"
    assert remote.time_block(1, 2, 3) == "answer to time_block"
    assert remote.settle(4) == "answer to settle"
    assert remote.cautions() == "answer to cautions"
    assert child.asked == [
        ("ready", 9.0),
        ("load", 9.0),
        ("warm_up", rule, 9.0),
        ("time_block", 1, 2, 3, 9.0),
        ("settle", 4, 9.0),
        ("cautions", 9.0),
    ]
    remote.close()
    assert child.closed


def test_the_kernels_are_those_of_the_first_timed_input(host):
    assert host.kernels() == KernelReport(7, 1)
