"""Writes the JSON Schemas of result.json and results.json into docs/, from the record types.

`python scripts/build_schema.py --check` only tells whether the files are up to date (exit 1 if not).
"""

import argparse
import json
import sys
from pathlib import Path

import msgspec

from optbench.records import AGGREGATE_VERSION, SCHEMA_VERSION, Aggregate, RunResult

DOCS = Path(__file__).parents[1] / "docs"
SCHEMAS: dict[str, tuple[type[msgspec.Struct], str]] = {
    "result.schema.json": (RunResult, f"optbench result, schema version {SCHEMA_VERSION}"),
    "results.schema.json": (Aggregate, f"optbench aggregate, schema version {AGGREGATE_VERSION}"),
}


def schema(record: type[msgspec.Struct], title: str) -> str:
    """The schema as indented JSON that ends in a newline."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title}
    return json.dumps({**head, **msgspec.json.schema(record)}, indent=2) + "\n"


def main() -> int:
    """Write or check the files; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    stale = False
    for name, (record, title) in SCHEMAS.items():
        target, content = DOCS / name, schema(record, title)
        if not check:
            target.write_text(content, encoding="utf-8")
            print(f"written: {target}")
        elif not target.is_file() or target.read_text(encoding="utf-8") != content:
            stale = True
            print(f"{name} is stale: run python scripts/build_schema.py")
        else:
            print(f"{name} is up to date")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
