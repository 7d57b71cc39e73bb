"""docs/reference/commands.md: the tools beside a run, with their arguments and options."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from optbench.commands.tools import app
from reference.meanings import NOTICE, code, table

INTRODUCTION = """\
A first word that names a tool runs it; anything else is a run: [its configuration](config.md), and
`optbench --help`. Before a run: `--plan` tells what it would do, for how long and on how much disk,
`--cfg job` shows the composed configuration, `-m` runs a sweep, `--config-dir DIR --config-name
NAME` takes a file of yours, `-q` and `-v` print less and more, `--version`."""


def page() -> str:
    """The whole page."""
    group: Any = typer.main.get_command(app)
    parts = ["# Commands", INTRODUCTION]
    for words, command in sorted(leaves(group, ("optbench",)), key=lambda leaf: leaf[0]):
        context = command.make_context(" ".join(words), [], resilient_parsing=True)
        usage = " ".join([*words, *command.collect_usage_pieces(context)])
        rows = [row for parameter in command.get_params(context) if (row := told(parameter, context))]
        parts += [f"## {code(' '.join(words))}", str(command.help or ""), f"```text\n{usage}\n```"]
        parts += [table(("argument or option", "meaning"), rows)] if rows else []
    return "\n\n".join([*parts, NOTICE]) + "\n"


def leaves(command: Any, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command below a group, with the words that call it."""
    for name, child in command.commands.items():
        if hasattr(child, "commands"):
            yield from leaves(child, (*words, name))
        else:
            yield (*words, name), child


def told(parameter: Any, context: Any) -> tuple[str, str] | None:
    """An argument or option with its meaning and default; null for those that are hidden."""
    record = parameter.get_help_record(context)
    if record is None or parameter.name == "help":
        return None
    return code(record[0].replace("|", " or ")), record[1].replace("  [", " [")
