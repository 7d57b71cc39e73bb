"""Hub names: told apart from paths, and refused at once where no hub can be reached."""

from __future__ import annotations

import os
import socket
import urllib.request
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from optbench.errors import ConfigError, DataError

PROBE_SECONDS = 1.5


def looks_like_path(name: str) -> bool:
    """Whether `name` can only mean a file or directory: it exists, is absolute, dotted or deep."""
    return (
        Path(name).expanduser().exists()
        or name.startswith(("/", ".", "~"))
        or name.count("/") > 1
        or "\\" in name
        or Path(name).suffix in {".csv", ".json", ".jsonl", ".parquet", ".arrow", ".onnx"}
    )


def hub_name(directory: str | Path) -> str | None:
    """'owner/name' of a snapshot in the hub's own cache (models--owner--name/snapshots/COMMIT); else null."""
    parts = Path(directory).parts
    if len(parts) < 3 or parts[-2] != "snapshots" or not parts[-3].startswith("models--"):
        return None
    return parts[-3].removeprefix("models--").replace("--", "/", 1)


def hub_unreachable() -> str | None:
    """None if a hub can be asked, else the reason; answers within about two seconds. Raises ConfigError."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        return "HF_HUB_OFFLINE is set"
    if urllib.request.getproxies():
        return None  # the proxy decides what can be reached
    given = os.environ.get("HF_ENDPOINT") or _default_endpoint()
    endpoint = urlsplit(given)
    try:
        address = (endpoint.hostname, endpoint.port or (80 if endpoint.scheme == "http" else 443))
    except ValueError:  # a port that is no number
        address = (None, 0)
    if address[0] is None or endpoint.scheme not in ("http", "https"):
        raise ConfigError(f"HF_ENDPOINT must be an address such as https://hub.example, got {given!r}")
    try:
        socket.create_connection(address, timeout=PROBE_SECONDS).close()
    except OSError as error:
        return f"{endpoint.hostname} cannot be reached ({error.strerror or error})"
    return None


def _default_endpoint() -> str:
    from huggingface_hub.constants import ENDPOINT

    return str(ENDPOINT)


def fetch_snapshot(
    name: str, kind: Literal["model", "dataset"], revision: str | None, patterns: list[str] | None
) -> Path:
    """The local copy of a hub repository: from the hub cache, else downloaded. Raises DataError."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    options = {"revision": revision, "allow_patterns": patterns, "repo_type": kind}
    try:
        try:
            return Path(snapshot_download(name, local_files_only=True, **options))
        except LocalEntryNotFoundError:
            require_hub(f"{kind}.path={name}")
            return Path(snapshot_download(name, **options))
    except HFValidationError as error:
        raise DataError(f"{kind}.path={name} is neither a directory nor a hub name: {error}") from error
    except HfHubHTTPError as error:
        raise DataError(f"{kind}.path={name} could not be fetched from the hub: {error}") from error


def refusal(key: str, reason: str) -> str:
    """Why `key` cannot be had from a hub, and what to do."""
    return (
        f"{key} is no local path, so it is taken for a hub name, and {reason}; check the spelling, "
        "give a local path, or fetch it once where the hub can be reached"
    )


def require_hub(key: str) -> None:
    """Raise DataError at once if `key` needs the hub and the hub cannot be reached."""
    if reason := hub_unreachable():
        raise DataError(refusal(key, reason))
