"""Counters of the host and of one process, read before and after each replicate. What the machine does not
offer is null, never zero."""

from __future__ import annotations

import os
import re
import statistics
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from optbench.environment import cgroup_directories, read_text

ROOT = Path("/")
KERNEL_THREAD = 0x00200000
"""PF_KTHREAD of linux/sched.h."""
PROBE_LOOPS = 20_000
"""About one millisecond of interpreter work on a core of 2020 or later."""


@dataclass(frozen=True)
class HostCounters:
    """A snapshot of the host; counters only ever rise.

    busy_seconds, steal_seconds: CPU time of all cores since boot. psi_some_microseconds: time in which
    some task waited for a CPU. swap_pages: pages swapped in and out. throttled_periods: of our cgroups.
    frequency_hertz: mean over the cores. processes: pid to name and CPU seconds.
    """

    monotonic_seconds: float
    busy_seconds: float | None
    steal_seconds: float | None
    psi_some_microseconds: int | None
    swap_pages: int | None
    throttled_periods: int | None
    frequency_hertz: float | None
    processes: dict[int, tuple[str, float]]


@dataclass(frozen=True)
class ProcessCounters:
    """Context switches of one process, over all its threads."""

    voluntary_switches: int | None
    involuntary_switches: int | None


@dataclass(frozen=True)
class Neighbour:
    """A process that is not ours, and how many cores it used."""

    pid: int
    name: str
    cores: float


def ticks_per_second() -> int:
    """Unit of the CPU times in /proc."""
    return int(os.sysconf("SC_CLK_TCK")) if hasattr(os, "sysconf") else 100


def parse_cpu_times(text: str, ticks: int) -> tuple[float | None, float | None]:
    """(busy, steal) seconds of all cores, from /proc/stat.

    Busy is user + nice + system + irq + softirq; guest time is already in user (proc(5)).
    """
    line = text.partition("\n")[0].split()
    if len(line) < 8 or line[0] != "cpu":
        return None, None
    values = [int(value) for value in line[1:]]
    busy = values[0] + values[1] + values[2] + values[5] + values[6]
    steal = values[7] if len(values) > 7 else 0
    return busy / ticks, steal / ticks


def parse_pressure(text: str) -> int | None:
    """Microseconds in which some task waited, from /proc/pressure/cpu."""
    found = re.search(r"^some .*total=(\d+)", text, re.MULTILINE)
    return int(found[1]) if found else None


def parse_swap(text: str) -> int | None:
    """Pages swapped in and out, from /proc/vmstat."""
    found = re.findall(r"^pswp(?:in|out) (\d+)$", text, re.MULTILINE)
    return sum(map(int, found)) if found else None


def parse_process(text: str, ticks: int) -> tuple[str, float] | None:
    """(name, CPU seconds) from /proc/PID/stat; a name may hold spaces and parentheses.

    Null for threads of the kernel: they wake up at ticks, so whole ticks are booked on them, and nobody
    could stop them.
    """
    head, _, tail = text.rpartition(")")
    fields = tail.split()
    if len(fields) < 13 or "(" not in head or int(fields[6]) & KERNEL_THREAD:
        return None
    return head.partition("(")[2], (int(fields[11]) + int(fields[12])) / ticks


def throttled_periods(root: Path) -> int | None:
    """Periods in which one of our cgroups was throttled, cgroup v1 and v2."""
    found = []
    for place in cgroup_directories(root, "cpu"):
        match = re.search(r"^nr_throttled (\d+)$", read_text(place / "cpu.stat") or "", re.MULTILINE)
        if match:
            found.append(int(match[1]))
    return sum(found) if found else None


def frequency_hertz(root: Path) -> float | None:
    """Mean current frequency of the cores; null without cpufreq."""
    files = sorted((root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_cur_freq"))
    values = [int(text) * 1000 for file in files if (text := read_text(file) or "").isdigit()]
    return statistics.fmean(values) if values else None


def read_processes(root: Path, ticks: int) -> dict[int, tuple[str, float]]:
    """Name and CPU seconds of every process; those that end meanwhile are left out."""
    found = {}
    for place in (root / "proc").glob("[0-9]*"):
        parsed = parse_process(read_text(place / "stat") or "", ticks)
        if parsed is not None:
            found[int(place.name)] = parsed
    return found


def read_host_counters(root: Path = ROOT) -> HostCounters:
    """The host now. About a millisecond with a hundred processes."""
    ticks = ticks_per_second()
    busy, steal = parse_cpu_times(read_text(root / "proc/stat") or "", ticks)
    return HostCounters(
        monotonic_seconds=time.monotonic(),
        busy_seconds=busy,
        steal_seconds=steal,
        psi_some_microseconds=parse_pressure(read_text(root / "proc/pressure/cpu") or ""),
        swap_pages=parse_swap(read_text(root / "proc/vmstat") or ""),
        throttled_periods=throttled_periods(root),
        frequency_hertz=frequency_hertz(root),
        processes=read_processes(root, ticks),
    )


def read_process_counters(root: Path = ROOT) -> ProcessCounters:
    """Switches of the calling process, summed over its living threads; null where no thread tells."""
    totals: dict[str, int] = {}
    for task in (root / "proc/self/task").glob("[0-9]*"):
        status = read_text(task / "status") or ""
        for kind, count in re.findall(r"^(\w+)_ctxt_switches:\s+(\d+)$", status, re.MULTILINE):
            totals[kind] = totals.get(kind, 0) + int(count)
    return ProcessCounters(totals.get("voluntary"), totals.get("nonvoluntary"))


def process_cores(
    before: HostCounters, after: HostCounters, pids: Collection[int] | None = None
) -> dict[int, float]:
    """Cores used by each process between two snapshots, by pid; of all, or of `pids`."""
    elapsed = max(1e-9, after.monotonic_seconds - before.monotonic_seconds)
    used = {}
    for pid, (name, seconds) in after.processes.items():
        if pids is not None and pid not in pids:
            continue
        earlier = before.processes.get(pid)
        known = earlier[1] if earlier is not None and earlier[0] == name else 0.0
        used[pid] = max(0.0, seconds - known) / elapsed
    return used


def others_cpu_cores(before: HostCounters, after: HostCounters, own_pids: Collection[int]) -> float | None:
    """Cores that everything outside our own processes used; null where the host does not tell."""
    if before.busy_seconds is None or after.busy_seconds is None:
        return None
    elapsed = max(1e-9, after.monotonic_seconds - before.monotonic_seconds)
    own = sum(process_cores(before, after, own_pids).values())
    return max(0.0, (after.busy_seconds - before.busy_seconds) / elapsed - own)


def busiest_others(
    before: HostCounters, after: HostCounters, own_pids: Collection[int], least_cores: float = 0.03
) -> list[Neighbour]:
    """Processes that are not ours and used at least so many cores, the busiest first."""
    used = process_cores(before, after)
    neighbours = [
        Neighbour(pid, after.processes[pid][0], cores)
        for pid, cores in used.items()
        if pid not in own_pids and cores >= least_cores
    ]
    return sorted(neighbours, key=lambda neighbour: -neighbour.cores)


def probe() -> int:
    """Nanoseconds of a fixed loop of the interpreter: a gauge that no runtime's threads disturb."""
    begun = time.perf_counter_ns()
    total = 0
    for number in range(PROBE_LOOPS):
        total += number
    return time.perf_counter_ns() - begun


def probe_spread(nanoseconds: Sequence[int]) -> float | None:
    """Robust relative spread, 1.4826 MAD / median; null below 5 values."""
    if len(nanoseconds) < 5:
        return None
    middle = statistics.median(nanoseconds)
    deviation = statistics.median(abs(value - middle) for value in nanoseconds)
    return 1.4826 * deviation / middle
