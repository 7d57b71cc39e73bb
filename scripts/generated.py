"""Files that are made from the code: written, or held against what the code would make now."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]


def write_or_check(files: Mapping[Path, Callable[[], str]], about: str | None, program: str) -> int:
    """Write the files, or with --check tell which are stale; the exit code. `program` makes them."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file is stale")
    check = parser.parse_args().check
    stale = False
    for target, make in files.items():
        content, name = make(), target.relative_to(ROOT)
        if not check:
            target.parent.mkdir(exist_ok=True)
            target.write_text(content, encoding="utf-8")
            print(f"written: {name}")
        elif not target.is_file() or target.read_text(encoding="utf-8") != content:
            stale = True
            print(f"{name} is stale: run python {program}")
        else:
            print(f"{name} is up to date")
    return 1 if stale else 0
