"""Text generation against plain loops with transformers alone, on two families and two runtimes."""

import math

import datasets
import numpy as np
import pytest

from optbench.backends.onnxruntime import OnnxRuntime
from optbench.backends.pytorch import PyTorch
from optbench.checkpoint import read_spec
from optbench.components import Artifact, Generating, LoadOptions, Priority, WaitPolicy
from optbench.datasets.labelled import LabelledDataset
from optbench.errors import DataError
from optbench.generation.greedy import PROMPT
from optbench.processes.outputs import stack
from optbench.processes.preparation import Preparer
from optbench.quality.rows import compare_rows, right_rows
from optbench.tasks.text_generation import DRIFT_PLACES, FULL_LOGITS_LIMIT, TextGeneration

TEXTS = [
    "good film",
    "the plot was bad and the cast is poor a fine film is good",
    "a",
    "great great cast the plot is awful",
    "the film the plot the cast " * 8,
]
WINDOW, NEW = 24, 6


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def model(request, build_causal):
    return build_causal(request.param)


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    """The same model as ONNX, by optimum's exporter."""
    target = tmp_path_factory.mktemp("onnx")
    Preparer().export(model, target, TextGeneration.export_task, None)
    return target


@pytest.fixture(params=["pytorch", "onnxruntime"])
def session(request, model):
    """A generating session of each runtime over the same weights."""
    if request.param == "pytorch":
        return load(PyTorch(), model)
    return load(OnnxRuntime(), request.getfixturevalue("exported"))


def load(backend, directory, new_tokens=NEW):
    artifact = Artifact(directory, backend.artifact_formats[0], "0" * 64, 1)
    options = LoadOptions(1, WaitPolicy.runtime, "default", TextGeneration.model_class)
    return backend.load(
        artifact,
        LoadOptions(**{**vars(options), "new_tokens": new_tokens, "priority": Priority.normal}),
    )


def task_of(**options):
    return TextGeneration(**{"new_tokens": NEW, "prompt_tokens": 4, "window": WINDOW, **options})


def examples(model, task, texts=TEXTS):
    table = datasets.Dataset.from_dict({"text": texts})
    return task.examples(read_spec(model), LabelledDataset(path="x"), table)


def answers(session, task, model, found, batch_size=1):
    """What a worker keeps of each row, evaluated in batches."""
    rows, kept = found.encoded(), []
    for begin in range(0, len(rows), batch_size):
        chosen = rows[begin : begin + batch_size]
        feed = stack(chosen, task.padding(read_spec(model)))
        outputs = session.outputs(session.forward(session.bind(feed)))
        for position, row in enumerate(chosen):
            own = {name: array[position] for name, array in outputs.items()}
            kept.append(task.kept(row, own))
    return kept


def plain_losses(directory, text, window=WINDOW):
    """Negative log likelihood and hit of each token but the first, each from its own forward pass.

    A token at place t is seen from the start of the first window of half-overlapping ones that holds it.
    """
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    model = transformers.AutoModelForCausalLM.from_pretrained(directory).eval()
    ids = tokenizer(text, return_tensors="pt")["input_ids"][0]
    losses, hits = [], []
    for place in range(1, len(ids)):
        begin = 0
        while begin + window <= place:
            begin += window // 2
        with torch.inference_mode():
            logits = model(ids[None, begin:place]).logits[0, -1].double()
        losses.append(-float(torch.log_softmax(logits, dim=-1)[ids[place]]))
        hits.append(int(logits.argmax()) == int(ids[place]))
    return losses, hits


def plain_continuation(directory, text, prompt_tokens=4):
    """Greedy tokens by transformers' own generate, which must not stop at an end token."""
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    model = transformers.AutoModelForCausalLM.from_pretrained(directory).eval()
    prompt = tokenizer(text, return_tensors="pt")["input_ids"][:, :prompt_tokens]
    model.generation_config.eos_token_id = None
    with torch.inference_mode():
        made = model.generate(
            prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=NEW
        )
    return tuple(tokenizer.convert_ids_to_tokens(made[0, prompt.shape[1] :].tolist()))


def test_perplexity_and_hits_equal_a_plain_loop_over_every_token(session, model):
    task = task_of()
    found = examples(model, task)
    statistics = found.statistics(answers(session, task, model, found))
    rows = [plain_losses(model, text) for text in TEXTS]
    losses = [loss for row, _ in rows for loss in row]
    hits = [hit for _, row in rows for hit in row]
    assert statistics["perplexity"][:, 0] == pytest.approx([sum(row) for row, _ in rows], rel=1e-5)
    assert statistics["perplexity"][:, 1].tolist() == [len(row) for row, _ in rows]
    perplexity = found.metrics["perplexity"].of(statistics["perplexity"])
    assert perplexity == pytest.approx(math.exp(np.mean(losses)), rel=1e-5)
    assert found.metrics["top1"].of(statistics["top1"]) == np.mean(hits)


def test_continuations_equal_generate(session, model):
    task = task_of()
    found = examples(model, task)
    said = found.predictions(answers(session, task, model, found))
    assert said == [plain_continuation(model, text) for text in TEXTS]
    assert len(set(said)) > 1


def test_batches_do_not_change_answers(session, model):
    task = task_of()
    found = examples(model, task)
    alone, together = (answers(session, task, model, found, size) for size in (1, 8))
    assert found.predictions(alone) == found.predictions(together)
    for one, two in zip(alone, together, strict=True):
        assert float(one["log_likelihood"]) == pytest.approx(float(two["log_likelihood"]), rel=1e-5)
        assert one["logits"] == pytest.approx(two["logits"], abs=1e-4)


def test_a_timed_call_makes_all_tokens_of_all_rows_and_notes_the_first(session, model):
    task = task_of()
    feed = task.random_feed(read_spec(model), (3, 5), seed=1)
    assert {name: array.shape for name, array in feed.items()} == {
        "input_ids": (3, 5),
        "attention_mask": (3, 5),
    }
    assert isinstance(session, Generating)
    session.take_first_tokens()
    bound = session.bind(feed)
    made = [session.outputs(session.forward(bound))["continuation"] for _ in range(2)]
    assert made[0].shape == (3, NEW)
    assert (made[0] == made[1]).all()
    taken = session.take_first_tokens()
    assert len(taken) == 2
    assert min(taken) > 0
    assert session.take_first_tokens() == []


def test_a_single_token_is_a_whole_call(model, exported):
    feed = task_of().random_feed(read_spec(model), (2, 5), seed=1)
    first = [
        one.outputs(one.forward(one.bind(feed)))["continuation"]
        for one in (load(PyTorch(), model, 1), load(OnnxRuntime(), exported, 1), load(PyTorch(), model))
    ]
    assert first[0].tolist() == first[1].tolist() == first[2][:, :1].tolist()


def test_long_texts_are_scored_once_in_windows_that_overlap(model):
    spec = read_spec(model)
    task = TextGeneration(window=8, stride=3)
    assert list(task.windows(spec, 1)) == [(0, 1, 1)]
    assert list(task.windows(spec, 8)) == [(0, 8, 1)]
    assert list(task.windows(spec, 15)) == [(0, 8, 1), (3, 11, 5), (6, 14, 5), (9, 15, 5)]
    for length in range(1, 60):
        windows = TextGeneration(window=8).windows(spec, length)
        scored = [place for begin, end, first in windows for place in range(begin + first, end)]
        assert scored == list(range(1, length))


def test_rows_of_one_token_are_continued_and_not_scored(model):
    task = task_of()
    found = examples(model, task)
    assert any("scored in more than one window" in note for note in found.notes)
    bare = examples(model, task, ["a", "good film"])
    lengths = [len(row["input_ids"]) for row in bare.encoded()]
    assert any("a single token" in note for note in bare.notes) == (1 in lengths)


def test_agreement_is_that_of_leading_tokens(model):
    task = TextGeneration(new_tokens=4)
    found = examples(model, task, ["a film", "a plot", "a cast"])
    baseline = [{"continuation": np.array(tokens)} for tokens in ([1, 2, 3, 4], [5, 6, 7, 8], [9, 9, 9, 9])]
    own = [{"continuation": np.array(tokens)} for tokens in ([1, 2, 3, 4], [5, 6, 0, 8], [0, 9, 9, 9])]
    statistics = found.against(own, baseline)
    assert statistics["leading_tokens"][:, 0].tolist() == [1.0, 0.5, 0.0]
    assert statistics["same_continuation"][:, 0].tolist() == [1.0, 0.0, 0.0]
    itself = found.against(baseline, baseline)
    compared, _ = compare_rows(
        found.metrics["same_continuation"],
        itself["same_continuation"],
        statistics["same_continuation"],
        seed=0,
    )
    assert (compared.baseline, compared.candidate) == (1.0, pytest.approx(1 / 3))
    assert compared.difference.interval.low < -2 / 3 < compared.difference.interval.high
    assert right_rows(list(found.metrics.values()), statistics) is None


def test_a_few_places_tell_the_drift(session, model):
    task = task_of()
    found = examples(model, task)
    logits = found.logits(answers(session, task, model, found))
    scored = [len(found.encoded()[0]["input_ids"]) - 1]
    assert len(logits[0]) == min(DRIFT_PLACES, scored[0])
    assert len(logits[-1]) == DRIFT_PLACES
    assert found.logits([{"continuation": np.array([1])}]) == []


def test_large_vocabularies_are_not_kept_whole():
    ids = np.array([3, 7, 1])
    feed = {"input_ids": ids, PROMPT: ids[:1], "_first": np.asarray(1)}
    outputs = {"logits": np.zeros((5, FULL_LOGITS_LIMIT + 1)), "continuation": np.array([4, -1])}
    kept = TextGeneration().kept(feed, outputs)
    assert set(kept) == {"log_likelihood", "right", "scored", "continuation"}
    assert float(kept["log_likelihood"]) == pytest.approx(-2 * math.log(FULL_LOGITS_LIMIT + 1))
    assert kept["continuation"].tolist() == [4]


def test_prompts_to_be_timed_come_from_the_texts_and_are_never_padded(model):
    found = examples(model, task_of())
    cut = found.cut((3, 40), 0)
    assert cut["input_ids"].shape == (3, 40)
    assert (cut["attention_mask"] == 1).all()
    assert (found.cut((3, 40), 0)["input_ids"] == cut["input_ids"]).all()


def test_references_are_what_follows_the_prompt(model):
    found = examples(model, TextGeneration(prompt_tokens=2, new_tokens=3), [TEXTS[1]])
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    ids = tokenizer(TEXTS[1])["input_ids"]
    assert found.references() == [tuple(tokenizer.convert_ids_to_tokens(ids[2:5]))]
    assert found.default_metrics() == ["perplexity", "top1", "same_continuation", "leading_tokens"]
    assert found.texts() == [TEXTS[1]]
    assert set(found.groups()) == {"length"}


def test_rows_without_text_are_left_out(build_causal):
    model = build_causal("gpt2")
    found = examples(model, task_of(), ["good film", None, ""])
    assert set(found.failed) == {1, 2}
    assert "text of one token or more is required" in found.failed[2]
    with pytest.raises(DataError, match="no row can be used"):
        examples(model, task_of(), [""])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"new_tokens": 0}, "new_tokens must be >= 1, got 0"),
        ({"prompt_tokens": 0}, "prompt_tokens must be >= 1, got 0"),
        ({"window": 1}, "window must be >= 2 or null, got 1"),
        ({"stride": 0}, "stride must be >= 1 or null, got 0"),
    ],
)
def test_values_out_of_range_are_problems(options, said):
    (problem,) = TextGeneration(**options).problems()
    assert said in problem


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"window": 65}, "task.window must be <= 64"),
        ({"new_tokens": 60}, r"task.prompt_tokens \+ task.new_tokens must be <= 64"),
        ({"window": 8, "stride": 8}, "task.stride must be below the window of 8"),
    ],
)
def test_what_the_model_cannot_hold_is_refused(model, options, said):
    import re

    assert re.search(said, TextGeneration(**options).supports(read_spec(model)))
    assert TextGeneration().supports(read_spec(model)) is None


def test_other_models_are_refused(bare_model, build_vit):
    assert "BertForSequenceClassification" in TextGeneration().supports(read_spec(bare_model))
    assert "has no vocabulary" in TextGeneration().supports(read_spec(build_vit(("A", "B"))))
