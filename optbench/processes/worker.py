"""The process that owns one variant: loads it, times it, evaluates it, reports its memory."""

from __future__ import annotations

import gc
import importlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optbench.components import Artifact, Backend, Generating, LoadOptions, Priority, Session
from optbench.errors import WorkerError
from optbench.measure.counters import ProcessCounters, read_process_counters
from optbench.measure.samples import Block
from optbench.measure.schedule import WarmupRule, is_settled
from optbench.processes.end_to_end import EndToEndSession, WholeCalls
from optbench.processes.outputs import ROW, Evaluation, longest, stack
from optbench.processes.this_process import (
    fall_asleep,
    forget_peak_memory,
    memory_bytes,
    niceness,
    raise_priority,
)
from optbench.records import KernelReport
from optbench.rows.ragged import Table, load_table, save_table


@dataclass(frozen=True)
class Assignment:
    """What a worker is to run: the backend, its artifact, how to load it, and the inputs to time.

    environment: variables that must stand before the runtime is imported. whole_calls: raw rows to time
    from end to end instead of `feeds`.
    """

    backend: Backend
    artifact: Artifact
    options: LoadOptions
    feeds: Path
    environment: dict[str, str]
    whole_calls: WholeCalls | None = None

    @property
    def imports(self) -> tuple[str, ...]:
        """Modules that its worker needs."""
        own = () if self.whole_calls is None else self.whole_calls.task.pipeline_imports
        return (*self.backend.imports, *own)


@dataclass(frozen=True)
class Memory:
    """Resident bytes of a process on its way; null where the system does not tell.

    peak_loading: highest until the model was loaded and its inputs bound. reset: whether the kernel
    then forgot that peak, so that the peak of running can be told apart.
    """

    after_import: int | None
    after_load: int | None
    peak_loading: int | None
    reset: bool


@dataclass(frozen=True)
class LoadReport:
    """Seconds and memory on the way from an empty process to the first answer.

    compile_seconds: how much of the first call was compiling; null where nothing is compiled.
    compiled_before: whether the compiled code was found in a cache. cautions: see Backend.cautions.
    """

    import_seconds: float
    load_seconds: float
    first_call_seconds: float
    memory: Memory
    settings: dict[str, Any]
    weights_bytes: int | None
    compile_seconds: float | None = None
    compiled_before: bool = False
    cautions: tuple[str, ...] = ()


class VariantHost:
    """Lives in a worker process."""

    def __init__(self, assignment: Assignment) -> None:
        self._assignment = assignment
        self._session: Session | None = None
        self._timed: Session | EndToEndSession | None = None
        self._bound: list[Any] = []

    def load(self) -> LoadReport:
        """Import, load, bind the inputs and make the first call."""
        assignment = self._assignment
        if assignment.options.priority is Priority.raised:
            raise_priority()
        start = time.perf_counter()
        for module in assignment.imports:
            importlib.import_module(module)
        imported = time.perf_counter()
        after_import = memory_bytes("VmRSS")
        loading = time.perf_counter()
        session = assignment.backend.load(assignment.artifact, assignment.options)
        loaded = time.perf_counter()
        after_load = memory_bytes("VmRSS")
        self._bind(session)
        peak_loading = memory_bytes("VmHWM")
        reset = forget_peak_memory()
        self._session = session
        first_call_seconds = self._call_seconds()
        compiles = assignment.backend.compiles
        compile_seconds = max(0.0, first_call_seconds - self._call_seconds()) if compiles else None
        return LoadReport(
            import_seconds=imported - start,
            load_seconds=loaded - loading,
            first_call_seconds=first_call_seconds,
            memory=Memory(after_import, after_load, peak_loading, reset),
            settings={**session.settings(), "nice": niceness()},
            weights_bytes=session.weights_bytes(),
            compile_seconds=compile_seconds,
            compiled_before=assignment.backend.compiled_before(session),
            cautions=tuple(self.cautions()),
        )

    def _bind(self, session: Session) -> None:
        """Make ready what calls are timed on."""
        whole = self._assignment.whole_calls
        if whole is None:
            self._timed = session
            self._bound = [session.bind(feed) for feed in load_table(self._assignment.feeds)]
        else:
            self._timed = EndToEndSession(session, whole.task.pipeline(whole.spec))
            self._bound = list(whole.batches)

    def _call_seconds(self) -> float:
        session = self._called()
        called = time.perf_counter()
        session.forward(self._bound[0])
        session.synchronize()
        return time.perf_counter() - called

    def cautions(self) -> list[str]:
        """What went otherwise than asked so far, as the runtime tells it."""
        return self._assignment.backend.cautions(self._loaded())

    def warm_up(self, rule: WarmupRule) -> list[int]:
        """Call until the median of the last calls settles; wall nanoseconds of each call."""
        times: list[int] = []
        while not is_settled(times, rule):
            times.extend(self.time_block(len(times), 0, 1).nanoseconds)
        gc.collect()
        gc.freeze()
        fall_asleep()
        return times

    def time_block(self, first_input: int, settling: int, counted: int) -> Block:
        """Time consecutive calls, the settling ones first; return when the runtime is asleep."""
        session, bound = self._called(), self._bound
        forward, synchronize, clock = session.forward, session.synchronize, time.perf_counter_ns
        feeds = [bound[(first_input + n) % len(bound)] for n in range(settling + counted)]
        take_parts(session)
        stamps: list[int] = []
        record = stamps.append
        started = time.monotonic_ns()
        cpu = time.process_time_ns()
        for number, feed in enumerate(feeds):
            if number == settling:
                cpu = time.process_time_ns()
            before = clock()
            forward(feed)
            synchronize()
            record(clock() - before)
        cpu = time.process_time_ns() - cpu
        fall_asleep()
        first_tokens, model = take_parts(session)
        return Block(
            stamps, settling, cpu, started, first_token_nanoseconds=first_tokens, model_nanoseconds=model
        )

    def answer(self, requests: Path, count: int) -> tuple[list[int], list[int]]:
        """Answer `count` requests, a byte each in a named pipe, in their order; then sleep.

        Returns the monotonic nanoseconds at which each was started and completed.
        """
        session, bound = self._called(), self._bound
        forward, synchronize, clock = session.forward, session.synchronize, time.monotonic_ns
        started: list[int] = []
        completed: list[int] = []
        with requests.open("rb", buffering=0) as pipe:
            for number in range(count):
                if not pipe.read(1):
                    raise WorkerError(f"the load generator ended after {number} of {count} requests")
                started.append(clock())
                forward(bound[number % len(bound)])
                synchronize()
                completed.append(clock())
        fall_asleep()
        take_parts(session)
        return started, completed

    def counters(self) -> ProcessCounters:
        """Context switches of this process so far."""
        return read_process_counters()

    def settle(self, calls: int) -> int | None:
        """Make a few more calls, then tell the highest resident set so far, in bytes."""
        self.time_block(0, 0, calls)
        return memory_bytes("VmHWM")

    def kernels(self) -> KernelReport | None:
        """What runs in integer kernels; loads the model once more, so memory must be read before."""
        assignment = self._assignment
        feed = load_table(assignment.feeds)[0]
        return assignment.backend.kernels(assignment.artifact, assignment.options, feed)

    def evaluate(self, plan: Evaluation, part: int, parts: int) -> float:
        """Run every `parts`-th row from `part` on, by length; returns the seconds it took.

        What is kept of the outputs goes to `plan.output(part)`, each with the number of its row.
        """
        import numpy as np

        session = self._loaded()
        table = load_table(plan.rows)
        lengths = [longest(row) for row in table]
        order = sorted(range(len(table)), key=lengths.__getitem__)[part::parts]
        outputs: Table = []
        start = time.perf_counter()
        for begin in range(0, len(order), plan.batch_size):
            chosen = order[begin : begin + plan.batch_size]
            feed = stack([table[index] for index in chosen], plan.padding)
            answers = session.outputs(session.forward(session.bind(feed)))
            for position, index in enumerate(chosen):
                own = {name: array[position] for name, array in answers.items()}
                outputs.append({**plan.task.kept(table[index], own), ROW: np.asarray(index)})
        seconds = time.perf_counter() - start
        save_table(plan.output(part), outputs)
        return seconds

    def _called(self) -> Session | EndToEndSession:
        """What is timed: the session, or what is built around it."""
        if self._timed is None:
            raise WorkerError("the worker was asked to work before it was told to load")
        return self._timed

    def _loaded(self) -> Session:
        if self._session is None:
            raise WorkerError("the worker was asked to work before it was told to load")
        return self._session


def take_parts(session: Session | EndToEndSession) -> tuple[list[int] | None, list[int] | None]:
    """Nanoseconds to the first token, and of the model, of each call since last asked; null without parts."""
    if isinstance(session, EndToEndSession):
        return None, session.take_model_nanoseconds()
    return (session.take_first_tokens() if isinstance(session, Generating) else None), None
