"""Results with odd values that can still be read: no report may fail on one, and none may hide it."""

import io
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optbench import records
from optbench.delivery.report import page_of, text_of
from optbench.errors import ResultError
from optbench.records import from_json, to_json
from optbench.reports.comparison import as_text, show, to_junit
from optbench.reports.console import console
from optbench.reports.terminal import Terminal
from optbench.results import history
from optbench.results.aggregate import aggregate
from optbench.results.compare import compare
from optbench.results.tables import write_all

NUMBERS = [0, 0.0, -0.0, 1, -1, 0.5, -0.25, 1e-320, 1e-300, 1e300, -1e308, 1.7e308, 2**53, 2**63, -(2**70)]
WORDS = [
    "",
    " ",
    "a" * 3000,
    "<script>alert(1)</script>",
    "|`*_[x](y)",
    "\u202eabc",
    "\x00\x1b[31m",
    "no\nlines",
    "é",
]


def with_everything(result):
    """A result with what only servers and generated tokens have, too."""
    points = [records.Percentile(q, 0.01 + q, records.Interval(q, 1 + q)) for q in (0.5, 0.95)]
    phase = records.PhaseLatency(10, 0.01, 0.001, 0.005, 0.02, points)
    spoken = records.Generation(8, phase, phase, records.Estimate(100.0, records.Interval(90.0, 110.0)))
    load = [records.LoadPoint(50.0, 3, points, "sustainable", 0.5)]
    capacity = records.Capacity(
        records.Estimate(60.0, records.Interval(50.0, 70.0)), 0.01, [55.0, None], load
    )
    sides = {"baseline": capacity, "candidate": capacity}
    ratio = records.Estimate(1.2, records.Interval(1.1, 1.3))
    server = records.ServerResult(
        0.05, None, 0.95, "poisson", 300, 3, "precision", 20.0, sides, ratio, 0.001, 0.1
    )
    variants = {
        name: records.replace(variant, generation=spoken) for name, variant in result.variants.items()
    }
    return records.replace(result, variants=variants, server=server)


def places_in(value, path=()):
    """Every path inside a JSON value."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places_in(item, (*path, key))


def replaced(value, path, change):
    """A copy of a JSON value in which `change` was applied to what lies at `path`."""
    if not path:
        return change(value)
    copied = dict(value) if isinstance(value, dict) else list(value)
    copied[path[0]] = replaced(value[path[0]], path[1:], change)
    return copied


def without(value, draw):
    """A container without one of its items."""
    if not value:
        return value
    if isinstance(value, list):
        left_out = draw(st.integers(0, len(value) - 1))
        return [item for index, item in enumerate(value) if index != left_out]
    key = draw(st.sampled_from(sorted(value)))
    return {name: item for name, item in value.items() if name != key}


def another(value, draw):
    """A value of the same kind, or null: most of what comes of it can still be read."""
    if isinstance(value, bool):
        return draw(st.sampled_from([not value, None]))
    if isinstance(value, int):
        return draw(st.sampled_from([*(n for n in NUMBERS if isinstance(n, int)), None]))
    if isinstance(value, float):
        return draw(st.sampled_from([*NUMBERS, None]))
    if isinstance(value, str):
        return draw(st.sampled_from([*WORDS, None]))
    if value is None:
        return draw(st.sampled_from([0, -1.5, "word", [], {}]))
    return draw(
        st.sampled_from(
            [without(value, draw), type(value)(), [*value, *value] if isinstance(value, list) else {}]
        )
    )


@st.composite
def damaged(draw, whole):
    """`whole` with one to five places changed."""
    for _ in range(draw(st.integers(1, 5))):
        path = draw(st.sampled_from([place for place in places_in(whole) if place]))
        whole = replaced(whole, path, lambda value: another(value, draw))
    return whole


def quiet(count):
    return settings(
        max_examples=count,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
        derandomize=True,
    )


def reported(directory):
    """Every report of a run directory and of what lies below it."""
    page = page_of(directory)
    page.html()
    page.markdown()
    text_of(page)
    page.plots(directory / "plots", png=False)
    Terminal().finish(page.result, directory / "result.json")
    sweep = page_of(directory.parent)
    sweep.html()
    sweep.markdown()
    text_of(sweep)
    write_all(sweep.found, directory.parent / "out")


def compared(one, other):
    """Every form of a comparison."""
    found = compare(one, other, allow_different=True)
    as_text(found)
    to_json(found)
    to_junit(found)
    show(found, console(io.StringIO()))


def check(directory, content, whole):
    """All that reads a result, with one that is damaged."""
    run = directory / "sweep" / "0"
    run.mkdir(parents=True, exist_ok=True)
    (run / "result.json").write_text(json.dumps(content))
    other = directory / "other"
    other.mkdir(exist_ok=True)
    (other / "result.json").write_text(json.dumps(whole))
    found = aggregate([directory / "sweep"])
    assert len(found.points) >= 1
    history.add([directory / "sweep"], directory / "history.sqlite")
    try:
        from_json(json.dumps(content).encode())
    except ResultError:
        return
    reported(run)
    for pair in ((run, other), (other, run), (run, run)):
        try:
            compared(*pair)
        except ResultError:
            continue


@quiet(60)
@given(data=st.data())
def test_no_report_fails_on_a_result_that_can_be_read(data, tmp_path, full_run, capsys):
    whole = json.loads(to_json(with_everything(full_run())))
    check(tmp_path, data.draw(damaged(whole)), whole)


@pytest.mark.release
@pytest.mark.slow
@quiet(3000)
@given(data=st.data())
def test_no_report_fails_on_any_of_thousands_of_results(data, tmp_path, full_run, capsys):
    whole = json.loads(to_json(with_everything(full_run())))
    check(tmp_path, data.draw(damaged(whole)), whole)
