"""A metric of structured answers (tags, spans, rankings), from what each row contributes to it.

A task turns each row into a few numbers, its statistics; a metric is a function of their sums over the
rows. So a resample costs one matrix product, and the row stays the unit: the sentence, the question,
the image. Tasks hold tables of these, so numpy is imported by the functions only.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optbench.quality.paired import FloatArray


def mean_of_rows(sums: FloatArray) -> FloatArray:
    """The share or mean of statistics (value, 1): [n, 2] to [n]."""
    return ratio(sums[:, 0], sums[:, 1])


def ratio(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    """Quotients, NaN where undefined."""
    import numpy as np

    result = np.full(denominator.shape, math.nan)
    np.divide(numerator, denominator, out=result, where=denominator > 0)
    return result


def wrong_row(statistics: FloatArray) -> FloatArray:
    """The statistics of a row whose answer is all wrong: its first number is 0."""
    worst = statistics.copy()
    worst[:, 0] = 0.0
    return worst


@dataclass(frozen=True)
class RowMetric:
    """One metric of structured answers.

    value: sums of the statistics over rows [n, statistics] to the metric [n]; NaN where undefined.
    worst: statistics [rows, statistics] to what they were if the answer of the row were all wrong.
    is_binary: the statistics are (1 if the row is right else 0, 1). is_agreement: a row is right if its
    answer is the baseline's, whatever the right answer is.
    """

    name: str
    higher_is_better: bool
    source: str
    value: Callable[[FloatArray], FloatArray] = mean_of_rows
    worst: Callable[[FloatArray], FloatArray] = wrong_row
    is_share: bool = True
    is_binary: bool = False
    is_agreement: bool = False

    def of(self, statistics: FloatArray) -> float | None:
        """The metric over rows [rows, statistics]; null where undefined."""
        found = float(self.value(statistics.sum(axis=0)[None])[0])
        return found if math.isfinite(found) else None
