"""What lies in the artifact cache: `optbench cache list --format json` is `CacheListing`.

Schema history of CacheListing
    1   first version
"""

from __future__ import annotations

from optbench.records.values import Record

CACHE_VERSION = 1


class CacheEntry(Record, frozen=True, kw_only=True):
    """One prepared model, or what a variant answered.

    step: what made it: `export`, `quantize`, `graph` or `answers`. model: name of the checkpoint; null where
    it is not known. made_as: in words. made_at, used_at: ISO 8601 in UTC; null where they are not known.
    """

    key: str
    step: str
    model: str | None
    made_as: str
    size_bytes: int
    made_at: str | None
    used_at: str | None


class CacheListing(Record, frozen=True, kw_only=True):
    """All entries, the one used last first; `size_bytes` is that of all of them."""

    schema_version: int = CACHE_VERSION
    optbench_version: str
    directory: str
    size_bytes: int
    entries: list[CacheEntry]
