"""Writes the JSON Schemas of result.json, results.json and the lists into docs/, from the record types.

`python scripts/build_schema.py --check` only tells whether the files are up to date (exit 1 if not).
"""

import json
import sys
from functools import partial

import msgspec
from generated import ROOT, write_or_check

from optbench.records import AGGREGATE_VERSION, SCHEMA_VERSION, Aggregate, RunResult
from optbench.records.cache import CACHE_VERSION, CacheListing
from optbench.records.history import HISTORY_VERSION, History

DOCS = ROOT / "docs"
SCHEMAS: dict[str, tuple[type[msgspec.Struct], str]] = {
    "result.schema.json": (RunResult, f"optbench result, schema version {SCHEMA_VERSION}"),
    "results.schema.json": (Aggregate, f"optbench aggregate, schema version {AGGREGATE_VERSION}"),
    "cache-list.schema.json": (CacheListing, f"optbench cache list, schema version {CACHE_VERSION}"),
    "history.schema.json": (History, f"optbench history, schema version {HISTORY_VERSION}"),
}


def schema(record: type[msgspec.Struct], title: str) -> str:
    """The schema as indented JSON that ends in a newline."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title}
    return json.dumps({**head, **msgspec.json.schema(record)}, indent=2) + "\n"


def main() -> int:
    """Write or check the files; returns the exit code."""
    files = {DOCS / name: partial(schema, record, title) for name, (record, title) in SCHEMAS.items()}
    return write_or_check(files, __doc__, "scripts/build_schema.py")


if __name__ == "__main__":
    sys.exit(main())
