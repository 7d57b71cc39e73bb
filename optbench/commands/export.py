"""`optbench export`; what it needs is imported when it runs."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer


class Side(Enum):
    """Which variant of a run."""

    candidate = "candidate"
    baseline = "baseline"


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="A run's directory, or its result.json.")],
    destination: Annotated[Path, typer.Argument(metavar="DEST", help="A directory that is not there yet.")],
    variant: Annotated[Side, typer.Option(help="Which of the two.")] = Side.candidate,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a model that was exported to DEST.")
    ] = False,
) -> None:
    """Copy the model that a run measured, with all that belongs to it and a card of what was found."""
    from optbench.delivery.handover import export as hand_over
    from optbench.reports.console import console, say
    from optbench.units import format_bytes

    done = hand_over(run, destination, variant.value, force)
    out = console(sys.stdout)
    if done.sentence:
        say(out, done.sentence)
    say(out, f"Model: {done.directory} ({format_bytes(done.size_bytes)})")
