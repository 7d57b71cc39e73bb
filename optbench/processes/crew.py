"""Fresh worker processes on demand, one for each variant: forked from a template, or started anew."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from optbench.config import Start
from optbench.errors import OptbenchError
from optbench.processes.child import Child, start
from optbench.processes.end_to_end import WholeCalls, whole_call_environment
from optbench.processes.group import WorkerGroup
from optbench.processes.remote_worker import RemoteWorker
from optbench.processes.template import Template
from optbench.processes.worker import Assignment

FACTORY = "optbench.processes.worker:VariantHost"


class Templates:
    """Template processes by what they have imported; variants share them, and so do the points of a sweep.

    Points of a sweep also share the process that owns their rows, the last one that was asked for.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        self._running: dict[tuple[object, ...], Template] = {}
        self._reader: tuple[str, Child] | None = None

    def get(self, name: str, imports: tuple[str, ...], environment: Mapping[str, str]) -> Template:
        """The template for these modules and environment; it starts now and imports meanwhile."""
        key = (imports, *sorted(environment.items()))
        if key not in self._running or self._running[key].has_ended():
            self._running[key] = Template(name, imports, environment, self._log)
        return self._running[key]

    def wait(self) -> None:
        """Return when none of them imports any more."""
        for template in self._running.values():
            with contextlib.suppress(OptbenchError):  # who forks from it will hear why
                template.wait()

    def reader(self, key: str, begin: Callable[[Path], Child]) -> Child:
        """The process that `begin` starts with a log file, once for each `key` in a row."""
        if self._reader is not None and (self._reader[0] != key or self._reader[1].has_ended()):
            self._reader[1].close()
            self._reader = None
        if self._reader is None:
            self._reader = (key, begin(self._log))
        return self._reader[1]

    def close(self) -> None:
        """End all of them."""
        for template in self._running.values():
            template.close()
        self._running.clear()
        if self._reader is not None:
            self._reader[1].close()
            self._reader = None


class Crew:
    """Makes workers for the variants of one run. `fallbacks` says where a fork was refused, and why."""

    def __init__(
        self,
        assignments: Mapping[str, Assignment],
        templates: Templates | None,
        log: Path,
        timeout_seconds: float,
        processes: int = 1,
        whole_calls: WholeCalls | None = None,
    ) -> None:
        self._assignments = assignments
        self._whole_calls = whole_calls
        self._templates = templates
        self._log = log
        self._timeout = timeout_seconds
        self._processes = processes
        self.fallbacks: dict[str, str] = {}
        for name in assignments if whole_calls is not None else ():
            self._template(name, self._to_time(name))  # it imports while other stages last

    @property
    def start(self) -> Start:
        """How workers come to be."""
        return Start.spawn if self._templates is None else Start.fork

    def wait_for_templates(self) -> None:
        """Return when no template imports any more, so that nothing is timed beside that."""
        if self._templates is not None:
            self._templates.wait()

    def assignment(self, name: str) -> Assignment:
        """What the workers of a variant are to run."""
        return self._assignments[name]

    def fresh(self, name: str, **options: Any) -> RemoteWorker:
        """A new, loaded worker for a variant, forked where that is safe; `options` change its own."""
        return self._started(name, self._assignments[name], options)

    def to_time(self, name: str, **options: Any) -> RemoteWorker:
        """The same, to be timed: from raw rows to answers if the crew was made so."""
        return self._started(name, self._to_time(name), options)

    def _started(self, name: str, assignment: Assignment, options: dict[str, Any]) -> RemoteWorker:
        assignment = replace(assignment, options=replace(assignment.options, **options))
        child = self._fork(name, assignment) or self._spawn(name, assignment)
        return self._loaded(child)

    def _to_time(self, name: str) -> Assignment:
        assignment = self._assignments[name]
        if self._whole_calls is None:
            return assignment
        more = whole_call_environment(assignment.backend, assignment.options.threads)
        environment = {**assignment.environment, **more}
        return replace(assignment, whole_calls=self._whole_calls, environment=environment)

    def timed(self, name: str) -> RemoteWorker | WorkerGroup:
        """What computes for a variant while it is timed: one fresh worker, or several."""
        if self._processes == 1:
            return self.to_time(name)
        return WorkerGroup.of(self._processes, lambda: self.to_time(name))

    def spawned(self, name: str) -> RemoteWorker:
        """A new, loaded worker in a fresh interpreter, whatever the configured start."""
        return self._loaded(self._spawn(name, self._assignments[name]))

    def _loaded(self, child: Child) -> RemoteWorker:
        try:
            return RemoteWorker(child, self._timeout)
        except BaseException:
            child.close()
            raise

    def _fork(self, name: str, assignment: Assignment) -> Child | None:
        template = self._template(name, assignment)
        if template is None:
            return None
        if reason := template.refuses():
            self.fallbacks[name] = reason
            return None
        return template.fork(name, FACTORY, assignment)

    def _template(self, name: str, assignment: Assignment) -> Template | None:
        """The template that a variant's workers are forked from; null where they are started anew."""
        if self._templates is None or not assignment.backend.may_fork():
            return None
        return self._templates.get(name, assignment.imports, assignment.environment)

    def _spawn(self, name: str, assignment: Assignment) -> Child:
        return start(name, FACTORY, assignment, environment=assignment.environment, log=self._log)
