"""Every command that the documentation shows, with the file and line where it stands.

From the bash blocks of the pages beside README.md and in docs/, from the `run:` steps of yaml blocks, and
from the comments of conf/. The tests hold each against the command line and run those that cost little.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from optbench.locations import conf_dir

ROOT = Path(__file__).resolve().parents[1]
SHELL = ("bash", "sh", "shell", "console")
BETWEEN = ("|", "||", "&&", ";", "&")
"""What ends a simple command in a line of the shell."""

Words = tuple[str, ...]


@dataclass(frozen=True)
class Command:
    """One simple command of a document: its words, without redirections and comments."""

    file: str
    line: int
    words: Words

    @property
    def text(self) -> str:
        """The command as one line."""
        return shlex.join(self.words)


def documents() -> list[Path]:
    """README.md, the other pages beside it, and every page of docs/."""
    return [*sorted(ROOT.glob("*.md")), *pages()]


def pages() -> list[Path]:
    """Every page of docs/."""
    return sorted((ROOT / "docs").rglob("*.md"))


def commands() -> list[Command]:
    """All commands, each once, where they stand first."""
    found: dict[Words, Command] = {}
    for path in documents():
        for line, words in commands_of(path):
            found.setdefault(words, Command(str(path.relative_to(ROOT)), line, words))
    for path in sorted(conf_dir().rglob("*.yaml")):
        for line, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if match := re.match(r"#.*?\s{2,}(optbench .*)", text):
                words = tuple(match[1].split())
                found.setdefault(words, Command(f"conf/{path.relative_to(conf_dir())}", line, words))
    return list(found.values())


def commands_of(path: Path) -> Iterator[tuple[int, Words]]:
    """Line number and words of each command of a Markdown file."""
    for language, first, lines in blocks(path):
        if language in SHELL:
            yield from simple_commands(lines, first)
        elif language in ("yaml", "yml"):
            for text in steps(yaml.safe_load("\n".join(lines))):
                yield from simple_commands(text.splitlines(), first)


def blocks(path: Path) -> Iterator[tuple[str, int, list[str]]]:
    """Language, number of the first line, and lines of every fenced block of a Markdown file."""
    language: str | None = None
    indent, start = "", 0
    held: list[str] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        fence = re.match(r"(\s*)(?:```|~~~)(\w*)", line)
        if fence and language is None:
            language, indent, start, held = fence[2], fence[1], number + 1, []
        elif fence and language is not None:
            yield language, start, held
            language = None
        elif language is not None:
            held.append(line.removeprefix(indent))


def simple_commands(lines: Sequence[str], first: int) -> Iterator[tuple[int, Words]]:
    """Line number and words of each command in lines of the shell."""
    pending, start = "", first
    for number, line in enumerate(lines, first):
        start = start if pending else number
        pending = f"{pending}\n{line}" if pending else line
        if pending.endswith("\\"):
            pending = pending[:-1]
            continue
        try:
            lexer = shlex.shlex(pending, posix=True, punctuation_chars=True)
            lexer.whitespace_split = True
            tokens = list(lexer)
        except ValueError:
            continue  # a quotation goes on in the next line
        pending = ""
        for words in split(tokens):
            yield start, words


def split(tokens: Sequence[str]) -> Iterator[Words]:
    """The words of each simple command in the tokens of a shell line; assignments before it are left out."""
    words: list[str] = []
    skip = False
    for token in [*tokens, ";"]:
        if skip:
            skip = False
        elif token in BETWEEN:
            while words and re.match(r"[A-Z_][A-Z0-9_]*=", words[0]):
                del words[0]
            if words:
                yield tuple(words)
            words = []
        elif set(token) <= set("<>&"):
            skip = True
        else:
            words.append(token)


def steps(node: Any) -> Iterator[str]:
    """The `run:` texts of a workflow."""
    if isinstance(node, dict):
        if isinstance(node.get("run"), str):
            yield node["run"]
        node = list(node.values())
    if isinstance(node, list):
        for item in node:
            yield from steps(item)
