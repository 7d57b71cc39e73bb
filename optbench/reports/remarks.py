"""What is said beside a run's table: the grade and its reasons, kernels, groups that changed."""

from __future__ import annotations

from optbench.records import (
    QualityResult,
    RunResult,
    Trust,
)
from optbench.units import (
    format_difference,
)

MOST_REASONS = 3
"""Reasons of a grade on a terminal, where several signs of one cause would hide the table."""


def grade_lines(trust: Trust | None, most: int | None = None) -> list[str]:
    """The grade, and on a doubtful one its reasons, most important first; `most` of them, null for all."""
    if trust is None:
        return []
    if trust.grade == "quick look":
        if not any(signal.level == "red" for signal in trust.signals):
            return []
        head = "a quick look at a disturbed machine; do not rely on it."
    elif trust.grade == "poor":
        head = "grade: POOR. The machine was disturbed; do not rely on these timings."
    else:
        head = f"grade: {trust.grade}"
    shown = trust.reasons[:most]
    left = len(trust.reasons) - len(shown)
    more = [f"  and {left} more in report.html"] if left else []
    return [head, *(f"  {reason}" for reason in shown), *more]


def note_lines(result: RunResult) -> list[str]:
    """What is to be known about the run and its answers, each once."""
    answers = [] if result.quality is None else result.quality.notes
    return [f"note: {note}" for note in dict.fromkeys([*result.notes, *answers])]


def kernel_lines(result: RunResult) -> list[str]:
    """A variant that claims integers and mostly computes in float is told so."""
    lines = []
    for name, variant in result.variants.items():
        kernels = variant.kernels
        if kernels is None:
            continue
        if kernels.reason:
            lines.append(f"{name}: {kernels.reason}")
        if kernels.nodes and 2 * kernels.integer_nodes < kernels.nodes:
            left = kernels.nodes - kernels.integer_nodes
            lines.append(
                f"{name}: {variant.quantization} is mostly float: {left} of {kernels.nodes} matrix products "
                f"are not computed in integers, such as {', '.join(kernels.float_nodes[:2])}"
            )
    return lines


SIGNIFICANT = 0.05


def group_lines(quality: QualityResult | None) -> list[str]:
    """Groups in which the leading metric changed beyond chance, whatever the average says."""
    return [
        f"{group.metric} of {group.by} {group.name}: "
        f"{format_difference(group.difference.value, True)} on {group.rows:,} rows (p {group.p_value:.2g})"
        for group in (quality.groups if quality is not None else [])
        if group.p_value is not None and group.p_value < SIGNIFICANT and group.difference is not None
    ]
