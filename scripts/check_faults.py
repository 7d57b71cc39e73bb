"""Does anything die, hang or get lost that must not? Breaks real runs on purpose and prints what is left.

    python scripts/check_faults.py                    all faults, about fifteen minutes
    python scripts/check_faults.py --list
    python scripts/check_faults.py --only SIGKILL --only sweep      by a part of the name, or by group

Of each fault: what was measured is kept, no process and no lock is left, a message names what to do, and
the exit code is the documented one. Ends with 1 if a row fails. To add one, write its steps in `faults/`.
"""

from __future__ import annotations

import argparse
import importlib
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from faults.matrix import CASES, Case, Row, judge

MODULES = ("workers", "interrupts", "storage", "sweeps")
WIDTH = 78

for module in MODULES:
    importlib.import_module(f"faults.{module}")


def chosen(words: Sequence[str]) -> list[Case]:
    """Cases of a group, or with a word in their name; all without words."""
    return [
        one
        for one in CASES
        if not words or any(word == one.group or word.lower() in one.name.lower() for word in words)
    ]


def line(row: Row) -> str:
    """A row of the table."""
    seen = "-" if row.exit_code is None else row.exit_code
    told = row.reason or row.message
    told = told if len(told) <= WIDTH else told[: WIDTH - 1] + "…"
    return f"| {row.case.name} | {row.case.expected} | {seen} | {told} | {row.orphans} | {row.verdict} |"


def main() -> int:
    """Break, and print the matrix."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="a part of the name")
    parser.add_argument("--list", action="store_true", help="the names alone")
    parser.add_argument("--keep", action="store_true", help="keep the directories of what was broken")
    arguments = parser.parse_args()
    cases = chosen(arguments.only)
    if not cases:
        parser.error(f"no fault is named {' or '.join(arguments.only)}; see --list")
    if arguments.list:
        print("\n".join(f"{one.group:10} {one.name}" for one in cases))
        return 0
    print("| fault | exit code | seen | message | orphans | verdict |\n|---|---|---|---|---|---|", flush=True)
    rows = []
    for one in cases:
        place = Path(tempfile.mkdtemp(prefix="optbench-faults-"))
        rows.append(judge(one, place))
        print(line(rows[-1]), flush=True)
        if arguments.keep:
            print(f"  its directory: {place}")
        else:
            shutil.rmtree(place, ignore_errors=True)
    for row in rows:
        for problem in row.problems:
            print(f"\n{row.case.name}: {problem}")
    failed = sum(row.verdict == "FAIL" for row in rows)
    skipped = sum(row.verdict == "SKIP" for row in rows)
    print(f"\n{len(rows)} faults: {len(rows) - failed - skipped} pass, {failed} fail, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
