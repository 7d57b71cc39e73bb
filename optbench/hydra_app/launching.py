"""Points of a sweep in processes that a launcher starts, here or on other machines.

A launcher knows nothing of our points: one that loses a worker raises, and all that it still had to do is
lost with it. `Guarded` stands before it, tells its processes what they cannot know, and starts again what a
lost worker took along, so that every point ends as a row.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, flag_override, open_dict

from optbench.config import Objective
from optbench.delivery.upload import fetch_points
from optbench.errors import ConfigError, ResultError
from optbench.hydra_app.invocation import Invocation
from optbench.hydra_app.launchers import LostJobError, every_job_awaited, release
from optbench.hydra_app.typed import leave, to_config
from optbench.locations import HYDRA_DIRECTORY
from optbench.processes.termination import terminable
from optbench.processes.this_process import niceness, set_niceness
from optbench.records import RunResult, read_result
from optbench.search.objectives import WORST, objective
from optbench.stages.draft import Draft
from optbench.verbosity import Verbosity, set_verbosity, verbosity

STOP_FILE = ".interrupted"
"""In a sweep's directory after Ctrl-C: points that have not begun do not begin."""
STARTS = 2
"""How often a point is started whose process is lost; the second time alone."""

THREAD_COUNTS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
"""joblib and Ray set these in their processes; runtimes are to find what the user's shell holds."""

QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
"""No reports to Ray's makers, and no copy of the working directory to every machine."""

Job = tuple[int, list[str]]
"""Number and overrides of a point."""


@dataclass(frozen=True)
class RemotePoint:
    """A TaskFunction for a launcher's process: our task, with what that process cannot know."""

    task: TaskFunction
    command: list[str]
    directory: str
    axes: frozenset[str]
    verbosity: Verbosity
    stop_file: Path
    thread_counts: dict[str, str]
    niceness: int

    def __call__(self, config: DictConfig) -> Any:
        """The objectives of a point."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal signals all; who started us decides
        sys.argv = list(self.command)
        set_verbosity(self.verbosity)
        set_niceness(self.niceness)  # Ray sets its workers back behind all others, which nobody asked for
        for name in THREAD_COUNTS:
            os.environ.pop(name, None)
        os.environ.update(self.thread_counts)
        Invocation.axes, Invocation.launched = self.axes, True
        with self.where_the_user_is(), terminable(Invocation.end_now):
            return self.interrupted(config) if self.stop_file.exists() else self.task(config)

    @contextlib.contextmanager
    def where_the_user_is(self) -> Iterator[None]:
        """Relative paths of the configuration are meant from there, if there is such a place here."""
        before = Path.cwd()
        if HydraConfig.get().job.chdir is not True and Path(self.directory).is_dir():
            os.chdir(self.directory)
        try:
            yield
        finally:
            os.chdir(before)

    def interrupted(self, config: DictConfig) -> tuple[float, ...]:
        """A row for a point that was not to start any more."""
        checked = to_config(config)
        draft = Draft(checked, Path(HydraConfig.get().runtime.output_dir))
        draft.fail(KeyboardInterrupt())
        draft.finish()
        return tuple(WORST[kind] for kind in checked.objectives)


class Batch:
    """What is left of one launch: blocks of points to start, how often each was, and what came back."""

    def __init__(self, waiting: list[list[Job]]) -> None:
        self.waiting = waiting
        self.done: dict[int, JobReturn] = {}
        self.starts: Counter[int] = Counter()


class Guarded(Launcher):
    """A launcher that ends every point as a row; `inner` is the config of the one that does the work."""

    def __init__(self, inner: DictConfig) -> None:
        self._inner_config = inner

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Set up the launcher behind it, with our task as its processes need it."""
        with writable(config):
            config.hydra.launcher = self._inner_config
        self._config = config
        self._context = hydra_context
        self._name = str(config.hydra.runtime.choices.get("hydra/launcher"))
        point = RemotePoint(
            task=task_function,
            command=list(sys.argv),
            directory=str(Path.cwd()),
            axes=Invocation.axes,
            verbosity=verbosity(),
            stop_file=Path(str(config.hydra.sweep.dir)) / STOP_FILE,
            thread_counts={name: os.environ[name] for name in THREAD_COUNTS if name in os.environ},
            niceness=niceness() or 0,
        )
        self._inner = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=point, config=config
        )

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """A return value for each point, whatever becomes of its process.

        Raises ConfigError if the launcher starts nothing at all, KeyboardInterrupt after Ctrl-C.
        """
        jobs = [(initial_job_idx + place, list(own)) for place, own in enumerate(job_overrides)]
        say(f"{count_of(jobs)} handed to {self._name}; rows appear in {self._config.hydra.sweep.dir}")
        batch = Batch([jobs])
        while batch.waiting:
            block = batch.waiting.pop(0)
            try:
                with every_job_awaited():
                    returned = self._inner.launch([own for _, own in block], block[0][0])
            except Exception as error:
                self._pick_up(batch, block, error)
            else:
                self._keep(batch, block, returned)
            if Invocation.interrupted:
                raise Invocation.interruption()
        return [self._completed(number, batch.done.get(number)) for number, _ in jobs]

    def _keep(self, batch: Batch, block: list[Job], returned: Sequence[JobReturn]) -> None:
        """Take what came back; points whose job alone was lost are started again, alone."""
        lost = [isinstance(one._return_value, LostJobError) for one in returned]
        batch.done.update(
            (number, one) for (number, _), one, gone in zip(block, returned, lost, strict=True) if not gone
        )
        if any(lost):
            first = next(one._return_value for one, gone in zip(returned, lost, strict=True) if gone)
            self._pick_up(batch, [job for job, gone in zip(block, lost, strict=True) if gone], first)

    def _pick_up(self, batch: Batch, block: list[Job], error: Exception) -> None:
        """Keep what a failed launch has finished, and start the rest of it again."""
        if Invocation.interrupted:
            raise Invocation.interruption() from error
        release()
        places = {number: self._directory(number, own) for number, own in block}
        self._fetch()
        for number, place in places.items():
            if (result := finished(place)) is not None:
                batch.done[number] = completed(self._objectives(result))
        left = [job for job in block if job[0] not in batch.done]
        begun = [job for job in left if (places[job[0]] / HYDRA_DIRECTORY).is_dir()]
        batch.starts.update(number for number, _ in begun)
        fresh = [job for job in left if job not in begun]
        if len(fresh) == len(block):
            self._give_up(batch, fresh, error)
            return
        again = [[job] for job in begun if batch.starts[job[0]] < STARTS]
        count = count_of([*(block[0] for block in again), *fresh])
        say(f"{self._name} lost a process ({first_line(error)}); {count} to start again")
        batch.waiting[:0] = [*again, *consecutive(fresh)]

    def _give_up(self, batch: Batch, block: list[Job], error: Exception) -> None:
        """A launcher that starts nothing: wrong from the beginning, or lost later."""
        reason = first_line(error)
        if not batch.done and not batch.starts:
            Invocation.sweeping = False  # nothing has begun: a table would only repeat the grid
            raise ConfigError(
                f"hydra/launcher={self._name} could not start the points: {reason}; "
                "set its options with hydra.launcher.KEY=VALUE, or leave out cluster="
            ) from error
        say(f"{self._name} starts nothing any more ({reason}); {count_of(block)} left out")

    def _directory(self, number: int, overrides: list[str]) -> Path:
        config = self._context.config_loader.load_sweep_config(self._config, overrides)
        with open_dict(config):
            config.hydra.job.num = number
            config.hydra.job.id = str(number)
        before = HydraConfig.instance().cfg
        HydraConfig.instance().set_config(config)  # the directory's name interpolates it
        try:
            return Path(str(config.hydra.sweep.dir)) / str(config.hydra.sweep.subdir)
        finally:
            HydraConfig.instance().cfg = before

    def _fetch(self) -> None:
        url = OmegaConf.select(self._config, "results_url")
        if url is not None:
            fetch_points(Path(str(self._config.hydra.sweep.dir)), str(url))

    def _kinds(self) -> list[Objective]:
        return [Objective[getattr(kind, "name", kind)] for kind in self._config.objectives]

    def _objectives(self, result: RunResult) -> tuple[float, ...]:
        return tuple(objective(kind, result) for kind in self._kinds())

    def _completed(self, number: int, returned: JobReturn | None) -> JobReturn:
        """What the sampler is told: a failure would end Optuna's grid with a traceback."""
        if returned is not None and returned.status is JobStatus.COMPLETED:
            return returned
        if returned is not None:
            say(f"point {number} could not begin: {first_line(returned._return_value)}")
        return completed(tuple(WORST[kind] for kind in self._kinds()))


class LauncherHooks(Callback):
    """Puts `Guarded` before every launcher that starts processes, and brings back what ran elsewhere."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """After the sweep's own checks."""
        if str(config.hydra.launcher.get("_target_")).endswith(".BasicLauncher"):
            return
        if OmegaConf.select(config, "tune") is not None:
            Invocation.sweeping = False
            leave(ConfigError("a search (tune) learns from one point after the other; leave out cluster="))
        Plugins.instance().register(Guarded)
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        directory = Path(str(config.hydra.sweep.dir)).absolute()
        with writable(config):
            config.hydra.sweep.dir = str(directory)
            # The processes compose anew, some of them in another directory.
            config.hydra.overrides.hydra.append(f"hydra.sweep.dir={quoted(str(directory))}")
            config.hydra.launcher = {
                "_target_": f"{__name__}.{Guarded.__name__}",
                "inner": config.hydra.launcher,
            }
        Invocation.stop_file = directory / STOP_FILE
        Invocation.stop_file.unlink(missing_ok=True)
        Invocation.at_end.append(release)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Before the sweep's table is made."""
        url = OmegaConf.select(config, "results_url")
        if Invocation.stop_file is not None and url is not None:
            fetch_points(Path(str(config.hydra.sweep.dir)), str(url))


@contextlib.contextmanager
def writable(config: DictConfig) -> Iterator[None]:
    """Hydra's own part of a config, open for changes."""
    flags = ["readonly", "struct"]
    with flag_override(config, flags, False), flag_override(config.hydra, flags, False):
        yield


def quoted(text: str) -> str:
    """A string in the grammar of overrides, where backslashes count before a quote only."""
    escaped = re.sub(r"(\\*)('|$)", lambda match: 2 * match[1] + (match[2] and "\\'"), text)
    return f"'{escaped}'"


def finished(directory: Path) -> RunResult | None:
    """The result of a run that came to its end, well or not; None where there is none."""
    try:
        result = read_result(directory)
    except ResultError:
        return None
    return result if result.finished_at is not None else None


def completed(values: tuple[float, ...]) -> JobReturn:
    """What a launcher returns for a point that ran."""
    made = JobReturn(status=JobStatus.COMPLETED)
    made.return_value = values
    return made


def consecutive(jobs: Sequence[Job]) -> list[list[Job]]:
    """Runs of consecutive numbers: a launcher is told the first number only."""
    blocks: list[list[Job]] = []
    for job in jobs:
        if blocks and blocks[-1][-1][0] + 1 == job[0]:
            blocks[-1].append(job)
        else:
            blocks.append([job])
    return blocks


def count_of(jobs: Sequence[Job]) -> str:
    """So many points, in words."""
    return f"{len(jobs):,} point{'' if len(jobs) == 1 else 's'}"


def first_line(error: object) -> str:
    """What went wrong, in one line."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0].strip() if lines else type(error).__name__


def say(text: str) -> None:
    """A word on stderr, unless -q."""
    if verbosity() is not Verbosity.quiet:
        sys.stderr.write(f"optbench: {text}\n")
