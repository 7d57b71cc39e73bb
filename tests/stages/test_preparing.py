"""Whoever starts optbench behind all other work has its workers stay there, and the result says so."""

import contextlib

import pytest

from optbench.api.choices import chosen
from optbench.components import Priority
from optbench.stages import preparing
from optbench.stages.draft import Draft
from optbench.stages.preparing import Preparing, priority_of


@pytest.fixture
def config(bare_model):
    """A config that needs nothing but the facts of its model."""
    overrides = {"baseline": "fake", "backend": "fake", "quant": "none", "quality": "none"}
    return chosen({**overrides, "model": "pretrained", "model.path": bare_model}, None).checked()


@pytest.mark.parametrize(
    ("nice", "expected"),
    [(0, Priority.raised), (-5, Priority.raised), (None, Priority.raised), (10, Priority.normal)],
)
def test_a_positive_niceness_is_kept(config, monkeypatch, nice, expected):
    monkeypatch.setattr(preparing, "niceness", lambda: nice)
    assert priority_of(config) is expected


@pytest.mark.parametrize(("nice", "notes"), [(0, 0), (10, 1)])
def test_a_result_says_that_the_niceness_was_kept(config, tmp_path, monkeypatch, nice, notes):
    monkeypatch.setattr(preparing, "niceness", lambda: nice)
    draft = Draft(config, tmp_path)
    with contextlib.ExitStack() as stack:
        Preparing(config, draft, stack).spec()
    told = [note for note in draft.result.notes if "niceness 10, so its workers keep it" in note]
    assert len(told) == notes
