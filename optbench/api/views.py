"""What the Python API hands out: records that know where they lie, read well and become data frames."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from optbench.errors import ResultError
from optbench.records import (
    BLOCKS_FILE,
    PREDICTIONS_FILE,
    REQUESTS_FILE,
    SAMPLES_FILE,
    Aggregate,
    Record,
    RunResult,
)
from optbench.records.comparison import RunComparison

if TYPE_CHECKING:
    from pandas import DataFrame

ViewType = TypeVar("ViewType", bound=Record)

FRAME_TYPES = {"string": "string", "int64": "Int64", "double": "float64"}
"""pandas' name of each type of column in results.csv; all of them can lack values."""


def viewed(kind: type[ViewType], record: Record, **more: Any) -> ViewType:
    """The record as one of the classes below."""
    return kind(**{name: getattr(record, name) for name in record.__struct_fields__}, **more)


class Run(RunResult, frozen=True, kw_only=True):
    """One run: everything its result.json holds, and the directory with the raw values."""

    directory: str

    def __repr__(self) -> str:
        from optbench.reports.brief import run_lines

        return "\n".join(run_lines(self, self.directory))

    def _repr_markdown_(self) -> str:
        from optbench.delivery.report import command_of
        from optbench.reports.run_text import to_markdown

        return to_markdown(self, command_of(Path(self.directory), self))

    def samples(self) -> DataFrame:
        """A row for each timed call: replicate, pair, block, position, variant, index, settling, nanoseconds.

        Calls that are `settling` count for nothing. Raises ResultError where the run was not timed.
        """
        return self._frame(SAMPLES_FILE)

    def blocks(self) -> DataFrame:
        """A row for each block of calls, with its wall and CPU time in nanoseconds. Raises ResultError."""
        return self._frame(BLOCKS_FILE)

    def predictions(self) -> DataFrame:
        """A row for each example: its text, reference, and the answer of each variant. Raises ResultError."""
        return self._frame(PREDICTIONS_FILE)

    def requests(self) -> DataFrame:
        """A row for each request to a server (`measure=server`), times in nanoseconds. Raises ResultError."""
        return self._frame(REQUESTS_FILE)

    def _frame(self, name: str) -> DataFrame:
        from pyarrow import ArrowException, parquet

        file = Path(self.directory) / name
        try:
            return parquet.read_table(file).to_pandas()
        except FileNotFoundError as error:
            raise ResultError(f"{file} is not there: this run ({self.status}) left no {name}") from error
        except (OSError, ArrowException) as error:
            raise ResultError(f"{file} cannot be read: {error}") from error


class Results(Aggregate, frozen=True, kw_only=True):
    """Many runs, one point each; failed and missing ones too."""

    def __repr__(self) -> str:
        from optbench.reports.brief import aggregate_lines

        return "\n".join(aggregate_lines(self))

    def _repr_markdown_(self) -> str:
        from optbench.reports.points import to_markdown

        return to_markdown(self)

    def to_frame(self) -> DataFrame:
        """A row for each point; columns as in results.csv, where a name ends in its unit."""
        import pandas

        from optbench.results.tables import columns

        return pandas.DataFrame(
            {
                column.name: pandas.Series(column.values(self.points), dtype=FRAME_TYPES[column.kind])
                for column in columns(self)
            }
        )

    def runs(self) -> list[Run]:
        """The whole record of each point that has one, in the order of the points.

        Raises ResultError if one has become unreadable since.
        """
        from optbench.records import read_result

        kept = dict.fromkeys(point.directory for point in self.points if point.config_hash is not None)
        return [viewed(Run, read_result(Path(place)), directory=place) for place in kept]


class Compared(RunComparison, frozen=True, kw_only=True):
    """Two runs or sweeps against each other, point by point."""

    def __repr__(self) -> str:
        from optbench.reports.brief import comparison_lines

        return "\n".join(comparison_lines(self))

    def _repr_markdown_(self) -> str:
        from optbench.reports.comparison import to_markdown

        return to_markdown(self)
