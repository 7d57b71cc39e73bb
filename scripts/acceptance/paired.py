"""Acceptance of the paired tests: published examples, and how often non-inferiority errs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from acceptance.figures import Figure, Options, procedure, share_figure
from optbench.quality.paired import GATE_LEVEL, judge_margin, mcnemar_mid_p, tango_interval, wilson_interval

MOST_TYPE_ONE = 0.065
TABLES_PER_RUN = 10

PUBLISHED = (
    ("Tango 1998, 32 patients", tango_interval(3, 9, 32), (-0.027, 0.390)),
    ("Tango 1998, 44 patients, 90%", tango_interval(1, 0, 44, 0.90), (-0.096, 0.037)),
    ("Agresti & Min 2005, 86 pairs", tango_interval(8, 16, 86), (-0.020, 0.207)),
    ("Fagerland 2014, 21 children", tango_interval(7, 1, 21), (-0.517, -0.026)),
    ("Newcombe 1998, Wilson 81/263", wilson_interval(81, 263), (0.2553, 0.3662)),
)


@procedure
def paired(options: Options) -> Iterator[Figure]:
    """Published intervals and p values, and type I errors of non-inferiority."""
    for cell, interval, published in PUBLISHED:
        if options.includes(cell):
            ends = (interval.low, interval.high)
            error = max(abs(found - known) for found, known in zip(ends, published, strict=True))
            note = f"{interval.low:.4f} to {interval.high:.4f}"
            yield Figure(cell, "difference", error, "<= 0.05%", error <= 0.0005 + 1e-9, note)
    cell = "Fagerland 2013, mid-p 1 and 7"
    if options.includes(cell):
        found = mcnemar_mid_p(1, 7)
        yield Figure(
            cell, "difference", abs(found - 0.039), "<= 0.05%", abs(found - 0.039) <= 5e-4, f"p {found:.4f}"
        )
    for rows, margin, discordant in ((1000, 0.01, 0.03), (500, 0.01, 0.03), (3000, 0.01, 0.05)):
        cell = f"n {rows}, psi {discordant:.0%}, d = -margin"
        if options.includes(cell):
            yield type_one(cell, options, rows, margin, discordant)


def type_one(cell: str, options: Options, rows: int, margin: float, discordant: float) -> Figure:
    """How often a loss of exactly the margin is called "not worse"."""
    rng = np.random.default_rng(options.random_state(cell, 0))
    shares = ((discordant + margin) / 2, (discordant - margin) / 2, 1 - discordant)
    tables = options.runs * TABLES_PER_RUN
    broken, fixed, _ = rng.multinomial(rows, shares, tables).T
    drawn, counts = np.unique(np.stack([broken, fixed], axis=1), axis=0, return_counts=True)
    missed = sum(
        int(count)
        for (b, f), count in zip(drawn.tolist(), counts, strict=True)
        if judge_margin(tango_interval(b, f, rows, GATE_LEVEL), margin) == "not worse"
    )
    return share_figure(
        cell, "type I", missed / tables, tables, at_most=MOST_TYPE_ONE, note=f"{tables} tables"
    )
