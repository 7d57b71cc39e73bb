"""Run directories at a URL: copied whole, read in part, and named by the URL."""

import uuid
from pathlib import Path

import fsspec
import pytest

from optbench.cli import main
from optbench.errors import ResultError
from optbench.records import read_result, to_json, write_atomically
from optbench.records.aggregate import PLAN_FILE, SweepPlan
from optbench.results.aggregate import aggregate
from optbench.results.compare import compare
from optbench.results.remote import (
    copy_in,
    copy_out,
    everything,
    fetched,
    for_comparison,
    for_page,
    for_tables,
    is_url,
    joined,
    place_of,
    relative_names,
    renamed,
    url_problems,
)


@pytest.fixture
def url():
    """A place in this process's memory that no other test knows."""
    place = f"memory://{uuid.uuid4().hex}"
    yield place
    fsspec.filesystem("memory").rm(place, recursive=True)


@pytest.fixture
def sweep(tmp_path, made_run, write_run):
    """Two points, and a third that was planned."""
    directory = tmp_path / "outputs" / "2026-11-24" / "sweep"
    for number, batch in enumerate((1, 8)):
        write_run(directory / str(number), made_run(batch=batch), [f"batch_size={batch}", "seed=0"])
        (directory / str(number) / "samples.parquet").write_text("raw")
        (directory / str(number) / ".work").mkdir()
        (directory / str(number) / ".work" / "rows.npz").write_text("mine")
    write_atomically(
        directory / PLAN_FILE, to_json(SweepPlan({"batch_size": ["1", "8", "16"], "seed": ["0"]}))
    )
    return directory


@pytest.fixture
def published(sweep, url):
    """The URL of that sweep."""
    place = joined(url, place_of(sweep))
    for directory in (sweep / "0", sweep / "1"):
        copy_out(directory, joined(url, place_of(directory, sweep)))
    copy_out(sweep, place)
    return place


def names_at(url):
    system, root = fsspec.core.url_to_fs(url)
    return sorted(path[len(root) + 1 :] for path in system.find(root))


def test_a_run_is_copied_whole_and_nothing_that_is_hidden(published):
    assert names_at(published) == [
        "0/.hydra/overrides.yaml",
        "0/optbench.log",
        "0/result.json",
        "0/samples.parquet",
        "1/.hydra/overrides.yaml",
        "1/optbench.log",
        "1/result.json",
        "1/samples.parquet",
        "sweep.json",
    ]


def test_the_result_is_copied_last(sweep, monkeypatch):
    copied = []
    memory = fsspec.filesystem("memory")
    monkeypatch.setattr(type(memory), "put_file", lambda self, file, target, **_: copied.append(target))
    copy_out(sweep / "0", "memory://x")
    assert Path(copied[-1]).name == "result.json"
    assert len(copied) == 4


def test_a_table_made_from_a_url_is_that_of_the_directory_named_by_the_url(sweep, published):
    here = aggregate([sweep])
    with fetched([published]) as places:
        found = renamed(aggregate([place.path for place in places]), places)
        assert not list(places[0].path.rglob("*.parquet"))
        copy = places[0].path
    assert not copy.exists()
    assert found.counts == here.counts == {"ok": 2, "missing": 1}
    assert found.axes == here.axes
    assert [point.name for point in found.points] == [point.name for point in here.points]
    assert found.root == published
    assert {point.directory for point in found.points} == {published, f"{published}/0", f"{published}/1"}


def test_of_several_places_points_are_named_by_their_urls(sweep, published):
    with fetched([published, str(sweep)]) as places:
        found = renamed(aggregate([place.path for place in places]), places)
    assert found.counts == {"ok": 4, "missing": 2}
    assert f"{published}/0" in {point.name for point in found.points}
    assert any(point.name.endswith("/sweep/0") and not is_url(point.name) for point in found.points)


def test_a_run_can_be_named_by_its_result(published):
    with fetched([f"{published}/0/result.json"]) as places:
        assert read_result(places[0].path).status == "ok"


def test_directories_are_left_where_they_are(sweep):
    with fetched([str(sweep)]) as places:
        assert [(place.path, place.is_copy) for place in places] == [(sweep, False)]
        found = aggregate([sweep])
        assert renamed(found, places) is found


def test_two_sweeps_at_urls_are_compared_and_named_by_them(published):
    with fetched([published, published]) as (a, b):
        found = compare(a.path, b.path, names=(a.named, b.named))
    assert (found.a, found.b) == (published, published)
    assert {point.a for point in found.points if point.status == "compared"} == {
        f"{published}/0",
        f"{published}/1",
    }


def test_an_error_names_the_url_and_not_the_copy(url, made_run, write_run, tmp_path):
    write_run(tmp_path / "run", made_run())
    copy_out(tmp_path / "run", url)
    with pytest.raises(ResultError, match=f"^{url} is bad$"), fetched([url]) as places:
        raise ResultError(f"{places[0].path} is bad")


@pytest.mark.parametrize("command", ["aggregate", "report", "compare"])
def test_a_url_with_nothing_below_it_is_an_error_of_one_line(command, capfd, tmp_path):
    arguments = [command, "memory://nothing-at-all"]
    arguments += {"report": ["--output", str(tmp_path / "x.html")], "compare": [str(tmp_path)]}.get(
        command, []
    )
    assert main(arguments) == 2
    assert capfd.readouterr().err == "optbench: memory://nothing-at-all cannot be read: there is nothing\n"


def test_the_commands_take_urls(published, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["aggregate", published]) == 0
    shown = capfd.readouterr()
    assert "3 points: 2 ok" in shown.out
    assert "--output" in shown.err
    assert main(["aggregate", published, "--output", "all"]) == 0
    assert (tmp_path / "all" / "results.csv").is_file()
    assert main(["history", "add", published]) == 0
    assert "2 added" in capfd.readouterr().err
    assert main(["compare", f"{published}/0", f"{published}/0"]) == 0
    assert main(["report", f"{published}/0", "--format", "markdown"]) == 0
    assert main(["report", published, "--output", "page.html"]) == 0
    page = (tmp_path / "page.html").read_text()
    assert "optbench-" not in page
    assert main(["report", published]) == 2
    assert f"since {published} is a URL" in capfd.readouterr().err


def test_only_what_is_lacking_is_brought(sweep, published, tmp_path):
    target = tmp_path / "here"
    (target / "0").mkdir(parents=True)
    (target / "0" / "result.json").write_text("mine")
    assert copy_in(published, target, everything, lacking=True) == 8
    assert (target / "0" / "result.json").read_text() == "mine"
    assert (target / "1" / "samples.parquet").read_text() == "raw"


def test_no_name_at_a_url_leads_out_of_the_copy():
    assert relative_names(["/a/b/c", "/a/../x", "/a/b/../../x", "/other"], "/a") == ["b/c"]
    assert relative_names(["/x"], "/") == ["x"]


def test_what_is_read_depends_on_the_reader():
    files = [
        "result.json",
        "samples.parquet",
        "0/result.json",
        "0/samples.parquet",
        "0/.hydra/overrides.yaml",
        "0/predictions.parquet",
    ]
    assert [name for name in files if for_tables(name)] == [files[0], files[2], files[4]]
    assert [name for name in files if for_comparison(name)] == [files[0], files[2], files[4], files[5]]
    assert [name for name in files if for_page(name)] == [files[0], files[1], files[2], files[4]]


def test_the_place_below_a_url_is_that_below_outputs_or_the_name(tmp_path):
    assert place_of(Path("outputs/2026-11-24/10-15_sweep/3")) == "2026-11-24/10-15_sweep/3"
    assert place_of(Path("/data/now/3"), Path("/data/now")) == "now/3"
    assert place_of(Path("/data/now")) == "now"
    assert joined("s3://bucket/", "now/3") == "s3://bucket/now/3"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("runs", "must be a URL of fsspec"),
        ("sftp://me:secret@host/runs", "must not hold a password"),
        ("nosuch://x", "cannot be used: Protocol not known: nosuch"),
        ("gs://bucket/runs", "gcsfs"),
    ],
)
def test_a_url_that_cannot_work_is_refused_with_the_reason(url, told):
    (problem,) = url_problems("results_url", url)
    assert problem.startswith("results_url")
    assert told in problem
    assert "secret" not in problem


def test_urls_that_may_work_have_no_problem(tmp_path):
    assert url_problems("results_url", None) == url_problems("results_url", f"file://{tmp_path}/new") == []
    assert url_problems("results_url", "memory://x") == []
