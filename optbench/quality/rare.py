"""Differences that very few rows make: a bootstrap would draw from too few of them to have a width."""

from __future__ import annotations

from optbench.quality.paired import upper_probability
from optbench.records import Interval

FEW_CHANGED_ROWS = 10
"""Below this a bootstrap draws from too few different rows to have a width of its own."""


def rare_change_interval(
    difference: float, changed: int, rows: int, largest_effect: float, level: float
) -> Interval:
    """Interval of a difference that only `changed` of `rows` rows make.

    difference +- (U - changed) largest_effect / rows, with U the upper Poisson limit of `changed`
    (Garwood 1936). Without any changed row and at level 0.90 this is the rule of three, 3 / n
    (Hanley & Lippman-Hand 1983), times `largest_effect`: rows times what one row can do.
    """
    from scipy.special import gammaincinv

    limit = float(gammaincinv(changed + 1, upper_probability(level)))
    half = (limit - changed) * largest_effect / rows
    return Interval(difference - half, difference + half, level)


def rare_change_note(name: str, changed: int, rows: int, largest_effect: float) -> str:
    """What the interval rests on, in words."""
    return (
        f"{name}: {changed} of {rows} rows changed, too few to resample; the interval "
        f"assumes that a changed row can move the metric by {largest_effect / rows:.2g}"
    )
