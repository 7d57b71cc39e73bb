"""Raw timings, kept as they came: one row a call, one row a block. Everything else derives from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Block:
    """One block of consecutive calls of one variant.

    nanoseconds: wall time of each call, in call order; the first `settling` of them never count.
    cpu_nanoseconds: CPU time of the whole process (all its threads) during the counted calls.
    started_nanoseconds: monotonic clock at the start of the first call. elapsed_nanoseconds: wall clock
    of the counted calls where several processes made them at the same time; null where one made them
    one after the other, so that it is their sum. first_token_nanoseconds: from the start of each call to
    its first token, in call order; null where a call is one forward pass. model_nanoseconds: of the model
    in each call from raw rows to answers; null where a call is the model alone.
    """

    nanoseconds: Sequence[int]
    settling: int
    cpu_nanoseconds: int
    started_nanoseconds: int
    elapsed_nanoseconds: int | None = None
    first_token_nanoseconds: Sequence[int] | None = None
    model_nanoseconds: Sequence[int] | None = None

    @property
    def counted_calls(self) -> int:
        """How many calls of the block count."""
        return len(self.nanoseconds) - self.settling

    @property
    def counted_nanoseconds(self) -> int:
        """Wall time of the counted calls together."""
        if self.elapsed_nanoseconds is not None:
            return self.elapsed_nanoseconds
        return sum(self.nanoseconds[self.settling :])


@dataclass(frozen=True)
class Placed:
    """A block and its place in the schedule: replicate, pair, and position inside the pair."""

    replicate: int
    pair: int
    position: int
    variant: str
    block: Block


@dataclass(frozen=True)
class Totals:
    """Counted calls, wall and CPU seconds of one variant in one replicate."""

    calls: int
    wall_seconds: float
    cpu_seconds: float


@dataclass
class Samples:
    """All blocks of a run in the order they were timed, and the machine probe of each pair."""

    blocks: list[Placed] = field(default_factory=list)
    probe_nanoseconds: list[tuple[int, int, int]] = field(default_factory=list)
    """(replicate, pair, nanoseconds) of the fixed CPU loop run before each pair."""

    def extend(self, blocks: Iterable[Placed]) -> None:
        """Append the blocks of a replicate."""
        self.blocks.extend(blocks)

    def variants(self) -> list[str]:
        """Names of the variants, in order of first appearance."""
        return list(dict.fromkeys(placed.variant for placed in self.blocks))

    def replicates(self) -> list[int]:
        """Numbers of the replicates, ascending."""
        return sorted({placed.replicate for placed in self.blocks})

    def counted_seconds(self, variant: str, replicate: int | None = None) -> NDArray[np.float64]:
        """Wall seconds of the counted calls of `variant` [calls], in time order."""
        nanoseconds = [
            value
            for placed in self.blocks
            if placed.variant == variant and replicate in (None, placed.replicate)
            for value in placed.block.nanoseconds[placed.block.settling :]
        ]
        return np.asarray(nanoseconds, dtype=np.float64) / 1e9

    def counted_blocks(self, variant: str) -> list[list[NDArray[np.float64]]]:
        """Wall seconds of the counted calls of `variant`, as replicates of blocks [calls]."""
        groups: dict[int, list[NDArray[np.float64]]] = {}
        for placed in self.blocks:
            if placed.variant == variant:
                counted = placed.block.nanoseconds[placed.block.settling :]
                seconds = np.asarray(counted, dtype=np.float64) / 1e9
                groups.setdefault(placed.replicate, []).append(seconds)
        return [groups[replicate] for replicate in sorted(groups)]

    def first_token_seconds(self, variant: str) -> dict[int, NDArray[np.float64]]:
        """Seconds to the first token of the counted calls of `variant` [calls], by replicate.

        Empty where calls are single forward passes.
        """
        return self._parts(variant, lambda block: block.first_token_nanoseconds)

    def model_seconds(self, variant: str) -> dict[int, NDArray[np.float64]]:
        """Seconds of the model in the counted calls of `variant` [calls], by replicate.

        Empty where calls are the model alone.
        """
        return self._parts(variant, lambda block: block.model_nanoseconds)

    def _parts(
        self, variant: str, part: Callable[[Block], Sequence[int] | None]
    ) -> dict[int, NDArray[np.float64]]:
        groups: dict[int, list[int]] = {}
        for placed in self.blocks:
            nanoseconds = part(placed.block)
            if placed.variant == variant and nanoseconds is not None:
                counted = nanoseconds[placed.block.settling :]
                groups.setdefault(placed.replicate, []).extend(counted)
        return {number: np.asarray(groups[number], np.float64) / 1e9 for number in sorted(groups)}

    def totals(self, variant: str) -> list[Totals]:
        """Totals of `variant`, one per replicate of the run in ascending order."""
        sums = dict.fromkeys(self.replicates(), (0, 0, 0))
        for placed in self.blocks:
            if placed.variant == variant:
                block = placed.block
                calls, wall, cpu = sums[placed.replicate]
                sums[placed.replicate] = (
                    calls + block.counted_calls,
                    wall + block.counted_nanoseconds,
                    cpu + block.cpu_nanoseconds,
                )
        return [Totals(calls, wall / 1e9, cpu / 1e9) for calls, wall, cpu in sums.values()]
