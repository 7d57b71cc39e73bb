"""Where rows of local files are kept as Arrow, so that they are read once."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from optbench.errors import DataError
from optbench.locations import cache_directory


def rows_cache() -> str | None:
    """Where `datasets` keeps the rows of local files as Arrow: below optbench's own cache, made private.

    Null, for the library's own place, where the user has chosen one or ours cannot be written. Hub names stay
    there in any case: what was fetched serves other programs too. Raises DataError where neither can be
    written.
    """
    import datasets

    if any(os.environ.get(variable) for variable in ("HF_DATASETS_CACHE", "HF_HOME")):
        return None
    folder = cache_directory() / "datasets"
    try:
        require_writable(folder)
    except OSError as error:
        try:
            require_writable(Path(datasets.config.HF_DATASETS_CACHE))
        except OSError:
            raise DataError(
                f"the cache of rows {folder} cannot be written: {error.strerror}; set OPTBENCH_CACHE_DIR to "
                "a folder you can write"
            ) from error
        return None
    return str(folder)


def require_writable(folder: Path) -> None:
    """Make a folder for its owner only. Raises OSError where nothing can be written to it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
