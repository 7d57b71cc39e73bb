"""Template processes: they have imported a runtime and done nothing else, so that workers fork from them."""

from __future__ import annotations

import importlib
import os
import socket
from collections.abc import Callable, Mapping
from multiprocessing import reduction
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, ClassVar

from optbench.errors import OptbenchError
from optbench.processes.child import SINGLE_THREADED, Child, serve, start
from optbench.processes.this_process import die_with_parent, thread_count


class TemplateHost:
    """Lives in a template process: has imported modules, and forks workers that have them too."""

    takes_connection: ClassVar[bool] = True

    def __init__(self, connection: Connection, modules: tuple[str, ...]) -> None:
        self._connection = connection
        for module in modules:
            importlib.import_module(module)

    def threads(self) -> int:
        """Threads of the template; with more than one it must not fork."""
        return thread_count()

    def fork(self) -> int:
        """Fork a worker that serves the socket sent along; returns its pid."""
        descriptor = reduction.recv_handle(self._connection)
        pid = os.fork()
        if pid:
            os.close(descriptor)
            return pid
        try:
            self._connection.close()
            die_with_parent()
            serve(Connection(descriptor))
        finally:
            os._exit(0)

    def wait(self, pid: int, timeout: float) -> int | None:
        """Exit status of a forked worker (negative: signal); None if it still lives after `timeout`."""
        import time

        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.005)
        return None


class Template:
    """The parent's end of a template process."""

    def __init__(
        self, name: str, modules: tuple[str, ...], environment: Mapping[str, str], log: Path
    ) -> None:
        self._name = name
        self._child = start(
            f"{name} template",
            "optbench.processes.template:TemplateHost",
            modules,
            environment={**SINGLE_THREADED, **environment},
            log=log,
            is_shared=True,
        )
        self._ready = False
        self._failure: OptbenchError | None = None

    def wait(self) -> None:
        """Return when its imports are done. Raises WorkerError, each time, if they failed."""
        if self._failure is not None:
            raise self._failure
        if self._ready:
            return
        try:
            self._child.receive()
        except OptbenchError as error:
            self._failure = error
            raise
        self._ready = True

    def refuses(self) -> str | None:
        """None once it can fork, or why it must not. Waits for its imports."""
        self.wait()
        threads = self._child.call("threads")
        return None if threads == 1 else f"the {self._name} template runs {threads} threads"

    def fork(self, name: str, factory: str, *args: Any) -> Child:
        """A worker that has the template's modules, makes `factory` and answers requests to it."""
        ours, theirs = socket.socketpair()
        with theirs:
            self._child.send("fork")
            self._child.send_descriptor(theirs.fileno())
            pid = self._child.receive()
        worker = Child(name, Connection(ours.detach()), pid, self._end_of(pid))
        worker.send(factory, *args)
        return worker

    def has_ended(self) -> bool:
        """Whether the template is no more."""
        return self._child.has_ended()

    def close(self) -> None:
        """End the template. Never raises."""
        self._child.close()

    def _end_of(self, pid: int) -> Callable[[float], int | None]:
        def end(timeout: float) -> int | None:
            try:
                status: int | None = self._child.call("wait", pid, timeout)
            except OptbenchError:
                return None
            return status

        return end
