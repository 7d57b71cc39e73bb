"""Writes docs/result.schema.json, the JSON Schema of result.json, from the record types.

`python scripts/build_schema.py --check` only tells whether the file is up to date (exit 1 if not).
"""

import argparse
import json
import sys
from pathlib import Path

import msgspec

from optbench.records import SCHEMA_VERSION, RunResult

TARGET = Path(__file__).parents[1] / "docs" / "result.schema.json"


def schema() -> str:
    """The schema as indented JSON that ends in a newline."""
    generated = msgspec.json.schema(RunResult)
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"optbench result, schema version {SCHEMA_VERSION}",
    }
    return json.dumps({**head, **generated}, indent=2) + "\n"


def main() -> int:
    """Write or check the file; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    if parser.parse_args().check:
        current = TARGET.is_file() and TARGET.read_text(encoding="utf-8") == schema()
        print(f"{TARGET.name} is {'up to date' if current else 'stale: run python scripts/build_schema.py'}")
        return 0 if current else 1
    TARGET.write_text(schema(), encoding="utf-8")
    print(f"written: {TARGET}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
