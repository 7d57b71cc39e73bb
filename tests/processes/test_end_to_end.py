"""Calls from raw rows to answers: what is timed as the model's part, and whole runs that tell it."""

import json
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest

from optbench.backends.fake import Fake
from optbench.backends.onnxruntime import OnnxRuntime
from optbench.backends.pytorch import PyTorch
from optbench.checkpoint import read_spec
from optbench.cli import main
from optbench.components import Artifact, LoadOptions, Priority, WaitPolicy
from optbench.processes.end_to_end import EndToEndSession, WholeCalls, whole_call_environment
from optbench.processes.worker import Assignment, VariantHost
from optbench.records import read_result
from optbench.rows.ragged import save_table
from optbench.tasks.text_classification import TextClassification

QUICK = [
    "measure.scope=end_to_end",
    "measure=quick",
    "measure.replicate_seconds=0.2",
    "measure.warmup_calls=2",
    "measure.warmup_seconds=0.2",
    "measure.cold_start=false",
    "hydra.run.dir=out",
]


class Steps:
    """A clock that advances by what each step of a call is said to take."""

    def __init__(self):
        self.now = 0
        self.seen = []

    def pass_by(self, name, nanoseconds, value):
        self.seen.append(name)
        self.now += nanoseconds
        return value


class StubSession:
    def __init__(self, steps):
        self._steps = steps

    def bind(self, feed):
        return self._steps.pass_by("bind", 10, feed)

    def forward(self, bound):
        return self._steps.pass_by("forward", 200, bound)

    def synchronize(self):
        self._steps.pass_by("synchronize", 50, None)

    def outputs(self, raw):
        return self._steps.pass_by("outputs", 20, {"logits": raw})


class StubPipeline:
    def __init__(self, steps):
        self._steps = steps

    def encode(self, rows):
        return self._steps.pass_by("encode", 1000, [len(row) for row in rows]), len(rows)

    def decode(self, outputs, encoded):
        assert len(outputs["logits"]) == encoded
        return self._steps.pass_by("decode", 400, outputs["logits"])


def test_a_call_goes_from_rows_to_answers_and_the_forward_alone_counts_as_the_model():
    steps = Steps()
    session = EndToEndSession(StubSession(steps), StubPipeline(steps), clock=lambda: steps.now)
    assert session.forward(["abc", "d"]) == [3, 1]
    assert steps.seen == ["encode", "bind", "forward", "synchronize", "outputs", "decode"]
    assert session.take_model_nanoseconds() == [250]
    assert session.take_model_nanoseconds() == []


def test_a_tokenizer_has_as_many_threads_as_the_runtime_and_brings_no_pytorch_along():
    one, two = whole_call_environment(OnnxRuntime(), 1), whole_call_environment(PyTorch(), 2)
    assert (one["TOKENIZERS_PARALLELISM"], two["TOKENIZERS_PARALLELISM"]) == ("false", "true")
    assert (one["RAYON_NUM_THREADS"], two["RAYON_NUM_THREADS"]) == ("1", "2")
    assert one["USE_TORCH"] == "0"
    assert "USE_TORCH" not in two


def test_a_worker_times_whole_calls_with_the_models_part_of_each(tmp_path, bare_model):
    save_table(tmp_path / "feeds.npz", [{"input_ids": np.ones((1, 2), np.int64)}])
    artifact = Artifact(bare_model, "transformers", "0" * 64, 10)
    options = LoadOptions(1, WaitPolicy.runtime, "default", "AutoModel", priority=Priority.normal)
    whole = WholeCalls(TextClassification(), read_spec(bare_model), [[("good film",)], [("bad",)]])
    fake = Fake(call_seconds=1e-4)
    host = VariantHost(Assignment(fake, artifact, options, tmp_path / "feeds.npz", {}, whole))
    host.load()
    block = host.time_block(0, 1, 3)
    assert len(block.nanoseconds) == len(block.model_nanoseconds) == 4
    assert all(part < total for part, total in zip(block.model_nanoseconds, block.nanoseconds, strict=True))
    assert block.first_token_nanoseconds is None


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def data(model, rows_file):
    rows = ["dataset=labelled", f"dataset.path={rows_file}", "dataset.data_keys.primary=text"]
    return ["model=pretrained", f"model.path={model}", *rows]


@pytest.mark.skipif(sys.platform != "linux", reason="forks as on Linux")
def test_a_run_tells_the_models_share_and_it_follows_from_the_raw_data(place, bare_model, rows_file, capfd):
    fake = ["baseline=fake", "backend=fake", "quant=none", "batch_size=3", "backend.call_seconds=0.001"]
    assert main([*QUICK, *data(bare_model, rows_file), *fake]) == 0
    printed = capfd.readouterr().out
    result = read_result(place / "out")
    assert (result.timing.scope, result.timing.input_length, result.timing.inputs) == (
        "end_to_end",
        None,
        "dataset",
    )
    samples = pq.read_table(place / "out" / "samples.parquet").to_pandas()
    counted = samples[~samples.settling]
    for name, variant in result.variants.items():
        mine = counted[counted.variant == name]
        share = mine.model_nanoseconds.sum() / mine.nanoseconds.sum()
        assert variant.end_to_end.model_share == pytest.approx(share)
        assert variant.end_to_end.model.mean_seconds == pytest.approx(mine.model_nanoseconds.mean() / 1e9)
        assert 0 < share < 1
    assert result.comparison.model_speedup.value > 1
    for words in ("batch 3, from raw rows to answers", "of it the model, mean", "of it the model, share"):
        assert words in printed
    assert result.verdict.sentence.startswith("From raw rows to answers the candidate, fake, ran")


@pytest.mark.parametrize("task", ["fill-mask", "text-generation"])
def test_a_task_without_raw_rows_is_refused_before_work_starts(task, place, bare_model, rows_file, capfd):
    config = json.loads((bare_model / "config.json").read_text())
    (bare_model / "config.json").write_text(json.dumps({**config, "architectures": None}))
    short = ["task.new_tokens=2"] if task == "text-generation" else []
    assert main([*QUICK, *data(bare_model, rows_file), f"task={task}", *short]) == 2
    message = capfd.readouterr().err
    assert f"task={task}" in message
    assert "measure.scope=model" in message
    assert not (place / "out").exists()


@pytest.mark.slow
def test_real_runtimes_answer_whole_rows_and_a_server_does_too(place, tiny_model, rows_file):
    shared = [*data(tiny_model, rows_file), "quality=none", "batch_size=2"]
    assert main([*QUICK, *shared]) == 0
    result = read_result(place / "out")
    assert result.timing.start == "fork"
    assert not [note for note in result.notes if "started anew" in note]
    assert all(0 < one.end_to_end.model_share < 1 for one in result.variants.values())
    served = ["measure.scenario=server", "measure.server.rates=[20]", "measure.server.requests=70"]
    assert main([*QUICK, *shared, *served, "baseline=onnxruntime"]) == 0
    assert read_result(place / "out").server is not None
