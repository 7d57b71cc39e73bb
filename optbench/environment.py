"""The machine and the software a run saw: everything that may change a number, and why it may be unknown."""

from __future__ import annotations

import functools
import hashlib
import json
import math
import os
import platform
import re
import shutil
import socket
import subprocess
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

ROOT = Path("/")
ISA_FLAGS = frozenset(
    [
        "avx2",
        "fma",
        "f16c",
        "avx512f",
        "avx512bw",
        "avx512vl",
        "avx512_vnni",
        "avx512_bf16",
        "avx512_fp16",
        "avx_vnni",
        "amx_tile",
        "amx_int8",
        "amx_bf16",
        "neon",
        "asimd",
        "asimddp",
        "asimdhp",
        "i8mm",
        "bf16",
        "sve",
        "sve2",
    ]
)
"""CPU instructions that inference kernels choose by."""

DISTRIBUTIONS = (
    "torch",
    "onnxruntime",
    "transformers",
    "optimum",
    "optimum-onnx",
    "onnx",
    "datasets",
    "tokenizers",
    "evaluate",
    "numpy",
    "scikit-learn",
    "hydra-core",
    "omegaconf",
    "optuna",
    "openvino",
    "nncf",
    "torchao",
)
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OMP_WAIT_POLICY",
    "KMP_AFFINITY",
    "GOMP_CPU_AFFINITY",
    "LD_PRELOAD",
)


def read_text(path: Path) -> str | None:
    """A small file's text without its last newline; null where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def parse_cpuinfo(text: str) -> tuple[str | None, frozenset[str]]:
    """CPU model and all its flags, from /proc/cpuinfo of x86 ('flags') or Arm ('Features')."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    flags = fields.get("flags") or fields.get("Features") or ""
    return fields.get("model name") or fields.get("Hardware"), frozenset(flags.split())


@functools.cache
def cpu_info() -> tuple[str | None, frozenset[str]]:
    """CPU model and all its flags."""
    model, flags = parse_cpuinfo(read_text(ROOT / "proc/cpuinfo") or "")
    return model or platform.processor() or None, flags


def isa_flags() -> frozenset[str]:
    """Instructions of this CPU that inference kernels choose by; empty where unknown."""
    return cpu_info()[1] & ISA_FLAGS


def affinity_cores() -> int:
    """Cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cgroup_directories(root: Path, controller: str) -> list[Path]:
    """This process's cgroup and its ancestors, innermost first, for cgroup v2 and v1."""
    directories = []
    for line in (read_text(root / "proc/self/cgroup") or "").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base = root / "sys/fs/cgroup"
        elif controller in controllers.split(","):
            base = root / "sys/fs/cgroup" / controller
        else:
            continue
        own = base / path.lstrip("/")
        directories += [place for place in (own, *own.parents) if place.is_relative_to(base)]
    return directories


def cpu_quota_cores(root: Path = ROOT) -> float | None:
    """The tightest CPU quota of this process's cgroups, in cores; null where there is none."""
    quotas = []
    for place in cgroup_directories(root, "cpu"):
        if both := read_text(place / "cpu.max"):
            quota, _, period = both.partition(" ")
        else:
            quota = read_text(place / "cpu.cfs_quota_us") or ""
            period = read_text(place / "cpu.cfs_period_us") or ""
        if quota.isdigit() and period.isdigit() and int(period) > 0:
            quotas.append(int(quota) / int(period))
    return min(quotas, default=None)


def memory_limit_bytes(root: Path = ROOT) -> int | None:
    """The tightest memory limit of this process's cgroups; null where there is none."""
    limits = []
    for place in cgroup_directories(root, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            value = read_text(place / name) or ""
            if value.isdigit() and int(value) < 1 << 60:
                limits.append(int(value))
    return min(limits, default=None)


def available_cores() -> int:
    """Threads worth starting: the affinity mask, cut to whole cores of the cgroup quota, at least 1.

    The quota is rounded down: a thread more than the quota allows is throttled in every period.
    """
    quota = cpu_quota_cores()
    cores = affinity_cores()
    return max(1, min(cores, math.floor(quota)) if quota is not None else cores)


def frequency(root: Path = ROOT) -> dict[str, Any]:
    """Governor, driver and range of the first core; a reason where the kernel does not say."""
    place = root / "sys/devices/system/cpu/cpu0/cpufreq"
    if not place.is_dir():
        return {"reason": "the kernel offers no cpufreq here, as is usual in virtual machines"}
    limits = {name: read_text(place / f"cpuinfo_{name}_freq") for name in ("min", "max")}
    return {
        "governor": read_text(place / "scaling_governor"),
        "driver": read_text(place / "scaling_driver"),
        **{f"{name}_hertz": int(v) * 1000 for name, v in limits.items() if v and v.isdigit()},
    }


def versions(names: tuple[str, ...] = DISTRIBUTIONS) -> dict[str, str | None]:
    """Version by distribution, without importing any; null for those not installed."""
    found: dict[str, str | None] = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def git_state(directory: Path) -> dict[str, Any]:
    """Commit of the checkout around `directory` and whether files differ from it; or the reason."""
    git = shutil.which("git")
    if git is None:
        return {"commit": None, "dirty": None, "reason": "git is not installed"}

    def ask(*arguments: str) -> str:
        return subprocess.run(
            [git, "-C", str(directory), *arguments], capture_output=True, text=True, timeout=2, check=True
        ).stdout.strip()

    try:
        return {"commit": ask("rev-parse", "HEAD"), "dirty": bool(ask("status", "--porcelain", "-uno"))}
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "dirty": None, "reason": f"{directory} is in no git checkout"}


def virtualization(root: Path = ROOT) -> str | None:
    """The hypervisor's or vendor's name where the machine says that it is virtual."""
    if "hypervisor" not in cpu_info()[1]:
        return None
    return read_text(root / "sys/class/dmi/id/sys_vendor") or "unknown hypervisor"


def gpus(root: Path = ROOT) -> list[str]:
    """Names of NVIDIA devices, as their driver lists them."""
    files = sorted((root / "proc/driver/nvidia/gpus").glob("*/information"))
    found = (re.search(r"Model:\s*(.+)", read_text(file) or "") for file in files)
    return [match[1] for match in found if match]


def capture(directory: Path) -> dict[str, Any]:
    """Everything above as one JSON-able record; `directory` is where the run was started."""
    model, _ = cpu_info()
    memory = psutil.virtual_memory()
    return {
        "machine": machine_fingerprint(),
        "hostname": socket.gethostname(),
        "os": platform.platform(),
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "cpu_model": model,
        "isa_flags": sorted(isa_flags()),
        "cores_physical": psutil.cpu_count(logical=False),
        "cores_logical": psutil.cpu_count(),
        "cores_affinity": affinity_cores(),
        "cpu_quota_cores": cpu_quota_cores(),
        "cores_available": available_cores(),
        "memory_bytes": memory.total,
        "memory_limit_bytes": memory_limit_bytes(),
        "swap_bytes": psutil.swap_memory().total,
        "frequency": frequency(),
        "virtualization": virtualization(),
        "gpus": gpus(),
        "psi": (ROOT / "proc/pressure/cpu").exists(),
        "clock_resolution_seconds": time.get_clock_info("perf_counter").resolution,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "versions": versions(),
        "git": git_state(directory),
        "thread_variables": {name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ},
    }


@functools.cache
def machine_fingerprint() -> str:
    """Twelve hex digits that are equal on machines whose timings may be compared."""
    model, flags = cpu_info()
    facts = [
        model,
        sorted(flags & ISA_FLAGS),
        psutil.cpu_count(),
        cpu_quota_cores(),
        round(psutil.virtual_memory().total / 2**30),
        platform.system(),
        platform.machine(),
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]
