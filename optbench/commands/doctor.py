"""Is this machine fit to measure? What it offers, what it lacks, and what to do about it."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from optbench.environment import capture


@dataclass(frozen=True)
class Finding:
    """One line of the examination; `advice` is null where nothing needs doing."""

    name: str
    value: str
    advice: str | None = None


def findings(environment: dict[str, Any], load_per_core: float | None, platform: str) -> list[Finding]:
    """What an environment record says about measuring on such a machine."""
    cores, quota = environment["cores_available"], environment["cpu_quota_cores"]
    frequency = environment["frequency"]
    governor = frequency.get("governor")
    flags = environment["isa_flags"]
    integer = [name for name in flags if "vnni" in name or name in ("amx_int8", "asimddp", "i8mm")]
    return [
        Finding("CPU", f"{environment['cpu_model']}, {environment['cores_logical']} cores"),
        Finding(
            "cores to use",
            f"{cores}" + (f" (cgroup quota {quota:g})" if quota is not None else ""),
            "a fractional quota throttles; ask for whole cores" if quota and quota % 1 else None,
        ),
        Finding(
            "int8 instructions",
            ", ".join(integer) or "none",
            None if integer else "int8 may be slower than float32 here, and u8 x s8 products saturate",
        ),
        Finding(
            "frequency governor",
            governor or frequency.get("reason", "unknown"),
            "set it to performance: cpupower frequency-set -g performance"
            if governor not in (None, "performance")
            else None,
        ),
        Finding(
            "load on each core",
            "unknown" if load_per_core is None else f"{load_per_core:.2f}",
            "other work is running; stop it before you measure" if (load_per_core or 0) > 0.3 else None,
        ),
        Finding(
            "pressure information",
            "yes" if environment["psi"] else "no",
            None if environment["psi"] else "this kernel offers no PSI; waiting for the CPU goes unseen",
        ),
        Finding(
            "system",
            environment["os"],
            None
            if platform == "linux"
            else "runs work with measure.start=spawn; peak memory and signs of load are unknown here",
        ),
    ]


def examine() -> None:
    """Print the examination of this machine."""
    load = os.getloadavg()[0] / (os.cpu_count() or 1) if hasattr(os, "getloadavg") else None
    console = Console(emoji=False)
    for finding in findings(capture(Path.cwd()), load, sys.platform):
        mark = "ok " if finding.advice is None else "!! "
        console.print(f"{mark}{finding.name}: {finding.value}", highlight=False, markup=False, soft_wrap=True)
        if finding.advice is not None:
            console.print(f"   {finding.advice}", highlight=False, markup=False, soft_wrap=True)
