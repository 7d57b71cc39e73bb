"""Wrong command lines, configs and files, and what must be said about each: one row for one mistake."""

from __future__ import annotations

from bad_input import (
    artifact_rows,
    config_file_rows,
    dataset_rows,
    model_rows,
    override_rows,
    sweep_rows,
    tool_rows,
    value_rows,
)
from bad_input.row import Row

MISTAKES: list[Row] = [
    *override_rows.ROWS,
    *value_rows.ROWS,
    *sweep_rows.ROWS,
    *config_file_rows.ROWS,
    *model_rows.ROWS,
    *dataset_rows.ROWS,
    *artifact_rows.ROWS,
    *tool_rows.ROWS,
]
"""Bad configuration or input: one message, exit code 2, nothing left behind."""

FAILURES: list[Row] = [*sweep_rows.FAILURES]
"""Runs that fail at work: the code of the row, and a result that says why."""
