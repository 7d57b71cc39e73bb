"""Where a run was logged besides its own directory."""

from __future__ import annotations

from optbench.records.values import Record


class TrackedRun(Record, frozen=True):
    """One run in the store of a tracker.

    tracker: as in `tracking=NAME`. store: which one, without any password. run: its identity there.
    group: of the sweep that it belongs to. address: where to look at it, or what to upload.
    """

    tracker: str
    store: str
    run: str
    group: str | None = None
    address: str | None = None
