"""Answers are computed once, whatever asks for them; anything that may change them makes them new."""

import dataclasses

import numpy as np
import pytest

from optbench.artifacts.answers import AnswerStore
from optbench.artifacts.cache import listing
from optbench.backends.fake import Fake
from optbench.components import Artifact, LoadOptions, Priority, WaitPolicy
from optbench.processes.outputs import Evaluation, load_outputs
from optbench.processes.worker import Assignment
from optbench.quantizations.dynamic import DynamicQuantization
from optbench.quantizations.none import NoQuantization
from optbench.rows.ragged import save_table
from optbench.tasks.text_classification import TextClassification

ENVIRONMENT = {"machine": "here", "versions": {"onnxruntime": "1"}}
OPTIONS = LoadOptions(1, WaitPolicy.runtime, "default", "AutoModel", quantization=NoQuantization())


@pytest.fixture
def plan(tmp_path):
    save_table(tmp_path / "rows.npz", [{"input_ids": np.array([1, 2])}, {"input_ids": np.array([3])}])
    return Evaluation(TextClassification(), tmp_path / "rows.npz", tmp_path / "candidate", 1, {})


@pytest.fixture
def assignment(tmp_path):
    return Assignment(Fake(), Artifact(tmp_path, "onnx", "a" * 64, 1), OPTIONS, tmp_path / "feeds.npz", {})


class Evaluator:
    """Writes one output in each of two parts; counts how often it had to."""

    def __init__(self, plan):
        self.plan, self.times = plan, 0

    def __call__(self):
        self.times += 1
        for part in range(2):
            save_table(self.plan.output(part), [{"logits": np.array([part, 1.0]), "row": np.asarray(part)}])
        return 2.5, ["compiled again"]


def forget(plan):
    for part in range(2):
        plan.output(part).unlink()


def test_the_second_time_answers_are_taken_from_the_cache(plan, assignment, tmp_path):
    compute = Evaluator(plan)
    store = AnswerStore(tmp_path / "cache", ENVIRONMENT)
    first = store.answer(assignment, plan, 2, compute)
    before = load_outputs(plan, 2)
    forget(plan)
    again = store.answer(assignment, plan, 2, compute)
    assert (first.before, again.before, compute.times) == (False, True, 1)
    assert (again.seconds, again.cautions) == (2.5, ["compiled again"])
    after = load_outputs(plan, 2)
    assert [row["logits"].tolist() for row in after] == [row["logits"].tolist() for row in before]


def test_an_entry_knows_its_model_and_how_many_rows_it_answers(plan, assignment, tmp_path):
    store = AnswerStore(tmp_path / "cache", ENVIRONMENT, "/models/mine", 2)
    store.answer(assignment, plan, 2, Evaluator(plan))
    (found,) = listing(tmp_path / "cache")
    assert found.model == "mine"
    assert found.recipe.startswith("answers to 2 rows, text-classification, fake")


def changed_options(assignment, **changes):
    return dataclasses.replace(assignment, options=dataclasses.replace(assignment.options, **changes))


CHANGES = {
    "the files": lambda a, p, e: (
        dataclasses.replace(a, artifact=dataclasses.replace(a.artifact, sha256="b" * 64)),
        p,
        e,
    ),
    "a backend setting": lambda a, p, e: (dataclasses.replace(a, backend=Fake(seed=1)), p, e),
    "the quantization": lambda a, p, e: (changed_options(a, quantization=DynamicQuantization()), p, e),
    "the graph level": lambda a, p, e: (changed_options(a, graph_level="all"), p, e),
    "the batch size": lambda a, p, e: (a, dataclasses.replace(p, batch_size=2), e),
    "the task": lambda a, p, e: (
        a,
        dataclasses.replace(p, task=TextClassification(label_map={1: "POSITIVE"})),
        e,
    ),
    "a version": lambda a, p, e: (a, p, {**e, "versions": {"onnxruntime": "2"}}),
    "the machine": lambda a, p, e: (a, p, {**e, "machine": "there"}),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_may_change_the_answers_makes_them_new(plan, assignment, tmp_path, what):
    compute = Evaluator(plan)
    AnswerStore(tmp_path / "cache", ENVIRONMENT).answer(assignment, plan, 2, compute)
    other, other_plan, environment = CHANGES[what](assignment, plan, ENVIRONMENT)
    found = AnswerStore(tmp_path / "cache", environment).answer(other, other_plan, 2, compute)
    assert (found.before, compute.times) == (False, 2)


def test_other_rows_make_them_new(plan, assignment, tmp_path):
    compute = Evaluator(plan)
    store = AnswerStore(tmp_path / "cache", ENVIRONMENT)
    store.answer(assignment, plan, 2, compute)
    save_table(plan.rows, [{"input_ids": np.array([9, 9])}])
    assert not store.answer(assignment, plan, 2, compute).before


def test_threads_and_priority_do_not_change_answers(plan, assignment, tmp_path):
    compute = Evaluator(plan)
    store = AnswerStore(tmp_path / "cache", ENVIRONMENT)
    store.answer(assignment, plan, 2, compute)
    other = changed_options(assignment, threads=4, priority=Priority.normal)
    assert store.answer(other, plan, 2, compute).before


def test_a_damaged_entry_is_computed_again(plan, assignment, tmp_path):
    compute = Evaluator(plan)
    store = AnswerStore(tmp_path / "cache", ENVIRONMENT)
    store.answer(assignment, plan, 2, compute)
    (kept,) = (tmp_path / "cache" / "artifacts").glob("answers-*/part-0.npz")
    kept.write_bytes(b"poison")
    assert not store.answer(assignment, plan, 2, compute).before
    assert store.answer(assignment, plan, 2, compute).before


def test_a_cache_that_cannot_be_written_costs_time_and_nothing_else(plan, assignment, tmp_path):
    (tmp_path / "cache").write_text("a file where a folder should be")
    compute = Evaluator(plan)
    store = AnswerStore(tmp_path / "cache", ENVIRONMENT)
    assert [store.answer(assignment, plan, 2, compute).before for _ in range(2)] == [False, False]
    assert len(load_outputs(plan, 2)) == 2
