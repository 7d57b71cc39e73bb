"""MLflow: a run for each result, and one above the points of a sweep."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from optbench.components import register
from optbench.locations import HYDRA_DIRECTORY
from optbench.records import RunResult, TrackedRun
from optbench.tracking.log_entry import LogEntry, entry_of
from optbench.tracking.tracker import (
    SWEEP_FILES,
    Group,
    Tracker,
    milliseconds,
    without_passwords,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient

NAME = "mlflow"
PARAMS_AT_ONCE = 100
"""What MLflow takes in one request, as of tags."""
END_STATES = {"ok": "FINISHED", "failed": "FAILED", "skipped": "KILLED"}
SWEEP_TAG = "optbench_sweep"
PARENT_TAG = "mlflow.parentRunId"


@register("tracking", NAME)
@dataclass
class Mlflow(Tracker):
    """MLflow's tracking store.

    tracking_uri: null takes MLFLOW_TRACKING_URI, else MLflow's own default. experiment: null takes
    MLFLOW_EXPERIMENT_NAME, else 'optbench'; it is made if it is not there.
    """

    tracking_uri: str | None = None
    experiment: str | None = None

    extra: ClassVar[str] = NAME
    packages: ClassVar[tuple[str, ...]] = (NAME,)
    environment: ClassVar[Mapping[str, str]] = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
        "GIT_PYTHON_REFRESH": "quiet",
    }

    def problems(self) -> list[str]:
        """As of all trackers, and passwords that every result would hold."""
        found = super().problems()
        if self.tracking_uri is not None and without_passwords(self.tracking_uri) != self.tracking_uri:
            found.append(
                "tracking_uri must hold no user name or password, which would stand in every result; set "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or the whole of it as "
                "MLFLOW_TRACKING_URI"
            )
        if self.experiment is not None and not self.experiment.strip():
            found.append("experiment must be a name, got an empty one; leave it out for 'optbench'")
        return found

    def store(self) -> str:
        """The address, and the experiment there."""
        return f"{without_passwords(self._uri())}, experiment {self._experiment_name()}"

    def publish(self, result: RunResult, directory: Path, group: Group | None = None) -> TrackedRun:
        """Log params, metrics, tags and files; the run lasts as long as the measurement did."""
        client, entry = self._client(), entry_of(result)
        experiment = self._experiment(client)
        tags = own_tags(result, entry)
        if group is not None:
            tags |= {PARENT_TAG: self._parent(client, experiment, group), "group": group.name}
        begun, ended = (milliseconds(moment) for moment in (result.started_at, result.finished_at))
        run = client.create_run(experiment, start_time=begun, run_name=self.run_name or entry.name)
        with whole_or_gone(client, run.info.run_id) as identity:
            log_facts(client, identity, entry, tags, ended)
            for file in self.files(directory):
                below = HYDRA_DIRECTORY if file.parent.name == HYDRA_DIRECTORY else None
                client.log_artifact(identity, str(file), below)
            client.set_terminated(identity, END_STATES[result.status], ended)
        return TrackedRun(NAME, self.store(), identity, None if group is None else group.name)

    def finish_group(self, group: Group) -> None:
        """Give the run above the points the sweep's own files, and end it."""
        client = self._client()
        parent = self._known_parent(client, self._experiment(client), group)
        if parent is None:
            return
        if self.log_artifacts:
            for name in SWEEP_FILES:
                if (group.directory / name).is_file():
                    client.log_artifact(parent, str(group.directory / name))
        client.set_terminated(parent, "FINISHED")

    def _uri(self) -> str:
        """The address; that of a local file from the root on."""
        import mlflow

        uri = self.tracking_uri or str(mlflow.get_tracking_uri())
        scheme, mark, place = uri.partition(":///")
        if mark and scheme.startswith("sqlite") and not place.startswith(("/", ":memory:")):
            return f"{scheme}:///{Path.cwd() / place}"
        if "://" not in uri and not uri.startswith(("databricks", "uc")):
            return Path(uri).expanduser().absolute().as_uri()
        return uri

    def _experiment_name(self) -> str:
        return self.experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME") or "optbench"

    def _client(self) -> MlflowClient:
        from mlflow import MlflowClient

        return MlflowClient(tracking_uri=self._uri())

    def _experiment(self, client: MlflowClient) -> str:
        """The experiment's identity. MLflow refuses one that was deleted and not purged, by name."""
        from mlflow.exceptions import MlflowException

        name = self._experiment_name()
        if (known := client.get_experiment_by_name(name)) is not None:
            return str(known.experiment_id)
        try:
            return str(client.create_experiment(name))
        except MlflowException:  # another process may have made it just now
            if (known := client.get_experiment_by_name(name)) is None:
                raise
            return str(known.experiment_id)

    def _known_parent(self, client: MlflowClient, experiment: str, group: Group) -> str | None:
        found = client.search_runs([experiment], f"tags.{SWEEP_TAG} = '{group.key}'", max_results=1)
        return str(found[0].info.run_id) if found else None

    def _parent(self, client: MlflowClient, experiment: str, group: Group) -> str:
        """The run above the points of a sweep, made by the first of them."""
        if (known := self._known_parent(client, experiment, group)) is not None:
            return known
        tags = {SWEEP_TAG: group.key, "mlflow.source.name": "optbench"}
        return str(client.create_run(experiment, run_name=group.name, tags=tags).info.run_id)


def own_tags(result: RunResult, entry: LogEntry) -> dict[str, str]:
    """The tags, and those by which MLflow's pages know a run."""
    named = {
        "mlflow.source.name": "optbench",
        "mlflow.note.content": entry.tags.get("sentence"),
        "mlflow.source.git.commit": entry.tags.get("git_commit"),
    }
    return {**entry.tags, **{key: value for key, value in named.items() if value is not None}}


@contextlib.contextmanager
def whole_or_gone(client: MlflowClient, identity: str) -> Iterator[str]:
    """Delete the run if it cannot be logged to its end, so that it may be logged again."""
    try:
        yield identity
    except BaseException:
        with contextlib.suppress(Exception):
            client.delete_run(identity)
        raise


def log_facts(
    client: MlflowClient, identity: str, entry: LogEntry, tags: Mapping[str, str], moment: int | None
) -> None:
    """Params, metrics and tags, in as many requests as it takes."""
    from mlflow.entities import Metric, Param, RunTag

    params: list[Any] = [Param(key, value) for key, value in entry.params.items()]
    marks: list[Any] = [RunTag(key, value) for key, value in tags.items()]
    for place in range(0, max(len(params), len(marks)), PARAMS_AT_ONCE):
        part = slice(place, place + PARAMS_AT_ONCE)
        client.log_batch(identity, params=params[part], tags=marks[part])
    client.log_batch(identity, [Metric(key, value, moment or 0, 0) for key, value in entry.metrics.items()])
