"""What single launchers need: a way to wait for every job, and an end to what is left over.

Their packages are extras, so nothing is imported here that the launcher has not imported itself.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from hydra.core.utils import JobReturn, JobStatus


class LostJobError(Exception):
    """A job of a scheduler ended without an answer; the others may still run."""


@contextlib.contextmanager
def every_job_awaited() -> Iterator[None]:
    """Make submitit answer for each job.

    Its launcher asks one job after the other and gives up with the first that is lost, while the others
    still run or wait in the queue: starting those again would make two of each.
    """
    try:
        from submitit import Job
    except ImportError:
        yield
        return
    original = Job.results

    def results(job: Any) -> list[Any]:
        try:
            return list(original(job))
        except Exception as error:
            lost = JobReturn(status=JobStatus.FAILED)
            lost.return_value = LostJobError(str(error))
            return [lost]

    Job.results = results
    try:
        yield
    finally:
        Job.results = original


def release() -> None:
    """End the work that is left over in a Ray cluster, and a cluster that was started here."""
    ray = sys.modules.get("ray")
    if ray is not None and ray.is_initialized():
        ray.shutdown()
