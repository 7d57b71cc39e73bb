"""How answers are judged, and what a candidate must hold to ship."""

from __future__ import annotations

from dataclasses import dataclass

from optbench.components import Component, register
from optbench.config.ranges import at_least, positive


@register("quality", "quality")
@dataclass
class QualityConfig(Component):
    """Which rows are evaluated, with which metrics, and how much worse is still good enough.

    enabled: whether rows are evaluated at all.
    metrics: names, or paths of `evaluate` modules; null takes the task's own.
    max_eval_samples: evaluate a seeded sample of so many rows. skip_samples: leave out so many rows of the
    seeded order first, such as those that a search has looked at. batch_size: rows per forward pass; null
    takes 16, or 1 where an answer depends on the rows beside it (dynamic quantization, given artifacts).
    max_failed_share: with more rows that cannot be read or encoded there is no verdict.
    margin: how much of a metric that is a share may be lost, such as 0.01; each is then told to be not
    worse, worse, or undecided. Of accuracy it is the same setting as gates.max_accuracy_drop.
    reuse: take a variant's answers from an earlier run of the same files, rows, settings and versions.
    comparisons: of how many candidates this is one; a gate's limit is then one-sided 5% / comparisons, so
    that the best of them may be believed.
    """

    enabled: bool = True
    metrics: list[str] | None = None
    max_eval_samples: int | None = None
    skip_samples: int = 0
    batch_size: int | None = None
    margin: float | None = None
    max_failed_share: float = 0.01
    reuse: bool = True
    comparisons: int = 1

    def problems(self) -> list[str]:
        """Ranges, and metrics that cannot be asked for."""
        found = [
            *at_least("max_eval_samples", self.max_eval_samples, 1),
            *at_least("batch_size", self.batch_size, 1),
            *at_least("comparisons", self.comparisons, 1),
            *at_least("skip_samples", self.skip_samples, 0),
        ]
        if self.margin is not None and not 0 < self.margin < 1:
            found.append(f"margin must lie between 0 and 1, got {self.margin:g}; 0.01 allows one point")
        if not 0 <= self.max_failed_share < 1:
            found.append(f"max_failed_share must be a share below 1, got {self.max_failed_share:g}")
        if self.metrics is not None and not self.metrics:
            found.append(
                "metrics must name at least one metric, got []; leave it out for the task's own, "
                "or skip the evaluation with quality=none"
            )
        return found


@dataclass
class GatesConfig(Component):
    """What the candidate must hold to ship; a gate that is null is not asked.

    min_speedup: how much faster. max_p95_seconds: of a call. min_requests_per_second: capacity within
    measure.server.bound_seconds. max_accuracy_drop: the margin of non-inferiority, as a share: 0.01 is
    one point. max_size_bytes: of the weights. max_peak_rss_bytes: of a cold start.
    accept_poor: let gates on time pass or fail although the machine was disturbed (grade poor); without
    it they cannot tell then.
    """

    min_speedup: float | None = None
    max_p95_seconds: float | None = None
    min_requests_per_second: float | None = None
    max_accuracy_drop: float | None = None
    max_size_bytes: int | None = None
    max_peak_rss_bytes: int | None = None
    accept_poor: bool = False

    def problems(self) -> list[str]:
        """Bounds that nothing could ever meet or miss."""
        bounds = {key: value for key, value in vars(self).items() if key != "accept_poor"}
        found = [problem for key, value in bounds.items() for problem in positive(key, value)]
        if self.max_accuracy_drop is not None and self.max_accuracy_drop >= 1:
            found.append(f"max_accuracy_drop must be a share below 1, got {self.max_accuracy_drop:g}")
        return found
