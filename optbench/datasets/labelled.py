"""Labelled rows from a file, a directory or the hub, through the `datasets` library."""

from __future__ import annotations

import errno
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optbench.components import Dataset, register
from optbench.errors import DataError
from optbench.hub import hub_unreachable, looks_like_path, refusal
from optbench.rows.arrow_cache import rows_cache
from optbench.rows.plain import Columns, plain_columns
from optbench.rows.streaming import sample_stream

UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)

LOADERS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".parquet": "parquet",
    ".arrow": "arrow",
}

HEADER_LINES = {".jsonl": 0, ".csv": 1, ".tsv": 1}
LARGEST_COUNTED_BYTES = 1_000_000_000
"""Lines of a file up to this size are counted in about a second."""


@register("dataset", "labelled")
@dataclass
class LabelledDataset(Dataset):
    """Rows with columns; which column is what is guessed only when there is no doubt.

    path: a csv, tsv, json, jsonl, parquet or arrow file; a directory of such files or one that
        `save_to_disk` wrote; or a hub name.
    name: the configuration of a hub dataset, such as 'sst2' of 'glue'. revision: its branch, tag or commit.
    files: split name to file, for data that lies in several files; relative to `path`.
    """

    name: str | None = None
    revision: str | None = None
    files: dict[str, str] | None = None

    def problems(self) -> list[str]:
        """Empty names, and hub options on local data."""
        found = [f"{key} must not be empty" for key in ("path", "eval_split") if not getattr(self, key)]
        local = bool(self.path) and Path(self.path).expanduser().exists()
        if local and self.revision:
            found.append(f"revision only applies to hub names, but {self.path} is local; drop it")
        if local and Path(self.path).expanduser().is_file() and self.name:
            found.append(f"name only applies to hub datasets, but {self.path} is a file; drop it")
        if local and Path(self.path).expanduser().is_file() and self.files:
            found.append(
                f"path must be the directory that holds dataset.files ({', '.join(self.files.values())}), "
                f"got the file {self.path}; for your own rows add dataset=labelled, for your own model "
                "model=pretrained"
            )
        return found

    def load(self, split: str) -> Any:
        """The rows of `split`. Raises DataError with what to do."""
        rows = self._open(split, streaming=False)
        if len(rows) == 0:
            raise self._without_rows(split)
        self._require_unicode(rows)
        return rows

    def require_there(self, split: str) -> None:
        """Raise DataError where a local path holds nothing, or lacks the file of a split."""
        path = Path(self.path).expanduser()
        if not path.exists():
            if looks_like_path(self.path):
                raise self._nothing_there()
        elif self.files and split in self.files:
            self._require_file(split, path / self.files[split])

    def _require_file(self, split: str, file: Path) -> None:
        if not file.is_file():
            raise DataError(
                f"dataset.files.{split}={file} does not exist; check it, or add dataset=labelled for rows of "
                "your own"
            )

    def rows_known(self, split: str) -> int | None:
        """Rows of a local file of lines or Parquet. Raises DataError where a local path holds nothing."""
        self.require_there(split)
        path = Path(self.path).expanduser()
        if not path.exists():
            return None
        file = path / self.files[split] if self.files and split in self.files else path
        return rows_in(file) if file.is_file() else None

    def plain_columns(self, split: str) -> Columns | None:
        """The columns of a small local file of lines."""
        path = Path(self.path).expanduser()
        file = path / self.files[split] if self.files and split in self.files else path
        return plain_columns(file) if file.is_file() else None

    def sample(self, split: str, count: int, seed: int) -> tuple[Any, int]:
        """`count` seeded rows of `split`, read once from its beginning to its end. Raises DataError."""
        stream = self._open(split, streaming=True)
        try:
            rows, seen = sample_stream(stream, count, seed)
        except Exception as error:  # readers raise many kinds, wherever in the stream the damage is
            raise self._unreadable(error) from error
        if seen == 0:
            raise self._without_rows(split)
        self._require_unicode(rows)
        return rows, seen

    def _require_unicode(self, rows: Any) -> None:
        """Raise DataError if a text is no UTF-8: the JSON reader lets it pass, and it fails in use."""
        import pyarrow as pa

        try:
            rows.data.table.validate(full=True)
        except pa.ArrowInvalid as error:
            raise DataError(
                f"dataset.path={self.path} cannot be read: {str(error).splitlines()[0]}; texts must be UTF-8"
            ) from error

    def _open(self, split: str, streaming: bool) -> Any:
        """A `datasets.Dataset`, or an `IterableDataset` of the same rows."""
        import datasets

        datasets.disable_progress_bars()
        path = Path(self.path).expanduser()
        if path.exists():
            return self._open_local(path, split, streaming)
        if looks_like_path(self.path):
            raise self._nothing_there()
        return self._open_hub(split, streaming)

    def _nothing_there(self) -> DataError:
        return DataError(
            f"dataset.path={self.path} must be a file, a directory or a hub name, found nothing "
            "there; check the spelling"
        )

    def _without_rows(self, split: str) -> DataError:
        return DataError(f"dataset.path={self.path} split {split!r} has no rows; one is required")

    def _unreadable(self, error: Exception) -> DataError:
        cause = error.__cause__ or error
        reason = (str(cause) or type(error).__name__).splitlines()[0]
        if isinstance(cause, OSError) and cause.errno in UNWRITABLE and not self._is_own(cause.filename):
            reason = (
                f"the cache of Hugging Face datasets cannot be written ({reason}); set HF_HOME to a folder "
                "you can write"
            )
        elif isinstance(cause, UnicodeDecodeError):
            reason += "; texts must be UTF-8"
        elif line := bad_line(Path(self.path).expanduser()):
            reason = line
        return DataError(f"dataset.path={self.path} cannot be read: {reason}")

    def _is_own(self, file: Any) -> bool:
        """Whether a file is one of the dataset's."""
        return file is None or Path(str(file)).absolute().is_relative_to(
            Path(self.path).expanduser().absolute()
        )

    def _open_local(self, path: Path, split: str, streaming: bool) -> Any:
        import datasets

        try:
            if self.files:
                files = {name: path / file for name, file in self.files.items()}
                return self._open_file(files, split, streaming)
            if path.is_file():
                return self._open_file({split: path}, split, streaming)
            if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
                saved = pick_split(datasets.load_from_disk(str(path)), split, self.path)
                return saved.to_iterable_dataset() if streaming else saved
            loaded = datasets.load_dataset(str(path), streaming=streaming, cache_dir=rows_cache())
            return pick_split(loaded, split, self.path)
        except DataError:
            raise
        except Exception as error:  # datasets raises many kinds for unreadable data
            raise self._unreadable(error) from error

    def _open_file(self, files: dict[str, Path], split: str, streaming: bool) -> Any:
        import datasets

        if split not in files:
            raise DataError(
                f"dataset split {split!r} is not among dataset.files, which has {', '.join(sorted(files))}"
            )
        file = files[split]
        self._require_file(split, file)
        if file.suffix not in LOADERS:
            raise DataError(f"{file} has no known ending; one of {', '.join(LOADERS)} is required")
        if file.stat().st_size == 0:
            raise DataError(f"{file} is empty; one row is required")
        options = {"delimiter": "\t"} if file.suffix == ".tsv" else {}
        kind = LOADERS[file.suffix]
        try:
            return datasets.load_dataset(
                kind,
                data_files=str(file),
                split="train",
                streaming=streaming,
                cache_dir=rows_cache(),
                **options,
            )
        except ValueError as error:
            if "no data" in str(error):
                raise DataError(f"{file} has no rows; one is required") from error
            raise

    def _open_hub(self, split: str, streaming: bool) -> Any:
        import datasets
        import huggingface_hub.constants

        unreachable = hub_unreachable()
        if unreachable:  # a copy in the local cache still serves
            datasets.config.HF_HUB_OFFLINE = True
            huggingface_hub.constants.HF_HUB_OFFLINE = True
        try:
            return datasets.load_dataset(
                self.path, self.name, split=split, revision=self.revision, streaming=streaming
            )
        except Exception as error:  # one sentence instead of the library's many kinds
            if unreachable:
                raise DataError(refusal(f"dataset.path={self.path}", unreachable)) from error
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise DataError(
                f"dataset.path={self.path} name={self.name} split={split} cannot be loaded from the "
                f"hub: {reason}"
            ) from error


def rows_in(file: Path) -> int | None:
    """Rows of a JSON Lines, csv or Parquet file; null for other files and for those that take long to count.

    Lines are counted, so a csv file with line breaks inside of its cells seems to have more.
    """
    if file.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return int(pq.read_metadata(file).num_rows)
        except (pa.ArrowInvalid, OSError):
            return None
    if file.suffix not in HEADER_LINES or file.stat().st_size > LARGEST_COUNTED_BYTES:
        return None
    with file.open("rb") as stream:
        lines = sum(1 for line in stream if line.strip())
    return max(0, lines - HEADER_LINES[file.suffix])


def bad_line(file: Path) -> str | None:
    """The first line of a .jsonl file that is no JSON object, in words; null where there is none."""
    if file.suffix != ".jsonl" or not file.is_file():
        return None
    with file.open(encoding="utf-8", errors="replace") as stream:
        for number, line in enumerate(stream, 1):
            try:
                sound = not line.strip() or isinstance(json.loads(line), dict)
            except (ValueError, RecursionError):
                sound = False
            if not sound:
                return f"line {number} is no JSON object: {line.strip()[:60]}"
    return None


def pick_split(loaded: Any, split: str, path: str) -> Any:
    """The named split of what was loaded; a single table is its own only split."""
    if not hasattr(loaded, "keys"):
        return loaded
    if split not in loaded:
        raise DataError(
            f"split {split!r} is not in dataset.path={path}, which has {', '.join(loaded.keys())}; choose "
            "among them with dataset.eval_split= and dataset.calibration_split="
        )
    return loaded[split]
