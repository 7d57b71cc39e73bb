"""When enough has been measured: looks at set numbers of replicates, and a stop on width only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

StopReason = Literal["precision", "budget", "max_replicates", "fixed"]

FIRST_LOOKS = (5, 7, 10, 14, 20)
LATER_LOOK_STEP = 10


@dataclass(frozen=True)
class StopRule:
    """Stop when the interval is narrow enough, or when the next look would outlast the budget.

    replicates: least number, measured whatever it takes: an interval from fewer is none.
    precision: relative half-width of the speed-up that is enough; null looks at no width.
    budget_seconds: wall clock of the whole procedure, starts included; null knows no limit.

    The width, never the significance, decides: stopping once 1 is excluded would find a difference
    in 15% of all null runs. Stopping on width still favours runs whose spread came out small by
    chance; `statistics.SEQUENTIAL_ALPHA_SHARE` makes up for that.
    """

    replicates: int = 5
    max_replicates: int = 20
    precision: float | None = 0.02
    budget_seconds: float | None = 60.0

    @property
    def is_fixed(self) -> bool:
        """Whether the number of replicates is settled beforehand."""
        return self.replicates >= self.max_replicates

    def looks(self) -> tuple[int, ...]:
        """Numbers of replicates at which to look, ascending; the last one always ends the run.

        5, 7, 10, 14, 20 and then every ten: few looks, each about 1.4 times the one before, so that
        each has a fair chance to be narrower. No look below 5, where t intervals are too wide to use.
        """
        last = max(self.replicates, self.max_replicates)
        first = min(last, max(self.replicates, FIRST_LOOKS[0]))
        later = range(FIRST_LOOKS[-1] + LATER_LOOK_STEP, last, LATER_LOOK_STEP)
        between = [look for look in (*FIRST_LOOKS, *later) if first < look < last]
        return tuple(dict.fromkeys((first, *between, last)))

    def decide(self, replicates: int, half_width: float | None, elapsed_seconds: float) -> StopReason | None:
        """Why to stop after `replicates` replicates that took `elapsed_seconds` so far, or None.

        half_width: relative half-width of the speed-up now; null while there is no interval.
        """
        looks = self.looks()
        if self.is_fixed:
            return "fixed" if replicates >= looks[-1] else None
        if replicates < looks[0]:
            return None
        if replicates < looks[-1] and replicates not in looks:
            return "budget" if self._is_past(elapsed_seconds) else None
        if self.precision is not None and half_width is not None and half_width <= self.precision:
            return "precision"
        if replicates >= looks[-1]:
            return "max_replicates"
        following = next(look for look in looks if look > replicates)
        predicted_seconds = elapsed_seconds * following / replicates
        return "budget" if self._is_past(predicted_seconds) else None

    def seconds_left(self, replicates: int, elapsed_seconds: float) -> float | None:
        """Most seconds still to come, judged by the cost so far; null before the first replicate."""
        if replicates < 1:
            return None
        looks = self.looks()
        each_seconds = elapsed_seconds / replicates
        to_the_end = max(0.0, (looks[-1] - replicates) * each_seconds)
        if self.is_fixed or self.budget_seconds is None:
            return to_the_end
        to_the_first = max(0.0, (looks[0] - replicates) * each_seconds)
        return min(to_the_end, max(to_the_first, self.budget_seconds - elapsed_seconds))

    def _is_past(self, seconds: float) -> bool:
        return self.budget_seconds is not None and seconds > self.budget_seconds
