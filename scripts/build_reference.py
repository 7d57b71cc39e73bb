"""Writes docs/reference/: configuration, commands, results, errors, experiments, each from the code itself.

`python scripts/build_reference.py --check` only tells whether the files are up to date (exit 1 if not).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from reference import commands, experiments, failures, options, results

REFERENCE = Path(__file__).parents[1] / "docs" / "reference"
PAGES: dict[str, Callable[[], str]] = {
    "config.md": options.page,
    "commands.md": commands.page,
    "experiments.md": experiments.page,
    "result.md": results.page,
    "errors.md": failures.page,
}


def main() -> int:
    """Write or check the pages; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    stale = False
    for name, make in PAGES.items():
        target, content = REFERENCE / name, make()
        if not check:
            target.parent.mkdir(exist_ok=True)
            target.write_text(content, encoding="utf-8")
            print(f"written: {target}")
        elif not target.is_file() or target.read_text(encoding="utf-8") != content:
            stale = True
            print(f"docs/reference/{name} is stale: run python scripts/build_reference.py")
        else:
            print(f"docs/reference/{name} is up to date")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
