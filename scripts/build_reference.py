"""Writes docs/reference/: configuration, commands, metrics, results ..., each from the code itself.

`python scripts/build_reference.py --check` only tells whether the files are up to date (exit 1 if not).
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from generated import ROOT, write_or_check
from reference import commands, experiments, failures, metrics, options, results

REFERENCE = ROOT / "docs" / "reference"
PAGES: dict[str, Callable[[], str]] = {
    "config.md": options.page,
    "commands.md": commands.page,
    "experiments.md": experiments.page,
    "metrics.md": metrics.page,
    "result.md": results.page,
    "errors.md": failures.page,
}


def main() -> int:
    """Write or check the pages; returns the exit code."""
    return write_or_check(
        {REFERENCE / name: make for name, make in PAGES.items()}, __doc__, "scripts/build_reference.py"
    )


if __name__ == "__main__":
    sys.exit(main())
