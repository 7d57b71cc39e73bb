"""The growing result: saved at every stage, honest about how it ended."""

import errno
import json
import logging
import os
import tempfile
from datetime import datetime, timezone
from pathlib import Path

import pytest
from configs import run_config

from optbench.backends.fake import Fake
from optbench.backends.onnxruntime import OnnxRuntime
from optbench.config import MeasureConfig, RunLimits
from optbench.errors import ConfigError, DataError, Unsupported, WorkerError
from optbench.processes.termination import Terminated
from optbench.quantizations.dynamic import DynamicQuantization
from optbench.quantizations.none import NoQuantization
from optbench.records import VariantResult, read_result
from optbench.stages import draft as draft_module
from optbench.stages.draft import Draft, config_hash, hash_of, now, plain_config, refused


def config(**changes):
    return run_config(**{"backend": OnnxRuntime(), "quantization": DynamicQuantization(), **changes})


@pytest.fixture
def draft(tmp_path):
    return Draft(config(), tmp_path)


def test_a_draft_counts_as_interrupted_until_it_is_finished(draft, tmp_path):
    draft.save()
    result = read_result(tmp_path)
    assert result.status == "failed"
    assert (result.failure.kind, result.failure.stage) == ("interrupted", "configuration")
    assert "has not come to its end" in result.failure.message
    assert result.finished_at is None
    assert result.environment["versions"]["numpy"]


def test_a_result_names_the_stage_that_runs_before_it_is_over(draft, tmp_path):
    draft.begin("timing")
    failure = read_result(tmp_path).failure
    assert (failure.kind, failure.stage) == ("interrupted", "timing")
    assert "it still runs, or was killed, in its stage 'timing'" in failure.message


def test_a_finished_run_has_no_failure_and_a_time_of_its_end(draft, tmp_path):
    draft.update(status="ok")
    draft.finish()
    result = read_result(tmp_path)
    assert (result.status, result.failure) == ("ok", None)
    begun, ended = (datetime.fromisoformat(text) for text in (result.started_at, result.finished_at))
    assert begun <= ended
    assert ended.utcoffset() == timezone.utc.utcoffset(None)


@pytest.mark.parametrize(
    ("error", "status", "kind", "message"),
    [
        (DataError("no rows"), "failed", "DataError", "no rows"),
        (ConfigError("one", "two"), "failed", "ConfigError", "one\ntwo"),
        (Unsupported("no graph"), "skipped", "Unsupported", "no graph"),
        (KeyboardInterrupt(), "failed", "interrupted", "interrupted from the keyboard"),
        (Terminated(), "failed", "interrupted", "terminated (SIGTERM)"),
    ],
)
def test_an_error_is_noted_with_its_kind_and_stage(draft, tmp_path, error, status, kind, message):
    draft.stage = "timing"
    draft.fail(error)
    draft.finish()
    result = read_result(tmp_path)
    assert result.status == status
    assert (result.failure.kind, result.failure.stage) == (kind, "timing")
    assert (result.failure.message, result.failure.details) == (message, None)
    assert result.finished_at is not None


def test_the_details_of_a_workers_error_are_kept_and_logged(draft, caplog):
    with caplog.at_level(logging.ERROR):
        draft.fail(WorkerError("load failed", "Traceback: line 1"))
    assert draft.result.failure.details == "Traceback: line 1"
    assert "load failed\nTraceback: line 1" in caplog.text


def test_an_error_keeps_what_is_known_already(draft):
    draft.update(variants={"baseline": VariantResult("fake", "none", "default", 2)}, notes=["a note"])
    draft.fail(DataError("no rows"))
    assert draft.result.variants["baseline"].threads == 2
    assert draft.result.notes == ["a note"]


def test_one_variant_can_be_changed_and_the_other_stays(draft):
    variants = {name: VariantResult("fake", "none", "default", 2) for name in ("baseline", "candidate")}
    draft.update(variants=variants)
    draft.variant("candidate", threads=1, backend="onnxruntime")
    assert draft.result.variants["baseline"] == variants["baseline"]
    assert draft.result.variants["candidate"] == VariantResult("onnxruntime", "none", "default", 1)
    assert list(draft.result.variants) == ["baseline", "candidate"]


def test_a_disk_that_refuses_is_named(draft):
    draft.directory = draft.directory / "gone"
    with pytest.raises(WorkerError, match=r"gone/result\.json cannot be written"):
        draft.save()


def test_a_result_that_its_directory_does_not_take_lies_elsewhere(draft, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    draft.directory = draft.directory / "gone"
    with pytest.raises(WorkerError, match=r"No such file or directory$"):
        draft.finish()
    draft.update(status="ok", variants={"baseline": VariantResult("fake", "none", "default", 2)})
    with pytest.raises(WorkerError, match=r"; what was measured lies in .*result\.json$") as caught:
        draft.finish()
    kept = Path(str(caught.value).rpartition(" lies in ")[2])
    assert read_result(kept).variants == draft.result.variants
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(WorkerError, match=r"No such file or directory$"):
        draft.finish()


def test_a_full_disk_is_told_with_what_to_do():
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert "free space there, or write elsewhere with hydra.run.dir=DIR" in refused("out", full)
    assert refused("out", OSError("odd")) == "out cannot be written or read: odd"


def test_limits_do_not_tell_points_apart_and_everything_else_does():
    plain = config_hash(config())
    assert config_hash(config(run=RunLimits(timeout_seconds=5.0))) == plain
    assert config_hash(config(measure=MeasureConfig(timeout_seconds=5.0))) == plain
    assert config_hash(config(resume=".", batch_sizes=[1])) == plain
    assert config_hash(config(measure=MeasureConfig(budget_seconds=5.0))) != plain


def test_the_config_is_kept_as_resolved_with_the_names_of_its_parts(draft):
    kept = draft.result.config
    assert kept["batch_size"] == 1
    assert kept["quantization"]["weight_type"] == "auto"
    assert kept["measure"]["start"] == "fork"
    assert kept["chosen"] == {
        "baseline": {"backend": "fake", "quantization": "none"},
        "candidate": {"backend": "onnxruntime", "quantization": "dynamic"},
        "task": "text-classification",
        "model_class": "AutoModelForSequenceClassification",
    }
    assert json.loads(json.dumps(kept)) == kept


def test_runs_of_the_same_config_share_their_hash_and_others_do_not(tmp_path):
    def hashed(**changes):
        return Draft(config(**changes), tmp_path).result.config_hash

    assert hashed() == hashed()
    assert hashed() != hashed(batch_size=2)
    assert hashed() != hashed(quantization=DynamicQuantization(per_channel=False))
    assert hashed() != hashed(backend=Fake(), quantization=NoQuantization())


def test_the_lists_of_a_sweep_do_not_enter_the_hash_of_its_points(tmp_path):
    plain = Draft(config(), tmp_path).result
    point = Draft(config(batch_sizes=[1, 8], input_lengths=[16]), tmp_path).result
    assert point.config["batch_sizes"] == [1, 8]
    assert point.config_hash == plain.config_hash
    assert Draft(config(resume="earlier"), tmp_path).result.config_hash == plain.config_hash
    assert Draft(config(results_url="memory://x"), tmp_path).result.config_hash == plain.config_hash


def test_the_order_of_keys_does_not_enter_the_hash():
    assert hash_of({"a": 1, "b": 2}) == hash_of({"b": 2, "a": 1}) != hash_of({"a": 1, "b": 3})


def test_a_config_that_is_no_mapping_is_a_programming_error(monkeypatch):
    monkeypatch.setattr(draft_module.OmegaConf, "to_container", lambda *args, **options: [])
    with pytest.raises(TypeError, match="a run config is a mapping"):
        plain_config(config())


def test_times_are_in_utc_with_seconds():
    assert datetime.strptime(now(), "%Y-%m-%dT%H:%M:%S%z").utcoffset().total_seconds() == 0
