"""Everything optbench raises on purpose, one class for each thing the reader can do about it.

    OptbenchError
    ├── ConfigError     a key, its value or a combination of keys is wrong       exit 2
    ├── DataError       a model, dataset or file cannot be used as it is         exit 2
    ├── MissingExtra    an optional package is not installed                     exit 2
    ├── Unsupported     this combination cannot work, and the reason is known    exit 2
    ├── ResultError     a result file cannot be read                             exit 2
    ├── WorkerError     a process that worked for us died, hung or raised        exit 3
    └── TimedOut        a run took longer than run.timeout_seconds               exit 3

Each message names the key or file, what was required, what was found and what to do.
"""

from __future__ import annotations

import errno
from typing import ClassVar

FULL = frozenset(getattr(errno, name) for name in ("ENOSPC", "EDQUOT") if hasattr(errno, name))
"""Numbers by which a system says that a disk or a quota is full."""


class OptbenchError(Exception):
    """Base of all errors that optbench raises on purpose; `exit_code` is what the shell gets."""

    exit_code: ClassVar[int] = 3


class ConfigError(OptbenchError):
    """The configuration is wrong; `problems` lists every finding, one line each."""

    exit_code = 2

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


class DataError(OptbenchError):
    """A model, dataset or file was found missing, unreadable or unfit."""

    exit_code = 2


class MissingExtra(OptbenchError):  # noqa: N818 - it names what is missing
    """An optional package is needed; `install` is the command that brings it."""

    exit_code = 2

    def __init__(self, needed_for: str, install: str) -> None:
        super().__init__(f"{needed_for} needs a package that is not installed; run: {install}")
        self.install = install

    def __reduce__(self) -> tuple[type[MissingExtra], tuple[str, str]]:
        return (type(self), (str(self).split(" needs a package", 1)[0], self.install))


class Unsupported(OptbenchError):  # noqa: N818 - it is an answer, not a fault
    """The combination asked for cannot work; the message is the reason and the way out."""

    exit_code = 2


class ResultError(OptbenchError):
    """A result file is missing, truncated or of a schema this version does not know."""

    exit_code = 2


class WorkerError(OptbenchError):
    """A worker process died, hung, or raised something that nobody foresaw."""

    exit_code = 3

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details

    def __reduce__(self) -> tuple[type[WorkerError], tuple[str, str]]:
        return (type(self), (str(self), self.details))


class TimedOut(OptbenchError):  # noqa: N818 - the limit was asked for
    """A run was ended because its time was over; what it had measured is kept."""

    exit_code = 3
