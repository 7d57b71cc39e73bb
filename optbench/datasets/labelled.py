"""Labelled rows from a file, a directory or the hub, through the `datasets` library."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optbench.components import Dataset, register
from optbench.errors import DataError
from optbench.hub import hub_unreachable, looks_like_path, refusal

LOADERS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".parquet": "parquet",
    ".arrow": "arrow",
}


@register("dataset", "labelled")
@dataclass
class LabelledDataset(Dataset):
    """Rows with columns; which column is what is guessed only when there is no doubt.

    path: a csv, tsv, json, jsonl, parquet or arrow file; a directory of such files or one that
        `save_to_disk` wrote; or a hub name.
    name: the configuration of a hub dataset, such as 'sst2' of 'glue'.
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
        return found

    def load(self, split: str) -> Any:
        """The rows of `split`. Raises DataError with what to do."""
        import datasets

        datasets.disable_progress_bars()
        path = Path(self.path).expanduser()
        if path.exists():
            rows = self._load_local(path, split)
        elif looks_like_path(self.path):
            raise DataError(
                f"dataset.path={self.path} must be a file, a directory or a hub name, found nothing "
                "there; check the spelling"
            )
        else:
            rows = self._load_hub(split)
        if len(rows) == 0:
            raise DataError(f"dataset.path={self.path} split {split!r} has no rows; one is required")
        return rows

    def _load_local(self, path: Path, split: str) -> Any:
        import datasets

        try:
            if self.files:
                return self._load_files({name: path / file for name, file in self.files.items()}, split)
            if path.is_file():
                return self._load_files({split: path}, split)
            if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
                return pick_split(datasets.load_from_disk(str(path)), split, self.path)
            return pick_split(datasets.load_dataset(str(path)), split, self.path)
        except DataError:
            raise
        except Exception as error:  # datasets raises many kinds for unreadable data
            reason = str(error.__cause__ or error).splitlines()[0]
            raise DataError(f"dataset.path={self.path} cannot be read: {reason}") from error

    def _load_files(self, files: dict[str, Path], split: str) -> Any:
        import datasets

        if split not in files:
            raise DataError(
                f"dataset split {split!r} is not among dataset.files, which has {', '.join(sorted(files))}"
            )
        file = files[split]
        if not file.is_file():
            raise DataError(f"dataset.files.{split}={file} does not exist")
        if file.suffix not in LOADERS:
            raise DataError(f"{file} has no known ending; one of {', '.join(LOADERS)} is required")
        if file.stat().st_size == 0:
            raise DataError(f"{file} is empty; one row is required")
        options = {"delimiter": "\t"} if file.suffix == ".tsv" else {}
        try:
            return datasets.load_dataset(LOADERS[file.suffix], data_files=str(file), split="train", **options)
        except ValueError as error:
            if "no data" in str(error):
                raise DataError(f"{file} has no rows; one is required") from error
            raise

    def _load_hub(self, split: str) -> Any:
        import datasets
        import huggingface_hub.constants

        unreachable = hub_unreachable()
        if unreachable:  # a copy in the local cache still serves
            datasets.config.HF_HUB_OFFLINE = True
            huggingface_hub.constants.HF_HUB_OFFLINE = True
        try:
            return datasets.load_dataset(self.path, self.name, split=split, revision=self.revision)
        except Exception as error:  # one sentence instead of the library's many kinds
            if unreachable:
                raise DataError(refusal(f"dataset.path={self.path}", unreachable)) from error
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise DataError(
                f"dataset.path={self.path} name={self.name} split={split} cannot be loaded from the "
                f"hub: {reason}"
            ) from error


def pick_split(loaded: Any, split: str, path: str) -> Any:
    """The named split of what was loaded; a single table is its own only split."""
    if not hasattr(loaded, "keys"):
        return loaded
    if split not in loaded:
        raise DataError(
            f"dataset.eval_split={split} is not in {path}, which has {', '.join(loaded.keys())}; "
            "choose one with dataset.eval_split="
        )
    return loaded[split]
