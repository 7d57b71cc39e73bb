"""Several processes of one variant that compute at the same time: what throughput is made of."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence

from optbench.measure.counters import ProcessCounters
from optbench.measure.samples import Block
from optbench.measure.schedule import WarmupRule
from optbench.processes.outputs import Evaluation
from optbench.processes.remote_worker import RemoteWorker


class WorkerGroup:
    """A TimedWorker over several processes; they start every block together."""

    def __init__(self, workers: Sequence[RemoteWorker]) -> None:
        self.workers = workers

    @classmethod
    def of(cls, count: int, fresh: Callable[[], RemoteWorker]) -> WorkerGroup:
        """So many fresh workers; if one does not come up, the others are closed."""
        with contextlib.ExitStack() as stack:
            workers = []
            for _ in range(count):
                workers.append(fresh())
                stack.callback(workers[-1].close)
            stack.pop_all()
        return cls(workers)

    def warm_up(self, rule: WarmupRule) -> list[int]:
        """See TimedWorker.warm_up; all at the same time, the calls of the slowest one are returned."""
        for worker in self.workers:
            worker.child.send("warm_up", rule)
        times: list[list[int]] = [worker.answer_within_limit() for worker in self.workers]
        return max(times, key=lambda calls: calls[-1])

    def time_block(self, first_input: int, settling: int, counted: int) -> Block:
        """See TimedWorker.time_block; each process makes so many calls."""
        for worker in self.workers:
            worker.child.send("time_block", first_input, settling, counted)
        return joined([worker.answer_within_limit() for worker in self.workers])

    def evaluate(self, plan: Evaluation) -> float:
        """Run all rows, each process its share at the same time; seconds until the last was done."""
        begun = time.perf_counter()
        for part, worker in enumerate(self.workers):
            worker.child.send("evaluate", plan, part, len(self.workers))
        for worker in self.workers:
            worker.child.receive()
        return time.perf_counter() - begun

    def cautions(self) -> list[str]:
        """What any of the processes has to say, each sentence once."""
        return list(dict.fromkeys(said for worker in self.workers for said in worker.cautions()))

    def counters(self) -> ProcessCounters:
        """Context switches of all processes together."""
        each = [worker.counters() for worker in self.workers]
        return ProcessCounters(
            added([one.voluntary_switches for one in each]), added([one.involuntary_switches for one in each])
        )

    def close(self) -> None:
        """End all processes."""
        for worker in self.workers:
            worker.close()


def joined(blocks: Sequence[Block]) -> Block:
    """Blocks that ran at the same time as one: all settling calls first, then all that count.

    Its elapsed time is from the first counted call's start to the end of the last call of any process.
    """
    begun = min(block.started_nanoseconds + sum(block.nanoseconds[: block.settling]) for block in blocks)
    ended = max(block.started_nanoseconds + sum(block.nanoseconds) for block in blocks)
    settling = [value for block in blocks for value in block.nanoseconds[: block.settling]]
    counted = [value for block in blocks for value in block.nanoseconds[block.settling :]]
    return Block(
        first_token_nanoseconds=joined_parts(blocks, [one.first_token_nanoseconds for one in blocks]),
        model_nanoseconds=joined_parts(blocks, [one.model_nanoseconds for one in blocks]),
        nanoseconds=[*settling, *counted],
        settling=len(settling),
        cpu_nanoseconds=sum(block.cpu_nanoseconds for block in blocks),
        started_nanoseconds=min(block.started_nanoseconds for block in blocks),
        elapsed_nanoseconds=ended - begun,
    )


def joined_parts(blocks: Sequence[Block], parts: Sequence[Sequence[int] | None]) -> list[int] | None:
    """Times of a part of each block's calls in the order of the joined calls; null where there are none."""
    known = [(part, block.settling) for block, part in zip(blocks, parts, strict=True) if part is not None]
    settling = [value for part, count in known for value in part[:count]]
    counted = [value for part, count in known for value in part[count:]]
    return [*settling, *counted] or None


def added(counts: Sequence[int | None]) -> int | None:
    """The sum; null where one is unknown."""
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None
