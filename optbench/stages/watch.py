"""Counters around the timed blocks of each replicate, read by the coordinator while nobody computes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping

import psutil

from optbench.measure.counters import ProcessCounters, read_host_counters
from optbench.measure.observations import ReplicateCounters
from optbench.measure.schedule import TimedWorker
from optbench.processes.group import WorkerGroup
from optbench.processes.remote_worker import RemoteWorker


class Watcher:
    """Collects one ReplicateCounters for each replicate that it surrounds."""

    def __init__(self) -> None:
        self.replicates: list[ReplicateCounters] = []

    @contextlib.contextmanager
    def __call__(self, replicate: int, workers: Mapping[str, TimedWorker]) -> Iterator[None]:
        """Read counters before and after; a replicate that a worker did not survive is left out."""
        processes = process_counters(workers)
        before = read_host_counters()
        yield
        after = read_host_counters()
        own = {os.getpid(), *(child.pid for child in psutil.Process().children(recursive=True))}
        later = process_counters(workers)
        pairs = {name: (processes[name], later[name]) for name in processes}
        self.replicates.append(ReplicateCounters(before, after, own, pairs))


def process_counters(workers: Mapping[str, TimedWorker]) -> dict[str, ProcessCounters]:
    """Counters of the workers that are processes."""
    processes = (RemoteWorker, WorkerGroup)
    return {name: worker.counters() for name, worker in workers.items() if isinstance(worker, processes)}
