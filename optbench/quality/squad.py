"""Exact match and F1 of extracted answers, as the SQuAD evaluation script defines them.

Source: Rajpurkar et al. 2016 and 2018, evaluate-v1.1.py and evaluate-v2.0.py.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from optbench.quality.row_metric import RowMetric

if TYPE_CHECKING:
    from optbench.quality.rows import Statistics

PUNCTUATION = str.maketrans("", "", string.punctuation)

SQUAD_METRICS = {
    metric.name: metric
    for metric in (
        RowMetric("exact_match", True, "share of questions answered rightly, SQuAD script", is_binary=True),
        RowMetric("squad_f1", True, "mean over questions of the best word overlap, SQuAD script"),
    )
}


def normalized(text: str) -> str:
    """Lower case, without punctuation and articles, single spaces."""
    without = re.sub(r"\b(a|an|the)\b", " ", text.lower().translate(PUNCTUATION))
    return " ".join(without.split())


def exact_match(answer: str, references: Sequence[str]) -> float:
    """1 if the answer is one of the references, or empty where there is none."""
    wanted = [normalized(reference) for reference in references] or [""]
    return float(normalized(answer) in wanted)


def word_f1(answer: str, references: Sequence[str]) -> float:
    """The best F1 of the answer's words against those of a reference; empty answers match none."""
    return max(pair_f1(answer, reference) for reference in (references or [""]))


def pair_f1(answer: str, reference: str) -> float:
    """F1 of two texts' words, as bags."""
    one, two = normalized(answer).split(), normalized(reference).split()
    if not one or not two:
        return float(one == two)
    common = sum((Counter(one) & Counter(two)).values())
    return 2 * common / (len(one) + len(two))


def squad_statistics(references: Sequence[Sequence[str]], answers: Sequence[str]) -> Statistics:
    """(value, 1) of each question, by metric name."""
    import numpy as np

    pairs = list(zip(answers, references, strict=True))
    return {
        "exact_match": np.array([(exact_match(*pair), 1) for pair in pairs], dtype=np.float64),
        "squad_f1": np.array([(word_f1(*pair), 1) for pair in pairs], dtype=np.float64),
    }
