"""Whole runs that generate text: over the made-up runtime, and over real ones with dynamic int8."""

import itertools
import json
import math
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from optbench.cli import main
from optbench.records import read_result

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks as on Linux")

TASK = ["task=text-generation", "task.new_tokens=5", "task.prompt_tokens=3", "input_length=6"]
SHORT = ["measure.replicates=2", "measure.max_replicates=2", "measure.replicate_seconds=0.2"]


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def arguments(model, rows_file):
    data = ["dataset=labelled", f"dataset.path={rows_file}", "dataset.data_keys.primary=text"]
    return [*TASK, "model=pretrained", f"model.path={model}", *data, "hydra.run.dir=out"]


@pytest.fixture
def bare_causal(tmp_path, write_plain_tokenizer):
    """A causal checkpoint without real weights."""
    directory = tmp_path / "bare"
    directory.mkdir()
    size = write_plain_tokenizer(directory, False)
    config = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "vocab_size": size}
    (directory / "config.json").write_text(json.dumps({**config, "n_positions": 64}))
    (directory / "model.safetensors").write_bytes(bytes([2, 0, 0, 0, 0, 0, 0, 0]) + b"{}")
    return directory


@pytest.fixture
def fake(bare_causal, rows_file):
    """A made-up runtime against one that takes half as long and a larger share of it to the first token."""
    seconds = ["baseline.backend.call_seconds=0.008", "backend.call_seconds=0.004"]
    shares = ["baseline.backend.first_token_share=0.25", "backend.first_token_share=0.5"]
    sides = ["baseline=fake", "backend=fake", "quant=none"]
    return [*arguments(bare_causal, rows_file), *sides, *seconds, *shares, *SHORT]


def test_a_run_tells_the_phases_and_they_follow_from_the_raw_data(place, fake, capfd):
    assert main(fake) == 0
    printed = capfd.readouterr().out
    result = read_result(place / "out")
    compared = result.comparison  # 1, 2 and 3, if nothing else runs
    ratios = (compared.first_token_speedup, compared.speedup, compared.per_output_token_speedup)
    assert ratios[0].value < ratios[1].value < ratios[2].value
    assert result.timing.new_tokens == 5
    for row in ("6 tokens + 5 new", "first token, mean", "per output token, mean", "output tokens"):
        assert row in printed
    check_phases(place, result)
    assert {metric.name: metric.candidate for metric in result.quality.metrics} == {
        "perplexity": pytest.approx(result.quality.metrics[0].baseline),
        "top1": result.quality.metrics[1].baseline,
        "same_continuation": 1.0,
        "leading_tokens": 1.0,
    }
    assert (result.quality.agreement.value, result.quality.broken) == (1.0, None)
    assert result.quality.drift.kl_mean == 0.0
    check_perplexity(place, result)


def check_phases(place, result):
    """Means of the phases, worked out anew from samples.parquet."""
    samples = pq.read_table(place / "out" / "samples.parquet").to_pandas()
    for name, variant in result.variants.items():
        mine = samples[(samples.variant == name) & ~samples.settling]
        phases = variant.generation
        assert phases.new_tokens == 5
        assert phases.first_token.mean_seconds == pytest.approx(mine.first_token_nanoseconds.mean() / 1e9)
        rest = (mine.nanoseconds - mine.first_token_nanoseconds).mean() / 4e9
        assert phases.per_output_token.mean_seconds == pytest.approx(rest)
        tokens = 5 * len(mine) / (mine.nanoseconds.sum() / 1e9)
        assert phases.output_tokens_per_second.value == pytest.approx(tokens)


def check_perplexity(place, result):
    """The made-up runtime gives a logit of 1 to the token after each, and 0 to all others."""
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(place / "bare")
    size, losses, continued = len(tokenizer), [], {}
    rows = pq.read_table(place / "out" / "predictions.parquet").to_pylist()
    for row in rows:
        ids = tokenizer(row["text"])["input_ids"]
        hits = [after == (before + 1) % size for before, after in itertools.pairwise(ids)]
        losses += [math.log(math.e + size - 1) - hit for hit in hits]
        last = ids[:3][-1]
        expected = tokenizer.convert_ids_to_tokens([(last + n) % size for n in range(1, 6)])
        assert row["baseline"] == row["candidate"] == expected
        continued[row["text"]] = tokenizer.convert_ids_to_tokens(ids[3:8])
        assert row["reference"] == continued[row["text"]]
    assert result.quality.metrics[0].baseline == pytest.approx(math.exp(np.mean(losses)))


def test_a_prompt_must_leave_room_for_what_is_generated(place, fake, capfd):
    assert main([*fake, "input_length=60"]) == 2
    said = capfd.readouterr().err
    assert "input_length must not exceed 59, the longest input of this model less the 5 new tokens" in said


def test_a_backend_that_cannot_generate_is_refused(place, fake, monkeypatch, capfd):
    from optbench.backends.fake import Fake

    monkeypatch.setattr(Fake, "can_generate", False)
    main(fake)
    assert "backend=fake cannot generate tokens, and this task does" in capfd.readouterr().err


@pytest.mark.slow
def test_texts_are_timed_without_padding_and_by_several_processes(place, fake):
    several = ["measure=throughput", "measure.processes=2", "threads=1", *SHORT]
    assert main([*fake, *several, "measure.inputs=dataset", "batch_size=2"]) == 0
    result = read_result(place / "out")
    assert result.timing.inputs == "dataset"
    samples = pq.read_table(place / "out" / "samples.parquet").to_pandas()
    assert (samples.first_token_nanoseconds < samples.nanoseconds).all()


@pytest.mark.slow
@pytest.mark.parametrize("family", ["gpt2", pytest.param("llama", marks=pytest.mark.release)])
def test_real_runtimes_generate_alike_and_int8_is_judged(place, build_causal, rows_file, family):
    model = build_causal(family)
    quick = ["measure=quick", "measure.replicate_seconds=0.3", "measure.warmup_calls=2"]
    runs = {}
    for quant in ("none", "dynamic"):
        command = [*arguments(model, rows_file), f"quant={quant}", *quick, "measure.warmup_seconds=0.5"]
        assert main(command) == 0
        runs[quant] = read_result(place / "out")
        rows = pq.read_table(place / "out" / "predictions.parquet").to_pylist()
        check_against_plain_loops(runs[quant], rows, model)
        same = np.mean([row["baseline"] == row["candidate"] for row in rows])
        agreement = next(m for m in runs[quant].quality.metrics if m.name == "same_continuation")
        assert (agreement.candidate, runs[quant].quality.agreement.value) == (same, same)
    plain, int8 = (runs[name].quality for name in ("none", "dynamic"))
    assert plain.agreement.value == 1.0
    assert plain.metrics[0].candidate == pytest.approx(plain.metrics[0].baseline, rel=1e-5)
    assert plain.drift.kl_mean < 1e-6 < int8.drift.kl_mean
    assert int8.metrics[0].candidate == pytest.approx(int8.metrics[0].baseline, rel=0.5)
    assert int8.metrics[0].difference.interval.low < int8.metrics[0].difference.interval.high
    phases = runs["dynamic"].variants["candidate"].generation
    whole = phases.first_token.mean_seconds + 4 * phases.per_output_token.mean_seconds
    assert whole == pytest.approx(runs["dynamic"].variants["candidate"].latency.mean_seconds, rel=0.05)


def check_against_plain_loops(result, rows, model):
    """The baseline's perplexity and continuations, with transformers alone; the candidate's with optimum."""
    import torch
    import transformers
    from optimum.onnxruntime import ORTModelForCausalLM

    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    artifact = Path(result.variants["candidate"].artifact.path)
    models = {
        "baseline": transformers.AutoModelForCausalLM.from_pretrained(model).eval(),
        "candidate": ORTModelForCausalLM.from_pretrained(artifact, local_files_only=True),
    }
    for name, loaded in models.items():
        loaded.generation_config.eos_token_id = None
        losses = []
        for row in rows:
            encoding = tokenizer(row["text"], return_tensors="pt", return_token_type_ids=False)
            ids = encoding["input_ids"]
            with torch.inference_mode():
                logits = loaded(**encoding).logits[0, :-1].double()
                options = {"do_sample": False, "max_new_tokens": 5}
                prompt = {key: value[:, :3] for key, value in encoding.items()}
                made = loaded.generate(**prompt, **options)[0, prompt["input_ids"].shape[1] :]
            losses.append(torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum"))
            assert row[name] == tokenizer.convert_ids_to_tokens(made.tolist())
        count = sum(len(tokenizer(row["text"])["input_ids"]) - 1 for row in rows)
        expected = math.exp(float(sum(losses)) / count)
        assert getattr(result.quality.metrics[0], name) == pytest.approx(expected, rel=1e-5)
