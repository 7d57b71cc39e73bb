"""PyTorch and ONNX Runtime on tiny models: answers, artifacts, threads and imports against plain loops."""

import functools
import hashlib
import itertools
import json
import random
import shutil
import sys
from pathlib import Path

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest

from optbench.backends.onnxruntime import OnnxRuntime
from optbench.backends.pytorch import PyTorch
from optbench.checkpoint import read_spec
from optbench.cli import main
from optbench.components import Artifact, DataKeys, LoadOptions, Priority, WaitPolicy
from optbench.datasets.labelled import LabelledDataset
from optbench.outputs import Evaluation, load_outputs
from optbench.process import Template, start
from optbench.ragged import save_table
from optbench.records import read_result
from optbench.tasks.text_classification import TextClassification
from optbench.worker import Assignment

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="forks, and counts threads, as on Linux"),
]

QUICK = [
    "measure=quick",
    "measure.replicate_seconds=0.2",
    "measure.warmup_calls=2",
    "measure.warmup_seconds=0.3",
    "input_length=8",
]
INT8 = ("quant=dynamic", "graph=all", "threads=2")
FLOAT = ("quant=none", "graph=none", "threads=1", "backend.opset=17")
VOCABULARY = ["good", "bad", "great", "awful", "fine", "poor", "film", "plot", "cast", "a", "the", "unknown"]
LONGEST = 32
"""Tokens that the tiny models take at most; some texts are longer."""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Runs optbench and gives the directory; the same arguments are run once only."""

    @functools.cache
    def once(*arguments):
        place = tmp_path_factory.mktemp("run")
        assert main([*QUICK, *arguments, f"hydra.run.dir={place}"]) == 0
        assert read_result(place).status == "ok"
        return place

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPTBENCH_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "cache"))
        patch.delenv("OPTBENCH_VERBOSITY", raising=False)
        yield once


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def sentences(count, seed):
    """Different texts of one to forty words."""
    rng = random.Random(seed)
    found = {}
    while len(found) < count:
        found[" ".join(rng.choices(VOCABULARY, k=rng.randint(1, 40)))] = None
    return list(found)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    rows = [{"text": text, "label": number % 2} for number, text in enumerate(sentences(200, seed=1))]
    return write(tmp_path_factory.mktemp("rows") / "labelled.jsonl", rows)


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    rng = random.Random(2)
    rows = [{"text": text, "score": rng.uniform(0, 5)} for text in sentences(100, seed=2)]
    return write(tmp_path_factory.mktemp("rows") / "scored.jsonl", rows)


@pytest.fixture(scope="module")
def paired(tmp_path_factory):
    """Each first sentence with several second ones; no tokens are cut."""
    firsts = ["a good film", "the awful plot", "fine cast", "poor"]
    seconds = ["bad", "great film", "the cast a plot", "good good good", "awful the fine", "poor plot"]
    rows = [
        {"premise": first, "hypothesis": second, "label": number % 2}
        for number, (first, second) in enumerate(itertools.product(firsts, seconds))
    ]
    return write(tmp_path_factory.mktemp("rows") / "paired.jsonl", rows)


@pytest.fixture
def classify(run, tiny_model, labelled):
    return functools.partial(
        run, "model=pretrained", f"model.path={tiny_model}", "dataset=labelled", f"dataset.path={labelled}"
    )


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def texts_of(path):
    return [row["text"] for row in rows_of(path)]


def predictions(place):
    return pq.read_table(place / "predictions.parquet").to_pylist()


def artifact_of(place, name="candidate"):
    return Path(read_result(place).variants[name].artifact.path)


def torch_logits(directory, texts):
    """Logits [outputs] by text of a plain transformers loop; a text may be a pair."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(directory)
    model = AutoModelForSequenceClassification.from_pretrained(directory, dtype=torch.float32).eval()
    found = {}
    with torch.inference_mode():
        for text in texts:
            encoding = encoded(tokenizer, text, "pt")
            found[text] = model(**encoding).logits[0].numpy()
    return found


def onnx_logits(directory, texts):
    """The same of a plain onnxruntime loop over an artifact."""
    import onnxruntime
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(directory)
    session = onnxruntime.InferenceSession(str(directory / "model.onnx"), providers=["CPUExecutionProvider"])
    names = {item.name for item in session.get_inputs()}
    found = {}
    for text in texts:
        encoding = encoded(tokenizer, text, "np")
        feed = {name: array.astype(np.int64) for name, array in encoding.items() if name in names}
        found[text] = session.run(["logits"], feed)[0][0]
    return found


def encoded(tokenizer, text, tensors):
    parts = (text,) if isinstance(text, str) else text
    return tokenizer(*parts, return_tensors=tensors, truncation=True, max_length=LONGEST)


def classes(logits):
    return {text: int(values.argmax()) for text, values in logits.items()}


def check_answers(place, expected, labels):
    """Every prediction and every count of a run against those of the plain loops, by text."""
    stored = predictions(place)
    assert sorted(row["text"] for row in stored) == sorted(labels)
    right = {}
    for name, answers in expected.items():
        assert {row["text"]: row[name] for row in stored} == answers
        right[name] = {text for text, label in labels.items() if answers[text] == label}
    quality = read_result(place).quality
    assert quality.rows == len(labels)
    accuracy = quality.metrics[0]
    assert accuracy.name == "accuracy"
    assert accuracy.baseline == len(right["baseline"]) / len(labels)
    assert accuracy.candidate == len(right["candidate"]) / len(labels)
    assert quality.broken == len(right["baseline"] - right["candidate"])
    assert quality.fixed == len(right["candidate"] - right["baseline"])
    same = sum(expected["baseline"][text] == expected["candidate"][text] for text in labels)
    assert quality.agreement.value == same / len(labels)


@pytest.mark.parametrize("arguments", [FLOAT, INT8], ids=["none", "dynamic"])
def test_answers_and_counts_equal_plain_loops_to_the_last_row(classify, tiny_model, labelled, arguments):
    place = classify(*arguments)
    labels = {row["text"]: row["label"] for row in rows_of(labelled)}
    expected = {
        "baseline": classes(torch_logits(tiny_model, labels)),
        "candidate": classes(onnx_logits(artifact_of(place), labels)),
    }
    for answers in expected.values():
        assert set(answers.values()) == {0, 1}
    assert (expected["baseline"] == expected["candidate"]) == ("quant=none" in arguments)
    check_answers(place, expected, labels)


def test_int8_alone_is_compared_with_onnx_runtime_itself(classify, labelled):
    place = classify("baseline=onnxruntime", *INT8)
    result = read_result(place)
    labels = {row["text"]: row["label"] for row in rows_of(labelled)}
    names = ("baseline", "candidate")
    check_answers(
        place, {name: classes(onnx_logits(artifact_of(place, name), labels)) for name in names}, labels
    )
    baseline, candidate = (result.variants[name] for name in names)
    assert (baseline.backend, baseline.quantization) == ("onnxruntime", "none")
    assert (candidate.backend, candidate.quantization) == ("onnxruntime", "dynamic")
    assert baseline.preparation.quantize_seconds is None
    assert candidate.preparation.quantize_seconds > 0
    assert candidate.preparation.export_seconds == baseline.preparation.export_seconds > 0
    sizes = [(artifact_of(place, name) / "model.onnx").stat().st_size for name in names]
    assert result.comparison.size_ratio == sizes[1] / sizes[0] < 0.6


@pytest.mark.parametrize("arguments", [FLOAT, INT8], ids=["none", "dynamic"])
def test_the_hash_and_the_size_are_those_of_the_kept_file(classify, arguments):
    record = read_result(classify(*arguments)).variants["candidate"].artifact
    file = Path(record.path) / "model.onnx"
    assert record.format == "onnx"
    assert record.sha256 == hashlib.sha256(b"model.onnx\0" + file.read_bytes()).hexdigest()
    assert record.size_bytes == file.stat().st_size
    assert list(file.parent.glob("model.onnx_data*")) == []


def test_the_baseline_is_the_checkpoint_and_its_size_that_of_the_weights(classify, tiny_model):
    from safetensors.numpy import load_file

    record = read_result(classify(*INT8)).variants["baseline"].artifact
    assert (Path(record.path), record.format) == (tiny_model, "transformers")
    weights = load_file(tiny_model / "model.safetensors").values()
    assert record.size_bytes == sum(weight.nbytes for weight in weights)


@pytest.mark.parametrize("arguments", [FLOAT, INT8], ids=["none", "dynamic"])
def test_optimum_loads_the_kept_artifact_and_gives_the_same_logits(classify, labelled, arguments):
    import torch
    from optimum.onnxruntime import ORTModelForSequenceClassification
    from transformers import AutoTokenizer

    directory = artifact_of(classify(*arguments))
    texts = texts_of(labelled)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    model = ORTModelForSequenceClassification.from_pretrained(directory, local_files_only=True)
    assert model.config.id2label == {0: "NEGATIVE", 1: "POSITIVE"}
    with torch.inference_mode():
        theirs = [model(**encoded(tokenizer, text, "pt")).logits[0].numpy() for text in texts]
    ours = list(onnx_logits(directory, texts).values())
    np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-5)


def test_the_opset_asked_for_reaches_the_file(classify):
    import onnx

    place = classify(*FLOAT)
    declared = onnx.load(str(artifact_of(place) / "model.onnx")).opset_import
    assert {item.domain: item.version for item in declared}[""] == 17
    assert read_result(place).variants["candidate"].artifact.details["opset"] == 17


@pytest.mark.parametrize(("arguments", "level"), [(FLOAT, "none"), (INT8, "all")])
def test_the_graph_level_is_recorded(classify, arguments, level):
    variants = read_result(classify(*arguments)).variants
    assert variants["candidate"].graph == level
    assert variants["candidate"].runtime["graph_level"] == level
    assert variants["baseline"].graph == "default"


@pytest.mark.parametrize(
    ("level", "number", "expected"),
    [
        ("none", None, "ORT_DISABLE_ALL"),
        ("basic", None, "ORT_ENABLE_BASIC"),
        ("extended", None, "ORT_ENABLE_EXTENDED"),
        ("all", None, "ORT_ENABLE_ALL"),
        ("default", None, "ORT_ENABLE_ALL"),
        ("default", 1, "ORT_ENABLE_BASIC"),
    ],
)
def test_the_graph_level_reaches_the_session(classify, level, number, expected):
    import onnxruntime

    backend = OnnxRuntime(optimization_level=number)
    session = backend.load(given(artifact_of(classify(*FLOAT))), options(graph_level=level))._session
    found = session.get_session_options().graph_optimization_level
    assert found == getattr(onnxruntime.GraphOptimizationLevel, expected)


@pytest.mark.parametrize(("arguments", "threads"), [(FLOAT, 1), (INT8, 2)])
def test_threads_are_read_back_from_both_runtimes(classify, arguments, threads):
    variants = read_result(classify(*arguments)).variants
    for name in ("baseline", "candidate"):
        assert variants[name].threads == threads
        assert variants[name].runtime["threads"] == threads


def test_an_existing_directory_is_measured_as_it_is(classify, labelled, tiny_model, tmp_path):
    prepared = classify(*INT8)
    directory = tmp_path / "given"
    shutil.copytree(artifact_of(prepared), directory, ignore=shutil.ignore_patterns("optbench.json"))
    before = contents(directory)
    place = classify(f"artifact={directory}", "quant=none", "threads=2")
    found = read_result(place).variants["candidate"]
    assert Path(found.artifact.path) == directory
    assert found.artifact.details == {"given": True}
    assert found.artifact.sha256 == read_result(prepared).variants["candidate"].artifact.sha256
    assert (found.preparation.export_seconds, found.preparation.quantize_seconds) == (None, None)
    assert contents(directory) == before
    labels = {row["text"]: row["label"] for row in rows_of(labelled)}
    expected = {
        "baseline": classes(torch_logits(tiny_model, labels)),
        "candidate": classes(onnx_logits(directory, labels)),
    }
    check_answers(place, expected, labels)


def contents(directory):
    return {file.name: file.read_bytes() for file in directory.iterdir()}


def test_forked_and_fresh_workers_answer_alike(classify):
    forked, fresh = classify(*INT8), classify(*INT8, "measure.start=spawn")
    assert read_result(forked).timing.start == "fork"
    assert read_result(fresh).timing.start == "spawn"
    assert not [note for note in read_result(forked).notes if "fork" in note]
    assert predictions(fresh) == predictions(forked)
    assert read_result(fresh).quality.metrics == read_result(forked).quality.metrics
    assert read_result(fresh).quality.drift == read_result(forked).quality.drift


def test_predictions_on_pairs_equal_plain_loops(run, tiny_model, paired):
    place = run(
        "model=pretrained",
        f"model.path={tiny_model}",
        "dataset=labelled",
        f"dataset.path={paired}",
        "dataset.data_keys.primary=premise",
        "dataset.data_keys.secondary=hypothesis",
        "quant=none",
    )
    labels = {(row["premise"], row["hypothesis"]): row["label"] for row in rows_of(paired)}
    expected = {
        "baseline": classes(torch_logits(tiny_model, labels)),
        "candidate": classes(onnx_logits(artifact_of(place), labels)),
    }
    first_only = classes(torch_logits(tiny_model, {first for first, _ in labels}))
    assert any(expected["baseline"][pair] != first_only[pair[0]] for pair in labels)
    joined = {
        name: {" | ".join(pair): answers[pair] for pair in labels} for name, answers in expected.items()
    }
    check_answers(place, joined, {" | ".join(pair): label for pair, label in labels.items()})


@pytest.mark.parametrize("name", ["baseline", "candidate"])
def test_another_second_sentence_gives_other_logits(classify, tiny_model, paired, probes, name):
    backend = {"baseline": PyTorch(), "candidate": OnnxRuntime()}[name]
    directory = {"baseline": tiny_model, "candidate": artifact_of(classify(*FLOAT))}[name]
    pairs = [(row["premise"], row["hypothesis"]) for row in rows_of(paired)]
    keys = DataKeys(primary="premise", secondary="hypothesis")
    plan = probes.plan(tiny_model, LabelledDataset(path=str(paired), data_keys=keys), rows_of(paired))
    child = probes.started(backend, directory)
    child.call("evaluate", plan, 0, 1)
    found = dict(zip(pairs, (output["logits"] for output in load_outputs(plan, 1)), strict=True))
    loop = {"baseline": torch_logits, "candidate": onnx_logits}[name](directory, pairs)
    for pair in pairs:
        np.testing.assert_allclose(found[pair], loop[pair], rtol=0, atol=1e-5)
    for one, other in itertools.combinations(pairs, 2):
        assert np.abs(found[one] - found[other]).max() > 1e-3


def test_regression_metrics_equal_scipy_and_numpy_on_a_plain_loop(run, tiny_regressor, scored):
    from scipy import stats

    place = run(
        "model=pretrained",
        f"model.path={tiny_regressor}",
        "task.is_regression=true",
        "dataset=labelled",
        f"dataset.path={scored}",
        "dataset.ref_keys=[score]",
        "quality.metrics=[pearson,spearmanr,mse,mae]",
        *INT8,
    )
    scores = {row["text"]: row["score"] for row in rows_of(scored)}
    loops = {
        "baseline": torch_logits(tiny_regressor, scores),
        "candidate": onnx_logits(artifact_of(place), scores),
    }
    stored = {row["text"]: row for row in predictions(place)}
    metrics = {metric.name: metric for metric in read_result(place).quality.metrics}
    right = np.array(list(scores.values()))
    values = {}
    for name, logits in loops.items():
        mine = values[name] = np.array([logits[text].item() for text in scores], dtype=np.float64)
        np.testing.assert_allclose([stored[text][name] for text in scores], mine, rtol=0, atol=1e-5)
        expected = {
            "pearson": stats.pearsonr(right, mine).statistic,
            "spearmanr": stats.spearmanr(right, mine).statistic,
            "mse": np.mean((right - mine) ** 2),
            "mae": np.mean(np.abs(right - mine)),
        }
        found = {metric: getattr(metrics[metric], name) for metric in metrics}
        assert found == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert np.abs(values["baseline"] - values["candidate"]).max() > 1e-3


PROBE = """
import sys
from pathlib import Path
from optbench.worker import VariantHost

class Probe(VariantHost):
    def modules(self):
        return {name.partition(".")[0] for name in sys.modules}

    def threads(self):
        return len(list(Path("/proc/self/task").iterdir()))
"""
"""A worker that also tells what it has imported, and the threads that the kernel counts."""


def given(directory):
    return Artifact(
        directory, "onnx" if (directory / "model.onnx").is_file() else "transformers", "0" * 64, 1
    )


def options(threads=1, graph_level="default"):
    model_class = TextClassification.model_class
    return LoadOptions(threads, WaitPolicy.runtime, graph_level, model_class, priority=Priority.normal)


class Probes:
    """Starts loaded probes and writes what they work on."""

    def __init__(self, place):
        self.place = place
        self.log = place / "log"
        self.environment = {"PYTHONPATH": str(place)}
        self.running = []
        (place / "probe.py").write_text(PROBE)

    def assignment(self, backend, directory, threads=1):
        feeds = self.place / "feeds.npz"
        names = ("input_ids", "attention_mask", "token_type_ids")
        save_table(feeds, [{name: np.ones((1, 4), dtype=np.int64) for name in names}])
        environment = {**self.environment, **backend.environment(threads, WaitPolicy.runtime)}
        return Assignment(backend, given(directory), options(threads), feeds, environment)

    def started(self, backend, directory, threads=1):
        assignment = self.assignment(backend, directory, threads)
        return self.loaded(
            start("probe", "probe:Probe", assignment, environment=assignment.environment, log=self.log)
        )

    def forked(self, backend, directory):
        template = Template("probe", backend.imports, self.environment, self.log)
        self.running.append(template)
        assert template.refuses() is None
        return self.loaded(template.fork("probe", "probe:Probe", self.assignment(backend, directory)))

    def loaded(self, child):
        self.running.append(child)
        child.receive()
        child.call("load")
        return child

    def plan(self, model, dataset, rows):
        """The evaluation of these rows, encoded as a run would."""
        task = TextClassification()
        table = datasets.Dataset.from_list(rows)
        save_table(self.place / "rows.npz", task.examples(read_spec(model), dataset, table).encoded())
        return Evaluation(
            task, self.place / "rows.npz", self.place / "out", 4, task.padding(read_spec(model))
        )


@pytest.fixture
def probes(tmp_path):
    made = Probes(tmp_path)
    yield made
    for child in reversed(made.running):
        child.close()


@pytest.mark.parametrize("way", ["started", "forked"])
def test_onnx_runtimes_worker_imports_neither_torch_nor_transformers(
    classify, tiny_model, labelled, probes, way
):
    child = getattr(probes, way)(OnnxRuntime(), artifact_of(classify(*FLOAT)))
    plan = probes.plan(tiny_model, LabelledDataset(path=str(labelled)), rows_of(labelled))
    child.call("time_block", 0, 1, 2)
    child.call("evaluate", plan, 0, 1)
    assert len(load_outputs(plan, 1)) == 200
    imported = child.call("modules")
    assert {"numpy", "onnxruntime", "optbench"} <= imported
    assert not imported & {"torch", "transformers", "tokenizers", "datasets", "optimum", "sklearn", "pandas"}


def test_onnx_runtime_starts_as_many_threads_as_it_reports(classify, probes):
    directory = artifact_of(classify(*FLOAT))
    counted = {
        number: probes.started(OnnxRuntime(), directory, number).call("threads") for number in (1, 2, 4)
    }
    assert counted == {1: counted[1], 2: counted[1] + 1, 4: counted[1] + 3}
