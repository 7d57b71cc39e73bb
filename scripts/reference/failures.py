"""docs/reference/errors.md: what optbench raises, and with which exit code a command ends."""

from __future__ import annotations

from optbench import errors
from optbench.hydra_app.help import CODES
from reference.meanings import NOTICE, code, summary, table

INTRODUCTION = """\
A message names the key or the file, what was required, what was found and what to do. A
configuration is checked before any directory is made, and all its problems are reported together. A
run that fails later leaves a `result.json` with `status: failed`, the stage and the reason; what
libraries said stands in `optbench.log` beside it. Set `HYDRA_FULL_ERROR=1` for the traceback of a
configuration error."""

SWEEPS = """\
In a sweep an unknown option, key or type ends it with 2 before the first point. A value or a
combination that one point cannot run makes that row `failed` or `skipped`, with its reason, and the
rest goes on; the sweep then ends with 3 if a point failed. `optbench compare` ends with 1 if a
condition fails, 4 if one is undecided and 3 if a point of the second result failed, a damaged point of a
sweep among them; a single run that cannot be read is bad input, 2, for it as for `report` and `export`.
`optbench aggregate` ends with 0 whatever became of the points that it lists. `optbench cache verify` ends
with 1 if an entry is not whole."""

PYTHON = """\
From Python all of them are `optbench.errors.OptbenchError`; `exit_code` is what the command line
ends with."""


def page() -> str:
    """The whole page."""
    codes = [tuple(item.split(" ", 1)) for item in CODES.split(" · ")]
    classes = [
        (code(cls.__name__), summary(cls), str(cls.exit_code))
        for cls in vars(errors).values()
        if isinstance(cls, type) and issubclass(cls, errors.OptbenchError) and cls is not errors.OptbenchError
    ]
    parts = [
        "# Errors and exit codes",
        INTRODUCTION,
        "## Exit codes",
        table(("code", "when"), codes),
        SWEEPS,
        "## Errors",
        PYTHON,
        table(("class", "when", "exit code"), classes),
    ]
    return "\n\n".join([*parts, NOTICE]) + "\n"
