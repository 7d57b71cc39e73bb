"""Hub names without a hub: an answer at once, with what to do."""

import pytest

from optbench import hub
from optbench.errors import DataError
from optbench.hub import hub_name
from optbench.models.pretrained import PretrainedModel


@pytest.fixture
def no_hub(monkeypatch, tmp_path):
    monkeypatch.setattr(hub, "hub_unreachable", lambda: "the hub cannot be reached (no route)")


@pytest.mark.parametrize("name", ["./x", "/x", "~/x", "a/b/c", "rows.csv", "C:\\x", "m.onnx"])
def test_these_can_only_be_paths(name):
    assert hub.looks_like_path(name)


@pytest.mark.parametrize("name", ["gpt2", "nyu-mll/glue", "bert-base-uncased"])
def test_these_can_be_hub_names(name):
    assert not hub.looks_like_path(name)


def test_a_hub_name_without_a_hub_is_refused_at_once(no_hub):
    with pytest.raises(DataError, match=r"model.path=no-such/model.*cannot be reached.*local path"):
        PretrainedModel(path="no-such/model").resolve()


def test_a_name_that_is_no_hub_name_is_refused():
    with pytest.raises(DataError, match="neither a directory nor a hub name"):
        PretrainedModel(path="a b?").resolve()


def test_offline_mode_is_respected(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert hub.hub_unreachable() == "HF_HUB_OFFLINE is set"


def test_an_unreachable_endpoint_is_found_without_waiting(monkeypatch):
    for name in ("HF_HUB_OFFLINE", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("urllib.request.getproxies", dict)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert "127.0.0.1 cannot be reached" in hub.hub_unreachable()


def test_a_proxy_is_left_to_decide(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("urllib.request.getproxies", lambda: {"https": "http://127.0.0.1:9"})
    assert hub.hub_unreachable() is None


@pytest.mark.parametrize(
    ("directory", "name"),
    [
        ("/hub/models--owner--some--name/snapshots/abc", "owner/some--name"),
        ("/hub/models--bert/snapshots/abc", "bert"),
        ("/hub/datasets--owner--name/snapshots/abc", None),
        ("/models/mine", None),
        ("", None),
    ],
)
def test_a_snapshot_tells_its_hub_name(directory, name):
    assert hub_name(directory) == name
