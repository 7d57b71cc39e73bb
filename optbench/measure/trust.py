"""How far the numbers can be believed: signs of trouble, each with its threshold and its remedy."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from optbench.measure.observations import Observations
from optbench.records import Grade, Level, Signal, Trust, write_atomically


@dataclass(frozen=True)
class IdleBaseline:
    """What the machine shows when nothing else runs; the defaults stand in until a doctor has looked.

    Defaults: seen on idle 2-core virtual machines with two threads.
    """

    involuntary_switches_per_second: float = 40.0
    probe_spread: float = 0.035
    psi_some_percent: float = 5.0


@dataclass(frozen=True)
class Rule:
    """When a number is a sign of trouble: above `amber` or `red`, both relative to the idle machine."""

    name: str
    unit: str
    amber: float
    red: float
    value: Callable[[Observations], float | None]
    advice: str
    idle: Callable[[IdleBaseline], float] | None = None
    factor: bool = False

    def bounds(self, idle: IdleBaseline) -> tuple[float, float]:
        """(amber, red) on a machine with this idle baseline."""
        if self.idle is None:
            return self.amber, self.red
        base = self.idle(idle)
        if self.factor:
            return self.amber * base, self.red * base
        return self.amber + base, self.red + base


OTHERS = "CPU used by others"
SWITCHES = "involuntary context switches"
PROBE = "spread of a fixed CPU loop"
PRESSURE = "waiting for a CPU (PSI)"
RULES = (
    Rule(
        OTHERS,
        "cores",
        0.05,
        0.20,
        lambda seen: seen.others_cpu_cores,
        "stop other work",
    ),
    Rule(
        PRESSURE,
        "%",
        5,
        20,
        lambda seen: seen.psi_some_percent,
        "stop other work, or set fewer threads",
        lambda idle: idle.psi_some_percent,
    ),
    Rule(
        "time stolen by the hypervisor",
        "%",
        0.5,
        2,
        lambda seen: seen.steal_percent,
        "use a host of your own, or measure at another hour",
    ),
    Rule(
        SWITCHES,
        "per second",
        2,
        5,
        lambda seen: seen.involuntary_switches_per_second,
        "stop other work, or set fewer threads",
        lambda idle: idle.involuntary_switches_per_second,
        True,
    ),
    Rule(
        PROBE,
        "of its median",
        2,
        4,
        lambda seen: seen.probe_spread,
        "neighbours that cannot be seen from here disturb; measure at another hour or host",
        lambda idle: idle.probe_spread,
        True,
    ),
    Rule(
        "wall over CPU time",
        "ratio",
        1.05,
        1.25,
        lambda seen: seen.wall_over_cpu,
        "the thread waited for a core; stop other work",
    ),
    Rule(
        "drift of the speed-up",
        "relative",
        0.02,
        0.05,
        lambda seen: seen.drift,
        "the machine or a variant changed while it was measured; warm up longer, or let it cool",
    ),
    Rule(
        "spread between replicates",
        "sd of log",
        0.05,
        0.10,
        lambda seen: seen.replicate_sd,
        "pin with taskset, set fewer threads, or measure.wait_policy=passive",
    ),
    Rule(
        "change of the CPU frequency",
        "relative",
        0.03,
        0.10,
        lambda seen: seen.frequency_change,
        "fix the frequency, or switch turbo off",
    ),
    Rule(
        "throttled cgroup periods",
        "periods",
        0,
        0,
        lambda seen: seen.throttled_periods,
        "raise the CPU quota, or set threads to its whole cores",
    ),
    Rule(
        "pages swapped",
        "pages",
        0,
        0,
        lambda seen: seen.swap_pages,
        "free memory, or switch swap off",
    ),
    Rule(
        "resolution of the clock",
        "of a call",
        0.01,
        0.05,
        lambda seen: seen.clock_resolution_share,
        "use a larger batch_size or input_length",
    ),
    Rule(
        "outliers among the calls",
        "share",
        0.02,
        0.10,
        lambda seen: seen.outlier_share,
        "stop other work; look at the timeline in samples.parquet",
    ),
    Rule(
        "time in stalled calls",
        "share",
        0.05,
        0.20,
        lambda seen: seen.stall_share,
        "threads wait actively beside other work: set fewer threads or measure.wait_policy=passive",
    ),
)
GOVERNORS_THAT_HOLD = (None, "performance")


def assess(seen: Observations, idle: IdleBaseline | None = None, quick: bool = False) -> Trust:
    """The grade: poor with any red signal, usable with any amber one, else good."""
    baseline = idle or IdleBaseline()
    signals = [signal_of(rule, seen, baseline) for rule in RULES]
    signals.append(governor_signal(seen.governor))
    levels = {signal.level for signal in signals}
    grade: Grade = "poor" if "red" in levels else "usable" if "amber" in levels else "good"
    reasons = [
        reason_of(signal, level) for level in ("red", "amber") for signal in signals if signal.level == level
    ]
    return Trust("quick look" if quick else grade, signals, reasons)


def signal_of(rule: Rule, seen: Observations, idle: IdleBaseline) -> Signal:
    """One rule held against what was seen."""
    amber, red = rule.bounds(idle)
    value = rule.value(seen)
    level: Level = "green"
    if value is None:
        level = "unknown"
    elif value > red:
        level = "red"
    elif value > amber:
        level = "amber"
    advice = None
    if level in ("amber", "red"):
        advice = rule.advice
        if rule.name in (OTHERS, PRESSURE) and seen.neighbours:
            busiest = seen.neighbours[0]
            advice = f"stop process {busiest.pid} ({busiest.name}), which used {busiest.cores:.2f} cores"
    return Signal(rule.name, level, None if value is None else float(value), amber, red, rule.unit, advice)


def governor_signal(governor: str | None) -> Signal:
    """A governor that changes the frequency by itself is worth a word."""
    if governor is None:
        return Signal("frequency governor", "unknown", None, None, None, "name")
    if governor in GOVERNORS_THAT_HOLD:
        return Signal("frequency governor", "green", None, None, None, "name")
    advice = f"set the governor to performance, it is {governor}"
    return Signal("frequency governor", "amber", None, None, None, "name", advice)


def reason_of(signal: Signal, level: str) -> str:
    """A signal as a sentence for people."""
    if signal.value is None:
        return f"{signal.name}: {signal.advice}"
    bound = signal.red if level == "red" else signal.amber
    return f"{signal.name} {signal.value:.3g} {signal.unit} (over {bound:.3g}): {signal.advice}"


def idle_baseline(trust: Trust) -> IdleBaseline:
    """The idle baseline that an undisturbed run shows; the defaults where it does not tell."""
    values = {signal.name: signal.value for signal in trust.signals}
    default = IdleBaseline()

    def of(name: str, otherwise: float) -> float:
        value = values.get(name)
        return otherwise if value is None else max(value, otherwise / 2)

    return IdleBaseline(
        of(SWITCHES, default.involuntary_switches_per_second),
        of(PROBE, default.probe_spread),
        of(PRESSURE, default.psi_some_percent),
    )


def idle_file(directory: Path, machine: str, threads: int) -> Path:
    """Where the idle baseline of a machine and thread count is kept."""
    return directory / "idle" / machine / f"{threads}.json"


def save_idle(directory: Path, machine: str, threads: int, idle: IdleBaseline) -> None:
    """Keep what an idle machine showed."""
    file = idle_file(directory, machine, threads)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, json.dumps(asdict(idle), indent=2).encode())


def load_idle(directory: Path, machine: str, threads: int) -> IdleBaseline | None:
    """What was kept for this machine and thread count; null without, or if it is damaged."""
    try:
        kept = json.loads(idle_file(directory, machine, threads).read_text(encoding="utf-8"))
        found = IdleBaseline(**{name: float(value) for name, value in kept.items()})
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    return found if all(math.isfinite(value) for value in asdict(found).values()) else None
