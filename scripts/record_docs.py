"""Runs the commands of a page and writes what they print into the page: output in the docs is real.

    python scripts/record_docs.py docs/quickstart.md --place DIR

A bash block that a text block follows at once is run in DIR, and the text block becomes its standard output.
DIR holds what the page names (such as my_model and rows.csv). Record on a machine that is left alone.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

WITHIN = r"(?:(?!```).)*"
RECORDED = re.compile(rf"```bash\n(?P<commands>{WITHIN})```\n\n```text\n(?P<output>{WITHIN})```", re.DOTALL)
WIDTH = 100
"""Columns of the output; the site shows as many without a scroll bar."""


def output_of(commands: str, place: Path) -> str:
    """What the commands print in `place`, without its path. Verdicts end with codes of their own."""
    environment = {**os.environ, "COLUMNS": str(WIDTH)}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(
        ["bash", "-c", commands], cwd=place, env=environment, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode not in (0, 1, 4):
        raise SystemExit(f"these commands ended with {done.returncode}:\n{commands}")
    text = done.stdout.replace(f"{place}{os.sep}", "")
    return "".join(f"{line}\n" for row in text.strip("\n").splitlines() for line in wrapped(row.rstrip()))


def wrapped(line: str) -> list[str]:
    """A line as a terminal of WIDTH columns shows it, broken between words."""
    if len(line) <= WIDTH:
        return [line]
    return textwrap.wrap(line, WIDTH, break_long_words=False, break_on_hyphens=False)


def main() -> int:
    """Rewrite the page; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("page", type=Path)
    parser.add_argument("--place", type=Path, required=True, help="where the commands run")
    chosen = parser.parse_args()
    place = chosen.place.resolve()

    def record(match: re.Match[str]) -> str:
        commands = match["commands"]
        print(commands, end="", flush=True)
        return f"```bash\n{commands}```\n\n```text\n{output_of(commands, place)}```"

    text = RECORDED.sub(record, chosen.page.read_text(encoding="utf-8"))
    chosen.page.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
