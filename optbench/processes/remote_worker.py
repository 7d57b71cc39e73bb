"""A worker as the coordinator sees it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from optbench.measure.counters import ProcessCounters
from optbench.measure.samples import Block
from optbench.measure.schedule import WarmupRule
from optbench.processes.child import Child
from optbench.processes.worker import LoadReport
from optbench.records import KernelReport


class RemoteWorker:
    """The coordinator's stand-in for a VariantHost: a TimedWorker over a child process."""

    def __init__(self, child: Child, timeout_seconds: float) -> None:
        self.child = child
        self._timeout = timeout_seconds
        self.child.receive(timeout_seconds)  # the process is up and knows its assignment
        self.report: LoadReport = self.child.call("load", timeout=timeout_seconds)

    def warm_up(self, rule: WarmupRule) -> list[int]:
        """See VariantHost.warm_up."""
        times: list[int] = self.child.call("warm_up", rule, timeout=self._timeout)
        return times

    def time_block(self, first_input: int, settling: int, counted: int) -> Block:
        """See VariantHost.time_block."""
        block: Block = self.child.call("time_block", first_input, settling, counted, timeout=self._timeout)
        return block

    def begin_answering(self, requests: Path, count: int) -> None:
        """See VariantHost.answer; `answer_within_limit` waits for what it returns."""
        self.child.send("answer", requests, count)

    def answer_within_limit(self) -> Any:
        """The answer to what was sent last. Raises WorkerError after the configured time-out."""
        return self.child.receive(self._timeout)

    def counters(self) -> ProcessCounters:
        """See VariantHost.counters."""
        counted: ProcessCounters = self.child.call("counters", timeout=self._timeout)
        return counted

    def settle(self, calls: int) -> int | None:
        """See VariantHost.settle."""
        peak: int | None = self.child.call("settle", calls, timeout=self._timeout)
        return peak

    def kernels(self) -> KernelReport | None:
        """See VariantHost.kernels."""
        report: KernelReport | None = self.child.call("kernels", timeout=self._timeout)
        return report

    def cautions(self) -> list[str]:
        """See VariantHost.cautions."""
        found: list[str] = self.child.call("cautions", timeout=self._timeout)
        return found

    def close(self) -> None:
        """End the process."""
        self.child.close()
