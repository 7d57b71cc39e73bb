"""The timed part of a run: blocks of both variants in turn, what they show, and how far to trust it."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Protocol

from optbench.config import RunConfig
from optbench.judgement import noise
from optbench.locations import cache_directory
from optbench.measure import phases, statistics
from optbench.measure.counters import probe
from optbench.measure.observations import observe
from optbench.measure.procedure import Measured, Procedure, Progress, measure_pair
from optbench.measure.schedule import BlockPlan, WarmupRule
from optbench.measure.trust import assess, idle_baseline, load_idle, save_idle
from optbench.processes.crew import Crew
from optbench.records import Trust, replace
from optbench.stages import assemble
from optbench.stages.draft import Draft
from optbench.stages.storage import write_samples
from optbench.stages.watch import Watcher


class ShowsProgress(Protocol):
    """Where the timing says how far it has come."""

    def progress(self, progress: Progress) -> None:
        """Show it."""


class Timing:
    """Times both variants of a run, and fills its draft."""

    def __init__(self, config: RunConfig, draft: Draft, display: ShowsProgress) -> None:
        self.config = config
        self.draft = draft
        self.display = display
        self.watcher = Watcher()

    def time(self, crew: Crew) -> None:
        """Blocks in turn; whatever was timed is kept, also when a worker dies.

        The caller holds the machine.
        """
        measured = Measured()
        try:
            measure_pair(
                crew.timed,
                tuple(self.config.variants),
                self.procedure(),
                measured,
                probe=probe,
                on_progress=self.display.progress,
                watch=self.watcher,
            )
        finally:
            if measured.samples.blocks:
                try:
                    self.report(crew, measured)
                finally:  # last: on a full disk the answer needs less room than the raw values
                    write_samples(self.draft.directory, measured.samples)

    def procedure(self) -> Procedure:
        """The measuring procedure as configured."""
        measure = self.config.measure
        return Procedure(
            replicates=measure.replicates,
            max_replicates=measure.max_replicates,
            precision=measure.precision,
            budget_seconds=measure.budget_seconds,
            duration_seconds=measure.duration_seconds,
            warmup=warmup_rule(self.config),
            plan=BlockPlan(measure.replicate_seconds, measure.block_seconds),
            seed=self.config.seed,
        )

    def report(self, crew: Crew, measured: Measured) -> None:
        """Latencies, throughputs and the speed-up, from what was timed."""
        draft, samples = self.draft, measured.samples
        new_tokens = self.config.task.generated_tokens
        for name in samples.variants():
            throughput = statistics.throughput(samples, name, self.config.batch_size)
            draft.variant(
                name,
                latency=statistics.latency(samples, name),
                throughput=throughput,
                generation=phases.generation(samples, name, throughput.samples_per_second, new_tokens),
                end_to_end=phases.end_to_end(samples, name),
            )
        refused = [
            f"workers of the {name} were started anew, not forked: {reason}"
            for name, reason in crew.fallbacks.items()
        ]
        draft.update(
            timing=assemble.timing_record(self.config, measured, crew.start),
            notes=[*draft.result.notes, *refused],
        )
        if set(samples.variants()) == set(self.config.variants):
            compared = assemble.comparison(measured, draft.result.variants)
            trust = self.trust(measured, compared.replicate_log_ratios)
            draft.update(comparisons={"candidate": compared}, trust=trust)

    def trust(self, measured: Measured, thetas: list[float]) -> Trust:
        """The grade of the timing, held against what this machine shows when it is idle."""
        environment = self.draft.result.environment
        threads = self.threads_at_once()
        seen = observe(
            measured.samples,
            thetas,
            self.watcher.replicates,
            governor=environment["frequency"].get("governor"),
            clock_resolution_seconds=environment["clock_resolution_seconds"],
            threads=threads,
        )
        idle = load_idle(cache_directory(), environment["machine"], threads)
        return assess(seen, idle, quick=len(thetas) < 2)

    def threads_at_once(self) -> int:
        """Most threads that compute at the same time."""
        each = max(variant.threads for variant in self.draft.result.variants.values())
        return each * self.config.measure.processes

    def hold_against_noise(self) -> None:
        """Keep the noise floor of an A/A run, or find the one that an earlier run left."""
        draft, directory = self.draft, cache_directory()
        compared = draft.result.comparison
        if compared is None:
            return
        if noise.is_self_comparison(draft.result):
            floor = noise.floor_of(draft.result)
            if floor is not None and self.is_undisturbed():
                with contextlib.suppress(OSError):
                    noise.store(directory, draft.result, floor)
                    self.keep_idle(directory)
        else:
            floor = noise.lookup(directory, draft.result)
        if floor is not None:
            found = replace(compared, noise_floor=floor.relative_difference)
            draft.update(comparisons={"candidate": found})

    def is_undisturbed(self) -> bool:
        """Whether this run shows the machine as it is when nothing else runs."""
        trust = self.draft.result.trust
        return trust is not None and trust.grade not in ("poor", "quick look")

    def keep_idle(self, directory: Path) -> None:
        """Keep what this machine shows when idle."""
        trust, environment = self.draft.result.trust, self.draft.result.environment
        if trust is not None:
            save_idle(directory, environment["machine"], self.threads_at_once(), idle_baseline(trust))


def warmup_rule(config: RunConfig) -> WarmupRule:
    """When a worker is warm, as configured."""
    return WarmupRule(min_calls=config.measure.warmup_calls, max_seconds=config.measure.warmup_seconds)
