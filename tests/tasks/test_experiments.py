"""The experiments that ask what int8 does to a task, each run once on a tiny model and rows of its own."""

import itertools
import json

import numpy as np
import pytest

from optbench.cli import main
from optbench.records import read_result

pytestmark = [pytest.mark.slow, pytest.mark.release]

SHORT = [
    "measure=quick",
    "measure.replicate_seconds=0.1",
    "measure.warmup_calls=1",
    "measure.warmup_seconds=0.1",
    "measure.cold_start=false",
    "input_length=8",
]
TEXTS = ["the film is good", "a bad plot", "the cast was great", "poor film a fine cast"] * 3
PIXELS = np.random.default_rng(0).integers(0, 256, size=(12, 8, 8, 3))


def bert(architecture):
    """Makes a tiny BERT with a head."""
    return lambda build_bert, build_vit, build_causal: build_bert(architecture)


CASES = {
    "int8_ner": (
        bert("BertForTokenClassification"),
        [{"tokens": text.split(), "tags": ["A", "B", "A", "B", "A"][: len(text.split())]} for text in TEXTS],
        [],
    ),
    "int8_qa": (
        bert("BertForQuestionAnswering"),
        [{"question": "is it good", "context": text, "answers": [text.split()[-1]]} for text in TEXTS],
        ["task.max_length=24", "task.doc_stride=8"],
    ),
    "int8_vit": (
        lambda build_bert, build_vit, build_causal: build_vit(("a", "b")),
        [{"image": image.tolist(), "label": "ab"[at % 2]} for at, image in enumerate(PIXELS)],
        [],
    ),
    "int8_fill_mask": (bert("BertForMaskedLM"), [{"text": text} for text in TEXTS], []),
    "int8_similarity": (
        bert("BertModel"),
        [{"one": one, "two": two, "score": len(two)} for one, two in itertools.pairwise(TEXTS)],
        ["dataset.data_keys.primary=one", "dataset.data_keys.secondary=two"],
    ),
    "int8_generation": (
        lambda build_bert, build_vit, build_causal: build_causal("gpt2"),
        [{"text": text} for text in TEXTS],
        ["task.new_tokens=3", "task.prompt_tokens=3"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_an_experiment_about_a_task_runs(
    name, tmp_path, monkeypatch, capfd, build_bert, build_vit, build_causal
):
    monkeypatch.chdir(tmp_path)
    build, rows, own = CASES[name]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = [f"model.path={build(build_bert, build_vit, build_causal)}", "dataset.path=rows.jsonl"]
    fewer = ["recipe=onnxruntime-int8", "baseline=onnxruntime", "hydra.sweep.dir=out"]
    assert main([f"+experiment={name}", *SHORT, *given, *own, *fewer]) == 0, capfd.readouterr().err
    result = read_result(tmp_path / "out" / "0")
    assert result.status == "ok"
    assert result.variants["candidate"].quantization == "dynamic"
    assert result.quality.rows == len(rows)
    assert result.quality.metrics
