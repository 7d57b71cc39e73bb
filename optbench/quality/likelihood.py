"""How likely a language model finds the tokens that were there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optbench.quality.row_metric import mean_of_rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from optbench.quality.paired import FloatArray

CHUNK_PLACES = 64
"""Places whose logits are taken in double precision at a time: vocabularies reach 250,000 tokens."""


def perplexity(sums: FloatArray) -> FloatArray:
    """exp of the mean negative log likelihood, from (sum in nats, places) [n, 2]."""
    import numpy as np

    return np.exp(mean_of_rows(sums))


def doubled(statistics: FloatArray) -> FloatArray:
    """A row whose places are all as unlikely as the least likely of all rows."""
    worst = statistics.copy()
    places = statistics[:, 1]
    worst[:, 0] = places * (statistics[:, 0] / places.clip(min=1)).max()
    return worst


def log_likelihoods(logits: NDArray[np.generic], tokens: NDArray[np.generic]) -> FloatArray:
    """Log probability in nats of each place's token [places], from logits [places, vocabulary]."""
    import numpy as np

    from optbench.quality.drift import log_softmax

    found = np.zeros(len(tokens))
    for begin in range(0, len(tokens), CHUNK_PLACES):
        part = slice(begin, begin + CHUNK_PLACES)
        chosen = tokens[part, None].astype(np.int64)
        whole = log_softmax(np.asarray(logits[part], dtype=np.float64))
        found[part] = np.take_along_axis(whole, chosen, axis=-1)[:, 0]
    return found
