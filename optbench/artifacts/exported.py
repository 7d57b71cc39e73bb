"""What a directory that `optbench export` wrote says of itself, as far as its files bear it out."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from optbench.components import Artifact
from optbench.locations import MANIFEST
from optbench.records import Record

QUANTIZATION = re.compile(r"[\w-]{1,40}", re.ASCII)


class Side(Record, frozen=True):
    """A variant of the run behind an export."""

    quantization: str = ""


class Measured(Record, frozen=True):
    """That run: its variants, and which of them was exported."""

    variant: str = ""
    variants: dict[str, Side] = msgspec.field(default_factory=dict)


class Exported(Record, frozen=True):
    """What of optbench.json tells how the files were quantized."""

    sha256: str
    measured: Measured
    apply_at_load: Any = None


def exported_as(artifact: Artifact) -> dict[str, str]:
    """{'quantization': name} of exported files, 'none' if they are not; empty for others and changed ones."""
    try:
        told = msgspec.json.decode((artifact.directory / MANIFEST).read_bytes(), type=Exported)
    except (OSError, ValueError, RecursionError):  # msgspec's errors are ValueErrors
        return {}
    name = told.measured.variants.get(told.measured.variant, Side()).quantization
    if told.sha256 != artifact.sha256 or not QUANTIZATION.fullmatch(name):
        return {}
    return {"quantization": "none" if told.apply_at_load else name}
