"""Commands beside a run: `optbench doctor`, `cache`, `export`."""

from __future__ import annotations

from typing import Annotated

import typer

from optbench import cache_commands, handover_command
from optbench.doctor import examine
from optbench.main import launch

app = typer.Typer(name="optbench", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.add_typer(cache_commands.app)
app.command()(handover_command.export)


@app.callback()
def tools() -> None:
    """Tools beside a run."""


@app.command()
def doctor(
    measure: Annotated[bool, typer.Option(help="Also compare a variant with itself.")] = True,
    budget_seconds: Annotated[float, typer.Option(min=1, help="Time for that.")] = 30.0,
) -> None:
    """Is this machine fit to measure, and how much does it differ from itself?"""
    examine()
    if measure:
        raise typer.Exit(launch(["+experiment=noise_floor", f"measure.budget_seconds={budget_seconds}"]))
