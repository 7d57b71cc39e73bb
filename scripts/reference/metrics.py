"""docs/reference/metrics.md: every built-in metric with its definition, from the tables that compute them."""

from __future__ import annotations

from collections.abc import Iterable

from optbench.quality.metrics import METRICS, Metric
from optbench.quality.row_metric import RowMetric
from optbench.quality.squad import SQUAD_METRICS
from optbench.quality.tagging import ENTITY_METRICS, WORD_METRICS
from optbench.tasks import fill_mask, image_classification, sentence_similarity, text_generation
from reference.meanings import NOTICE, code, table

INTRODUCTION = """\
`quality.metrics=[NAME, ...]` chooses them; without it a task takes its own. Both variants are judged on
the same rows, and each difference has a paired interval ([methodology](../methodology.md)). A metric of the
`evaluate` library is `evaluate:NAME` where it is in its cache or a hub can be reached, or the path of a
module of your own: `quality.metrics=[my_metric.py@KEY@lower]` takes the number KEY of its answer, of which
less is better."""

KINDS = {
    "classification": "for labels: text and image classification",
    "regression": "for numbers: scores of sentence pairs, regression",
    None: "for either",
}
OF_TASKS = {
    "image-classification": [image_classification.TOP5],
    "token-classification": [*ENTITY_METRICS.values(), *WORD_METRICS.values()],
    "question-answering": SQUAD_METRICS.values(),
    "fill-mask": fill_mask.METRICS.values(),
    "sentence-similarity": sentence_similarity.RETRIEVAL.values(),
    "text-generation": text_generation.METRICS.values(),
}


def page() -> str:
    """The whole page."""
    parts = ["# Metrics", INTRODUCTION]
    for kind, words in KINDS.items():
        if found := [metric for metric in METRICS.values() if metric.kind == kind]:
            parts += [f"## {words[0].upper()}{words[1:]}", rows(found)]
    for task, own in OF_TASKS.items():
        parts += [f"## task={task}", rows(own)]
    return "\n\n".join([*parts, NOTICE]) + "\n"


def rows(metrics: Iterable[Metric | RowMetric]) -> str:
    """A line for each metric."""
    return table(
        ("name", "what it is", "better"),
        ((code(one.name), one.source, "more" if one.higher_is_better else "less") for one in metrics),
    )
