"""What calls from raw rows to answers are made of, as rows of a table."""

from __future__ import annotations

from optbench.records import RunResult
from optbench.units import format_ratio, format_seconds, format_share


def end_to_end_rows(result: RunResult) -> list[tuple[str, ...]]:
    """Metric, baseline, candidate, change of the model and of what is around it; none without parts."""
    parts = [
        variant.end_to_end
        for name in ("baseline", "candidate")
        if (variant := result.variants.get(name)) is not None
    ]
    one, two = parts if len(parts) == 2 else (None, None)
    if one is None or two is None or result.comparison is None:
        return []
    speedup = result.comparison.model_speedup
    faster = "" if speedup is None else f"{format_ratio(speedup.value)} as fast"
    around = [side.processing.mean_seconds for side in (one, two)]
    ratio = format_ratio(around[0] / around[1]) if all(around) else ""
    return [
        (
            "  of it the model, mean",
            *(format_seconds(side.model.mean_seconds) for side in (one, two)),
            faster,
        ),
        ("  of it processing, mean", *map(format_seconds, around), ratio),
        ("  of it the model, share", *(format_share(side.model_share, 0) for side in (one, two)), ""),
    ]
