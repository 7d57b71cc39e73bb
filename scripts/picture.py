"""Draws a finished run as the terminal showed it: `python scripts/picture.py RUN_DIR PICTURE.svg`."""

import argparse
import io
import sys
from pathlib import Path

from rich.console import Console

from optbench.records import read_result
from optbench.reports.terminal import result_table


def main() -> int:
    """Write the SVG; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="a run directory")
    parser.add_argument("target", type=Path, help="the SVG file to write")
    chosen = parser.parse_args()
    result = read_result(chosen.run)
    console = Console(record=True, width=96, file=io.StringIO(), force_terminal=True)
    console.print(result_table(result))
    if result.verdict is not None:
        console.print()
        console.print(result.verdict.sentence, style="bold", highlight=False, markup=False)
    chosen.target.parent.mkdir(parents=True, exist_ok=True)
    chosen.target.write_text(
        console.export_svg(title=" ".join(["optbench", *result.command[1:]])), encoding="utf-8"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
