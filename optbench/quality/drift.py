"""How far the outputs moved beneath the answers: logits, class probabilities, calibration.

An accuracy that stays the same says nothing about answers near the edge; these figures do (Dutta et al.
2024, "Accuracy is not all you need").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optbench.quality.paired import FloatArray
from optbench.records import Drift, VectorDrift

ECE_BINS = 15
SMALLEST = 1e-12


def log_softmax(logits: FloatArray) -> FloatArray:
    """Log probabilities along the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def kl_divergence(baseline: FloatArray, candidate: FloatArray) -> FloatArray:
    """KL(baseline || candidate) in nats of each position, from logits [positions, classes]."""
    one, two = log_softmax(baseline), log_softmax(candidate)
    return np.asarray(np.maximum(0.0, np.sum(np.exp(one) * (one - two), axis=-1)))


def rank_correlation(baseline: FloatArray, candidate: FloatArray) -> FloatArray:
    """Spearman correlation of the classes' order, of each position [positions, classes]; 1 if constant."""
    from scipy.stats import rankdata

    ranks = [rankdata(side, axis=-1) for side in (baseline, candidate)]
    one, two = (side - side.mean(axis=-1, keepdims=True) for side in ranks)
    scale = np.sqrt(np.sum(one**2, axis=-1) * np.sum(two**2, axis=-1))
    result = np.ones(len(baseline))
    np.divide(np.sum(one * two, axis=-1), scale, out=result, where=scale > 0)
    return result


@dataclass(frozen=True)
class _Positions:
    """Positions of one row whose logits are finite on both sides, and how many are not."""

    baseline: FloatArray
    candidate: FloatArray
    left_out: int


def _finite(baseline: FloatArray, candidate: FloatArray) -> _Positions:
    one, two = np.asarray(baseline, dtype=np.float64), np.asarray(candidate, dtype=np.float64)
    kept = np.isfinite(one).all(axis=-1) & np.isfinite(two).all(axis=-1)
    return _Positions(one[kept], two[kept], int(np.sum(~kept)))


def drift_of(baseline: Sequence[FloatArray], candidate: Sequence[FloatArray]) -> Drift | None:
    """Figures over all positions of all rows; each row is logits [positions, classes].

    Logits that are not finite on either side are left out and counted. Null without any position, or
    with a single output, which has no probabilities.
    """
    rows = [_finite(one, two) for one, two in zip(baseline, candidate, strict=True)]
    used = [(row.baseline, row.candidate) for row in rows if row.baseline.size and row.baseline.shape[-1] > 1]
    if not used:
        return None
    moved = np.concatenate([np.abs(two - one).reshape(-1) for one, two in used])
    kl = np.concatenate([kl_divergence(one, two) for one, two in used])
    spread = math.sqrt(float(np.mean(np.concatenate([np.var(one, axis=-1) for one, _ in used]))))
    same = np.concatenate([one.argmax(axis=-1) == two.argmax(axis=-1) for one, two in used])
    return Drift(
        positions=len(kl),
        positions_not_finite=sum(row.left_out for row in rows),
        logit_difference_mean=float(moved.mean()),
        logit_difference_max=float(moved.max()),
        logit_difference_relative=float(moved.max()) / spread if spread > SMALLEST else None,
        kl_mean=float(kl.mean()),
        kl_p99=float(np.quantile(kl, 0.99)),
        rank_correlation=float(np.concatenate([rank_correlation(*pair) for pair in used]).mean()),
        same_first=float(same.mean()),
    )


def vector_drift(baseline: Sequence[FloatArray], candidate: Sequence[FloatArray]) -> VectorDrift | None:
    """Cosines of embeddings [dimensions] row by row; null without rows. A zero vector has cosine 0."""
    if not baseline:
        return None
    one, two = np.stack(baseline), np.stack(candidate)
    scale = np.linalg.norm(one, axis=1) * np.linalg.norm(two, axis=1)
    cosine = np.zeros(len(one))
    np.divide(np.sum(one * two, axis=1), scale, out=cosine, where=scale > 0)
    return VectorDrift(
        len(cosine), float(cosine.mean()), float(np.quantile(cosine, 0.01)), float(cosine.min())
    )


def row_divergence(baseline: Sequence[FloatArray], candidate: Sequence[FloatArray]) -> FloatArray:
    """Mean KL divergence of each row's positions [rows]; infinite where a logit is not finite."""
    found = np.zeros(len(baseline))
    for number, (one, two) in enumerate(zip(baseline, candidate, strict=True)):
        if one.size and one.shape[-1] > 1:
            kl = kl_divergence(np.asarray(one, dtype=np.float64), np.asarray(two, dtype=np.float64))
            found[number] = float(kl.mean()) if np.isfinite(kl).all() else math.inf
    return found


def calibration_error(logits: Sequence[FloatArray], right: NDArray[np.bool_]) -> float | None:
    """Expected calibration error of the most likely class, 15 bins of equal width.

    logits: [1, classes] of each row; right: whether its first class is the right one. Source: Guo et
    al. 2017, "On calibration of modern neural networks". Null for rows with several positions.
    """
    if not len(logits) or any(row.shape[0] != 1 or row.shape[-1] < 2 for row in logits):
        return None
    confidence = np.array([math.exp(float(log_softmax(np.asarray(row, np.float64)).max())) for row in logits])
    if not np.isfinite(confidence).all():
        return None
    bins = np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)
    error = 0.0
    for number in np.unique(bins):
        inside = bins == number
        error += abs(float(right[inside].mean()) - float(confidence[inside].mean())) * float(inside.mean())
    return error
