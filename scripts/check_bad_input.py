"""What optbench says to wrong input: command line, exit code and message of every row of the catalogue.

python scripts/check_bad_input.py                    a table; ends with 1 if a row is not as it must be
python scripts/check_bad_input.py dataset --faults   only rows that contain a word, only what is wrong
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from bad_input import FAILURES, MISTAKES
from bad_input.running import Attempt, attempt


def main() -> int:
    """Run the rows; 1 if one is not as it must be."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("word", nargs="?", default="", help="only rows whose command or files contain this")
    parser.add_argument("--faults", action="store_true", help="only rows that are not as they must be")
    arguments = parser.parse_args()
    wrong = count = 0
    with tempfile.TemporaryDirectory() as cache:
        for row in [*MISTAKES, *FAILURES]:
            if arguments.word not in row.title:
                continue
            with tempfile.TemporaryDirectory() as place:
                done = attempt(row, Path(place), Path(cache))
            count += 1
            wrong += bool(done.faults())
            if done.faults() or not arguments.faults:
                print(told(done), flush=True)
    print(f"{count} rows, {wrong} not as they must be")
    return 1 if wrong else 0


def told(done: Attempt) -> str:
    """One row for people."""
    lines = [f"$ optbench {done.row.title}", f"  exit code {done.code}"]
    lines += [f"  | {line}" for line in done.message.splitlines()]
    lines += [f"  NOT AS IT MUST BE: {fault}" for fault in done.faults()]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
