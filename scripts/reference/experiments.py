"""docs/reference/experiments.md: experiments and recipes, from the first comments of their files."""

from __future__ import annotations

import re
from pathlib import Path

from optbench.hydra_app.help import meaning
from optbench.locations import conf_dir
from reference.meanings import NOTICE, code, table
from reference.options import settings

EXPERIMENTS = """\
A question with everything it needs, ready to run: `optbench +experiment=NAME`. Anything on the
command line comes after it, so every value can be changed. Each is one file in `conf/experiment/`."""

RECIPES = """\
A backend, a quantization and a graph under one name, for sweeps over whole variants: `optbench -m
recipe=onnxruntime,onnxruntime-int8`. Options still count: `recipe=NAME
quantization.per_channel=false`."""


def page() -> str:
    """The whole page."""
    rows = [(code(file.stem), *told(file)) for file in files("experiment")]
    recipes = [(code(f"recipe={file.stem}"), meaning(file), words(file)) for file in files("recipe")]
    parts = [
        "# Experiments and recipes",
        "## Experiments",
        EXPERIMENTS,
        table(("name", "the question", "command"), rows),
        "## Recipes",
        RECIPES,
        table(("recipe", "what it is", "chooses and sets"), recipes),
    ]
    return "\n\n".join([*parts, NOTICE]) + "\n"


def files(group: str) -> list[Path]:
    """The config files of a group by name."""
    return sorted((conf_dir() / group).glob("*.yaml"))


def words(file: Path) -> str:
    """What a file chooses and sets."""
    return ", ".join(map(code, settings(file)))


def told(file: Path) -> tuple[str, str]:
    """What the first comments of a file say, and the command they give."""
    comments = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("# @"):
            comments.append(line[1:].strip())
    first, *further = comments or [""]
    said, _, command = split_command(first)
    notes = [said, *further]
    return " ".join(note if note.endswith((".", "?", ":")) else f"{note}." for note in notes), code(command)


def split_command(comment: str) -> tuple[str, str, str]:
    """A comment, the gap, and the command at its end."""
    match = re.search(r"\s{2,}(?=optbench )", comment)
    if match is None:
        return comment, "", "optbench"
    return comment[: match.start()], match[0], comment[match.end() :]
