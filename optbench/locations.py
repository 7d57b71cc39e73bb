"""Where things lie: the shipped configs and demo, and the user's cache folder."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

LOG_FILE = "optbench.log"
"""What libraries say, in the directory of each run."""

REPORT_FILE = "report.html"
"""A run or a sweep as one page, in its directory."""

HYDRA_DIRECTORY = ".hydra"
OVERRIDES_FILE = "overrides.yaml"
"""Where Hydra keeps, in the directory of each run, what the command line set."""

LOCK_FILE = ".running"
"""In the directory of a run or sweep while it lasts: whose it is."""

ONNX_FILE = "model.onnx"
"""The graph in a directory of format 'onnx'."""

MANIFEST = "optbench.json"
"""In every prepared model's directory: what it was made from, and how."""

CONFIG_NAME = "config"
"""The config that a run starts from, unless --config-name says otherwise."""

PACKAGE = Path(__file__).resolve().parent


def conf_dir() -> Path:
    """The shipped configs: beside the package in a checkout, inside it in a wheel."""
    for candidate in (PACKAGE / "conf", PACKAGE.parent / "conf"):
        if (candidate / "config.yaml").is_file():
            return candidate
    raise FileNotFoundError(f"no conf/config.yaml in or beside {PACKAGE}; reinstall optbench")


def package_file(name: str) -> Path:
    """A file or directory inside the installed package."""
    return PACKAGE / name


def cache_directory() -> Path:
    """Where models and artifacts are kept: $OPTBENCH_CACHE_DIR, else the user's cache folder."""
    override = os.environ.get("OPTBENCH_CACHE_DIR")
    return Path(override).expanduser().absolute() if override else platformdirs.user_cache_path("optbench")
