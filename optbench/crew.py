"""Fresh worker processes on demand, one for each variant: forked from a template, or started anew."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from optbench.config import Start
from optbench.group import WorkerGroup
from optbench.process import Child, Template, start
from optbench.worker import Assignment, RemoteWorker

FACTORY = "optbench.worker:VariantHost"


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
    ) -> None:
        self._assignments = assignments
        self._templates = templates
        self._log = log
        self._timeout = timeout_seconds
        self._processes = processes
        self.fallbacks: dict[str, str] = {}

    @property
    def start(self) -> Start:
        """How workers come to be."""
        return Start.spawn if self._templates is None else Start.fork

    def assignment(self, name: str) -> Assignment:
        """What the workers of a variant are to run."""
        return self._assignments[name]

    def fresh(self, name: str, **options: Any) -> RemoteWorker:
        """A new, loaded worker for a variant, forked where that is safe; `options` change its own."""
        assignment = self._assignments[name]
        assignment = replace(assignment, options=replace(assignment.options, **options))
        child = self._fork(name, assignment) or self._spawn(name, assignment)
        return self._loaded(child)

    def timed(self, name: str) -> RemoteWorker | WorkerGroup:
        """What computes for a variant while it is timed: one fresh worker, or several."""
        if self._processes == 1:
            return self.fresh(name)
        return WorkerGroup.of(self._processes, lambda: self.fresh(name))

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
        if self._templates is None or not assignment.backend.may_fork():
            return None
        template = self._templates.get(name, assignment.backend.imports, assignment.environment)
        if reason := template.refuses():
            self.fallbacks[name] = reason
            return None
        return template.fork(name, FACTORY, assignment)

    def _spawn(self, name: str, assignment: Assignment) -> Child:
        return start(name, FACTORY, assignment, environment=assignment.environment, log=self._log)
