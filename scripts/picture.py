"""Draws a finished run as the terminal showed it: `python scripts/picture.py RUN_DIR PICTURE.svg`."""

import argparse
import io
import re
import sys
from pathlib import Path

from rich.console import Console

from optbench.records import read_result
from optbench.reports.remarks import grade_lines
from optbench.reports.run_table import result_table

FONT_FROM_ELSEWHERE = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
"""A picture must not fetch anything; without the font any monospaced one serves."""


def main() -> int:
    """Write the SVG; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="a run directory")
    parser.add_argument("target", type=Path, help="the SVG file to write")
    chosen = parser.parse_args()
    result = read_result(chosen.run)
    console = Console(record=True, width=96, file=io.StringIO(), force_terminal=True)
    for line in grade_lines(result.trust):
        console.print(line, highlight=False, markup=False)
    console.print(result_table(result))
    if result.verdict is not None:
        console.print()
        console.print(result.verdict.sentence, style="bold", highlight=False, markup=False)
    chosen.target.parent.mkdir(parents=True, exist_ok=True)
    words = [word for word in result.command[1:] if not word.startswith("hydra.")]
    drawn = console.export_svg(title=" ".join(["optbench", *words]))
    chosen.target.write_text(FONT_FROM_ELSEWHERE.sub("", drawn), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
