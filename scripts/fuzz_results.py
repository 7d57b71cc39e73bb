"""Looks for bytes that the result reader neither reads nor refuses, guided by what code they reach.

    pip install atheris                                    not a dependency: it is for this script alone
    python scripts/fuzz_results.py                         until it finds something, or Ctrl-C
    python scripts/fuzz_results.py -max_total_time=60 -runs=100000 CORPUS_DIR    options of libFuzzer

Ends with a traceback and a file crash-... for the first input that makes anything but ResultError.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
from pathlib import Path
from typing import Any


def check(data: bytes) -> None:
    """Read `data` as a result, and as the result of a run directory; both may only refuse it."""
    from optbench.errors import ResultError
    from optbench.records import from_json
    from optbench.reports.points import to_markdown
    from optbench.results.aggregate import aggregate

    with tempfile.TemporaryDirectory() as place:
        file = Path(place, "run", "result.json")
        file.parent.mkdir()
        file.write_bytes(data)
        found = aggregate([Path(place)])
        to_markdown(found)
        try:
            from_json(data)
        except ResultError:
            return
        if found.points[0].status == "unreadable":
            raise AssertionError(f"read whole but not in part: {found.points[0].reason}")


def main() -> None:
    """Fuzz for as long as libFuzzer's options say."""
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["optbench"]):
        for name in ("records", "reports.points", "results.aggregate", "results.points", "results.walk"):
            importlib.import_module(f"optbench.{name}")
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
