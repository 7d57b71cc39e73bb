"""Likelihoods against torch's cross entropy."""

import numpy as np
import pytest
import torch

from optbench.quality.likelihood import CHUNK_PLACES, doubled, log_likelihoods, perplexity


@pytest.mark.parametrize("places", [0, 1, CHUNK_PLACES, 3 * CHUNK_PLACES + 5])
def test_log_likelihoods_are_minus_the_cross_entropy(places):
    rng = np.random.default_rng(places)
    logits = rng.normal(0, 30, size=(places, 11)).astype(np.float32)
    tokens = rng.integers(11, size=places)
    expected = -torch.nn.functional.cross_entropy(
        torch.tensor(logits).double(), torch.tensor(tokens), reduction="none"
    )
    assert log_likelihoods(logits, tokens) == pytest.approx(expected.numpy(), abs=1e-9)


def test_perplexity_of_equal_odds_is_their_number():
    tokens = np.zeros(6, dtype=np.int64)
    loss = -log_likelihoods(np.zeros((6, 7)), tokens).sum()
    assert perplexity(np.array([[loss, 6]])).tolist() == [pytest.approx(7)]
    assert np.isnan(perplexity(np.array([[0.0, 0.0]]))).all()


def test_the_worst_a_row_can_be_is_as_unlikely_as_the_least_likely_one():
    assert doubled(np.array([[2.0, 1.0], [2.0, 4.0], [0.0, 0.0]])).tolist() == [[2, 1], [8, 4], [0, 0]]
