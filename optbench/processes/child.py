"""Child processes of ours: one request, one answer, and a clear word on how they ended.

A child is started with `start`, or forked from a `Template` that has imported its libraries and done
nothing else. Both ends of the socket are ours, so messages are pickled. The parent waits in a blocking
read and burns no CPU; a child dies with its parent, and leaves Ctrl-C and SIGTERM to it.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from multiprocessing import reduction
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, ClassVar

from optbench.errors import OptbenchError, WorkerError
from optbench.processes.this_process import die_with_parent

BOOT = (
    "import sys; sys.path[:] = [p for p in sys.path if p]; "
    "from optbench.processes.child import child_main; child_main({fd})"
)
"""Not `-m`: that would put the current directory first, where a folder may shadow a library."""

SINGLE_THREADED = {
    "OPENBLAS_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}
"""numpy and pyarrow start a thread when they are imported; a process with threads must not fork."""

LESS_MEMORY = "free memory, or ask for less with batch_size, input_length or measure.processes"
QUIET = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "ORT_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
}


class Child:
    """The parent's end of a child process; `call` runs a method of the object that lives in it.

    is_shared: whether several runs of this process may use it, such as a template.
    """

    living: ClassVar[set[Child]] = set()
    """All children of this process that have not been closed."""

    def __init__(
        self,
        name: str,
        connection: Connection,
        pid: int,
        end: Callable[[float], int | None],
        is_shared: bool = False,
    ) -> None:
        self.name = name
        self.pid = pid
        self.maker = threading.get_ident()
        self.is_shared = is_shared
        self._connection = connection
        self._end = end
        self._closed = False
        Child.living.add(self)

    def call(self, method: str, *args: Any, timeout: float | None = None, **kwargs: Any) -> Any:
        """Send a request and wait for its answer. Raises what the child raised, or WorkerError."""
        self.send(method, *args, **kwargs)
        return self.receive(timeout)

    def send(self, method: str, *args: Any, **kwargs: Any) -> None:
        """Send a request without waiting; `receive` must follow before the next one."""
        try:
            self._connection.send((method, args, kwargs))
        except OSError as error:
            raise self._death() from error

    def receive(self, timeout: float | None = None) -> Any:
        """The answer to the last request. Kills the child and raises WorkerError after `timeout` s."""
        try:
            if timeout is not None and not self._connection.poll(timeout):
                self.kill()
                raise WorkerError(
                    f"the {self.name} process (pid {self.pid}) did not answer within {timeout:g} s "
                    "and was ended; raise measure.timeout_seconds if the model is that slow"
                )
            kind, answer = self._connection.recv()
        except (EOFError, ConnectionError) as error:
            raise self._death() from error
        if kind == "error":
            raise answer
        if kind == "failure":
            reason, details = answer
            raise WorkerError(f"the {self.name} process (pid {self.pid}): {reason}", details)
        return answer

    def send_descriptor(self, descriptor: int) -> None:
        """Hand a file descriptor to the child."""
        reduction.send_handle(self._connection, descriptor, self.pid)

    def has_ended(self) -> bool:
        """Whether the process is no more."""
        return self._closed or self._end(0.0) is not None

    def kill(self) -> None:
        """End the child at once."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Let the child end by itself; kill it if it has not within 5 s. Never raises."""
        if self._closed:
            return
        self._closed = True
        self._connection.close()
        try:
            if self._end(5.0) is None:
                self.kill()
                self._end(5.0)
        finally:
            Child.living.discard(self)

    def _death(self) -> WorkerError:
        status = self._end(5.0)
        if status is None:
            self.kill()
            self._end(5.0)
        self._closed = True
        Child.living.discard(self)
        return WorkerError(f"the {self.name} process (pid {self.pid}) {describe_exit(status)}")


def end_children(maker: int, shared: bool) -> None:
    """Kill the children that a thread has made and not closed; those that runs share only if told."""
    for child in list(Child.living):
        if child.maker == maker and (shared or not child.is_shared):
            child.kill()


@contextlib.contextmanager
def no_child_left() -> Iterator[None]:
    """Close children that were started meanwhile and forgotten, as when Ctrl-C comes between two lines."""
    before = set(Child.living)
    try:
        yield
    finally:
        for child in Child.living - before:
            if child.maker == threading.get_ident() and not child.is_shared:
                child.close()


def describe_exit(status: int | None) -> str:
    """An exit status as subprocess gives it (negative: signal), in words."""
    if status is None:
        return "closed its connection without ending"
    if status >= 0:
        return f"ended by itself with exit code {status}"
    name = signal.Signals(-status).name
    hint = ""
    if name == "SIGKILL":
        hint = "; if nobody killed it, the system did for lack of memory (see dmesg)"
    elif name in {"SIGSEGV", "SIGILL", "SIGBUS"}:
        hint = "; that is a crash inside a native library"
    return f"was ended by {name}{hint}"


def start(
    name: str,
    factory: str,
    *args: Any,
    environment: Mapping[str, str],
    log: Path,
    is_shared: bool = False,
) -> Child:
    """Start a fresh interpreter that makes `factory` ('module:Class') and answers requests to it.

    Returns at once, while the child still imports; its first answer (to `receive`) says it is ready.
    What the child prints goes to `log`.
    """
    ours, theirs = socket.socketpair()
    with theirs, log.open("ab") as output:
        popen = subprocess.Popen(
            [sys.executable, "-c", BOOT.format(fd=theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **QUIET, **environment},
        )
    child = Child(name, Connection(ours.detach()), popen.pid, _end_of(popen), is_shared)
    child.send(factory, *args)
    return child


def _end_of(popen: subprocess.Popen[bytes]) -> Callable[[float], int | None]:
    def end(timeout: float) -> int | None:
        try:
            return popen.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    return end


def child_main(descriptor: int) -> None:
    """Entry of a child process: the first request names the object to make, the rest call it."""
    for asked_of_all in (signal.SIGINT, signal.SIGTERM):  # the terminal and `timeout` signal the whole group
        signal.signal(asked_of_all, signal.SIG_IGN)
    die_with_parent()
    serve(Connection(descriptor))


def serve(connection: Connection) -> None:
    """Answer requests until the parent closes the connection."""
    target: Any = None
    while True:
        try:
            method, args, kwargs = connection.recv()
        except (EOFError, ConnectionError):
            return
        answer: tuple[str, Any]
        try:
            if target is None:
                target = make(method, connection, *args, **kwargs)
                answer = ("ok", None)
            else:
                answer = ("ok", getattr(target, method)(*args, **kwargs))
        except OptbenchError as error:
            answer = ("error", error)
        except MemoryError:
            answer = ("failure", (f"{method} ran out of memory; {LESS_MEMORY}", traceback.format_exc()))
        except Exception as error:
            reason = f"{method} failed: {type(error).__name__}: {error}"
            answer = ("failure", (reason, traceback.format_exc()))
        try:
            connection.send(answer)
        except ConnectionError:
            return


def make(factory: str, connection: Connection, *args: Any, **kwargs: Any) -> Any:
    """The object that `factory` ('module:Class') names; one that takes the connection gets it first."""
    module, name = factory.split(":")
    target = getattr(importlib.import_module(module), name)
    if getattr(target, "takes_connection", False):
        return target(connection, *args, **kwargs)
    return target(*args, **kwargs)
