"""What every tracker keeps of a run, read back from its store: the same names in all, nothing twice."""

import json
import os
import shutil
import struct
from dataclasses import dataclass, field, replace

import pytest

from optbench import records
from optbench.cli import main
from optbench.delivery import publishing
from optbench.delivery.publishing import finish_sweep, publish
from optbench.records import read_result
from optbench.trackers.mlflow import Mlflow
from optbench.trackers.wandb import Wandb
from optbench.tracking.log_entry import metrics_of, params_of, tags_of

pytestmark = pytest.mark.slow

RAW = "samples.parquet"


@dataclass
class Logged:
    """A run as it lies in a store."""

    name: str
    params: dict = field(default_factory=dict)
    metrics: dict = field(default_factory=dict)
    tags: dict = field(default_factory=dict)
    files: set = field(default_factory=set)
    group: str | None = None
    good: bool | None = None


class MlflowStore:
    """A local SQLite store."""

    package = "mlflow"

    def __init__(self, place):
        self.uri = f"sqlite:///{place}/mlflow.db"

    def tracker(self, **changes):
        return Mlflow(**{"tracking_uri": self.uri, **changes})

    def unreachable(self):
        return Mlflow(tracking_uri="http://127.0.0.1:9")

    def runs(self):
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=self.uri)
        known = client.get_experiment_by_name("optbench")
        found = [] if known is None else client.search_runs([known.experiment_id])
        parents = {run.info.run_id: run for run in found if "optbench_sweep" in run.data.tags}
        return [self.logged(client, run, parents) for run in found if run.info.run_id not in parents]

    def parents(self):
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=self.uri)
        known = client.get_experiment_by_name("optbench")
        found = client.search_runs([known.experiment_id], "tags.optbench_sweep LIKE '%'")
        return [(run.info.run_name, run.info.status, self.files(client, run, "")) for run in found]

    def logged(self, client, run, parents):
        parent = run.data.tags.get("mlflow.parentRunId")
        return Logged(
            run.info.run_name,
            run.data.params,
            run.data.metrics,
            run.data.tags,
            self.files(client, run, ""),
            None if parent is None else parents[parent].info.run_name,
            run.info.status == "FINISHED",
        )

    def files(self, client, run, below):
        found = set()
        for item in client.list_artifacts(run.info.run_id, below):
            found |= self.files(client, run, item.path) if item.is_dir else {item.path.lstrip(".")}
        return found


class WandbStore:
    """Offline directories, read with W&B's own messages."""

    package = "wandb"

    def __init__(self, place):
        self.place = place

    def tracker(self, **changes):
        return Wandb(**changes)

    def unreachable(self):
        from optbench.trackers.wandb import Mode

        return Wandb(mode=Mode.online)

    def runs(self):
        return [self.logged(file) for file in sorted(self.place.glob("wandb/offline-run-*/run-*.wandb"))]

    def logged(self, file):
        from wandb.proto.wandb_internal_pb2 import Record

        found = Logged("")
        for data in log_records(file.read_bytes()):
            record = Record()
            record.ParseFromString(data)
            self.take(record, found)
        listed = {
            path.relative_to(file.parent / "files").as_posix() for path in file.parent.glob("files/**/*.*")
        }
        assert found.files <= listed
        return found

    def take(self, record, found):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            found.name = record.run.display_name
            found.group = record.run.run_group.rpartition("-")[0] or None
            values = {item.key: json.loads(item.value_json) for item in record.run.config.update}
            found.params |= {key: value for key, value in values.items() if key != "_wandb"}
        elif kind == "summary":
            found.tags |= {item.key: json.loads(item.value_json) for item in record.summary.update}
        elif kind == "history":
            items = {item.key or ".".join(item.nested_key): item for item in record.history.item}
            found.metrics |= {key: json.loads(item.value_json) for key, item in items.items()}
        elif kind == "files":
            found.files |= {item.path for item in record.files.files}
        elif kind == "exit":
            found.good = record.exit.exit_code == 0


BLOCK_BYTES = 32_768
FULL, FIRST, _, LAST = 1, 2, 3, 4


def log_records(data):
    """The records of a log in LevelDB's format, which W&B writes after seven bytes of its own."""
    place, parts = 7, b""
    while place + 7 <= len(data):
        left = BLOCK_BYTES - place % BLOCK_BYTES
        if left < 7:
            place += left
            continue
        size, kind = struct.unpack("<HB", data[place + 4 : place + 7])
        if kind in (FULL, FIRST):
            parts = b""
        parts += data[place + 7 : place + 7 + size]
        if kind in (FULL, LAST):
            yield parts
        place += 7 + size


STORES = [
    pytest.param(MlflowStore, id="mlflow"),
    pytest.param(WandbStore, id="wandb"),
]


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """An empty store of MLflow: making one takes seconds."""
    mlflow = pytest.importorskip("mlflow", reason="its extra is not installed")
    file = tmp_path_factory.mktemp("database") / "mlflow.db"
    mlflow.MlflowClient(tracking_uri=f"sqlite:///{file}").search_experiments()
    return file


@pytest.fixture(params=STORES)
def store(request, tmp_path, monkeypatch):
    """A store of its own, in an empty directory, with every switch to the network off."""
    pytest.importorskip(request.param.package, reason="its extra is not installed")
    monkeypatch.chdir(tmp_path)
    publishing._in_a_row.clear()
    for name in [name for name in os.environ if name.startswith(("MLFLOW_", "WANDB_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    if request.param is MlflowStore:
        shutil.copy(request.getfixturevalue("database"), tmp_path)
    return request.param(tmp_path)


@pytest.fixture
def run(tmp_path, made_run, write_run):
    """A run directory with everything that may be logged."""
    verdict = records.Verdict("SHIP", [], "It is faster.")
    result = made_run(verdict=verdict, finished_at="2026-01-01T00:05:00+00:00")
    directory = write_run(tmp_path / "runs" / "run", result)
    (directory / "report.html").write_text("<p>page</p>")
    (directory / RAW).write_bytes(b"raw")
    return read_result(directory), directory


def test_a_run_is_kept_with_the_shared_names_and_once(store, run, capsys):
    result, directory = run
    logged = publish(store.tracker(), result, directory)
    assert logged.notes == result.notes
    publish(store.tracker(), logged, directory)
    (found,) = store.runs()
    assert found.name == "onnxruntime dynamic 1x32"
    assert found.params == params_of(result)
    expected = metrics_of(result)
    assert {key: found.metrics[key] for key in expected} == pytest.approx(expected)
    tags = tags_of(result)
    assert {key: found.tags[key] for key in tags} == tags
    assert {name.lstrip(".") for name in found.files} >= {
        "result.json",
        "report.html",
        "hydra/overrides.yaml",
    }
    assert RAW not in found.files
    assert (found.group, found.good) == (None, True)
    (tracked,) = read_result(directory).tracked
    assert tracked.tracker == store.package
    assert "has this run already" in capsys.readouterr().err


def test_points_of_a_sweep_are_together_and_a_failed_one_is_told(store, tmp_path, made_run, write_run):
    sweep = tmp_path / "10-15_sweep"
    failure = records.Failure("WorkerError", "timing", "it died")
    for number, changes in enumerate([{}, {"status": "failed", "failure": failure, "comparisons": {}}]):
        write_run(sweep / str(number), made_run(**changes))
        publish(store.tracker(), read_result(sweep / str(number)), sweep / str(number), sweep)
    (sweep / "results.csv").write_text("name\n")
    finish_sweep(store.tracker(), sweep)
    found = store.runs()
    assert {one.group for one in found} == {"10-15_sweep"}
    assert sorted((one.tags["status"], one.good) for one in found) == [("failed", False), ("ok", True)]
    if store.package == "mlflow":
        assert store.parents() == [("10-15_sweep", "FINISHED", {"results.csv"})]
    assert {path.name for path in sweep.iterdir()} == {"0", "1", "optbench.log", "results.csv"}


@pytest.mark.release
def test_raw_values_and_a_name_of_ones_own_if_asked_and_no_file_if_not(store, run):
    result, directory = run
    publish(store.tracker(log_raw_values=True, run_name="mine"), result, directory)
    (found,) = store.runs()
    assert found.name == "mine"
    assert RAW in found.files


@pytest.mark.release
def test_without_artifacts_no_file_of_the_run_is_kept(store, run):
    publish(store.tracker(log_artifacts=False), *run)
    (found,) = store.runs()
    assert not {"result.json", "report.html", RAW} & found.files


def test_a_store_that_cannot_be_reached_is_a_note(store, run, monkeypatch, capsys):
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    result, directory = run
    noted = publish(replace(store.unreachable(), timeout_seconds=8), result, directory)
    assert noted.tracked == []
    assert noted.notes[-1].startswith(f"tracking={store.package}: this run was not logged: ")
    assert "0" * 40 not in noted.notes[-1]
    assert read_result(directory) == noted
    assert "was not logged" in capsys.readouterr().err


def test_a_store_that_cannot_be_written_is_a_note(store, run, tmp_path, monkeypatch):
    (tmp_path / "mlruns").write_text("a file")
    (tmp_path / "wandb").write_text("a file")
    result, directory = run
    noted = publish(store.tracker(), result, directory)
    assert noted.tracked == []
    assert "was not logged" in noted.notes[-1]
    assert [run for run in store.runs() if run.good] == []


def test_mlflows_store_of_files_is_used_where_mlflow_allows_it(tmp_path, run, monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    result, directory = run
    tracker = Mlflow(tracking_uri="files")
    noted = publish(tracker, result, directory)
    assert "sqlite" in noted.notes[-1]  # MLflow's own advice: files are no longer maintained
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    logged = publish(tracker, noted, directory)
    assert logged.notes == result.notes
    (identity,) = {one.run for one in logged.tracked}
    assert [path.parent.name for path in (tmp_path / "files").rglob("artifacts")] == [identity]


FAKE = [
    "backend=fake",
    "baseline=fake",
    "quant=none",
    "quality=none",
    "measure=quick",
    "measure.cold_start=false",
]
SHORT = [*FAKE, "measure.replicate_seconds=0.1", "measure.warmup_calls=1", "measure.warmup_seconds=0.1"]


def option(store):
    """The tracker on the command line."""
    chosen = [f"tracking={store.package}"]
    return chosen + ([f"tracking.tracking_uri={store.uri}"] if store.package == "mlflow" else [])


@pytest.mark.release
def test_points_of_parallel_processes_share_their_group_and_a_resumed_sweep_logs_none_again(store, tmp_path):
    points = [*SHORT, *option(store), "-m", "batch_size=1,2"]
    launcher = ["hydra/launcher=joblib", "hydra.launcher.backend=multiprocessing", "hydra.launcher.n_jobs=2"]
    launcher.append("hydra.sweeper.n_jobs=2")
    assert main([*points, *launcher, f"hydra.sweep.dir={tmp_path}/first"]) == 0
    found = store.runs()
    assert [one.group for one in found] == ["first", "first"]
    assert {one.params["batch_size"] for one in found} == {"1", "2"}
    if store.package == "mlflow":
        ((name, status, files),) = store.parents()
        assert (name, status) == ("first", "FINISHED")
        assert files >= {"results.csv", "results.json", "report.html"}
    assert main([*points, f"resume={tmp_path}/first", f"hydra.sweep.dir={tmp_path}/second"]) == 0
    assert len(store.runs()) == 2
    first, second = (read_result(tmp_path / place / "0") for place in ("first", "second"))
    assert second.tracked == first.tracked
    assert second.config_hash == first.config_hash


@pytest.mark.release
def test_exit_codes_are_those_of_the_run_whatever_becomes_of_its_log(store, tmp_path):
    (tmp_path / "wandb").write_text("a file")
    (tmp_path / "mlruns").write_text("a file")
    assert main([*SHORT, *option(store), "hydra.run.dir=fine"]) == 0
    assert main([*SHORT, *option(store), "gates.min_speedup=50", "hydra.run.dir=slow"]) in (1, 4)
    for place in ("fine", "slow"):
        assert "was not logged" in read_result(tmp_path / place).notes[-1]
        assert "was not logged" in (tmp_path / place / "report.html").read_text()
