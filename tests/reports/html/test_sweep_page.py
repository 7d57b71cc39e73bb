"""The page of many points: maps with the break-even line, forests, the front, and a table of all."""

import pytest

from optbench import records as r
from optbench.delivery.report import page_of
from optbench.locations import REPORT_FILE
from optbench.reports.html.sweep_charts import MOST_ROWS, break_even, maps, speed_forest, step_of
from optbench.reports.html.tradeoff import front, pareto, quality_change
from optbench.results.aggregate import aggregate


def estimate(value, width=0.05):
    return r.Estimate(value, r.Interval(value - width, value + width))


def point(batch=1, length=8, speedup=2.0, width=0.05, quantization="dynamic", **changes):
    side = r.Side(label=f"onnxruntime {quantization}", backend="onnxruntime", quantization=quantization)
    known = {"directory": "d", "name": "n", "status": "ok", "speedup": estimate(speedup, width)}
    return r.Point(**{**known, "batch_size": batch, "input_length": length, "candidate": side, **changes})


@pytest.fixture
def sweep(tmp_path, made_run, write_run):
    """Two variants at one shape, and one that failed."""
    share = r.NonInferiority(0.015, "not worse")
    for number, (quant, speedup, loss) in enumerate((("none", 1.5, -0.001), ("dynamic", 2.0, -0.012))):
        run = made_run(
            quantization=quant, speedup=speedup, command=["optbench", "-m", "quant=none,dynamic,static"]
        )
        metric = r.replace(run.quality.metrics[0], difference=estimate(loss, 0.004), non_inferiority=share)
        run = r.replace(run, quality=r.replace(run.quality, metrics=[metric]))
        directory = write_run(tmp_path / "sweep" / str(number), run, [f"quant={quant}"])
        (directory / REPORT_FILE).write_text("its own")
    failure = r.Failure("WorkerError", "timing", "it <b>died</b>")
    bare = {"variants": {}, "comparisons": {}, "timing": None, "quality": None, "trust": None}
    run = made_run(quantization="static", status="failed", failure=failure, **bare)
    write_run(tmp_path / "sweep" / "2", run, ["quant=static"])
    return tmp_path / "sweep"


def test_variants_are_told_as_a_forest_a_front_and_a_table(sweep, parse):
    page = parse(page_of(sweep).html())
    assert [e["id"] for e in page.all("h2")] == [
        "variants", "tradeoff", "size", "points", "environment", "reproduce",
    ]  # fmt: skip
    assert {1.5, 2.0, 1.98, -0.012, -0.001} <= page.values()
    (table,) = [e for e in page.all("table") if e.get("class") == "tools"]
    assert "failed" in table["text"]
    assert "it <b>died</b>" in page.all("main")[0]["text"]
    links = [e["href"] for e in page.all("a") if not e["href"].startswith("#")]
    assert links == ["./0/report.html", "./1/report.html"]
    assert "margin -1.50 pt" in page.all("main")[0]["text"]
    sentence = next(e["text"] for e in page.elements if e.get("class") == "sentence")
    assert sentence.startswith("The fastest of 2: onnxruntime dynamic at batch 1 x 32 tokens, 2.00x as fast")


def test_no_name_of_a_directory_becomes_an_address_or_markup(tmp_path, made_run, write_run, parse):
    names = ["javascript:alert(1)", "<img src=x onerror=alert(1)>", 'a"b', "ä?#%2e"]
    for number, name in enumerate(names):
        directory = write_run(tmp_path / "s" / name, made_run(batch=number + 1), [f"batch_size={number + 1}"])
        (directory / REPORT_FILE).write_text("")
    html = page_of(tmp_path / "s").html()
    page = parse(html)
    links = [e["href"] for e in page.all("a") if not e["href"].startswith("#")]
    assert len(links) == 4
    assert all(link.startswith("./") for link in links)
    assert "./javascript%3Aalert%281%29/report.html" in links
    assert not page.all("img")


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }}"]
)
def test_no_text_of_a_point_becomes_markup(text, tmp_path, made_run, write_run, parse):
    bare = {"variants": {}, "comparisons": {}, "timing": None, "quality": None, "trust": None}
    for number, batch in enumerate((1, 8)):
        run = made_run(batch=batch)
        candidate = r.replace(run.variants["candidate"], label=text, backend=text)
        metric = r.replace(run.quality.metrics[0], name=text)
        changed = r.replace(
            run,
            config={**run.config, "model": {"path": text}},
            environment={"machine": text, "cpu_model": text, "versions": {text: text}},
            command=["optbench", "-m", text],
            variants={**run.variants, "candidate": candidate},
            quality=r.replace(run.quality, metrics=[metric]),
            trust=r.Trust("poor", [], [text]),
            verdict=r.Verdict("NOT ASKED", [], text),
        )
        write_run(tmp_path / "s" / str(number), changed, [f"batch_size={batch}", f"model.path={text}{batch}"])
    failed = made_run(status="failed", failure=r.Failure(text, text, text), **bare)
    write_run(tmp_path / "s" / "2", failed, [f"model.path={text}"])
    page = parse(page_of(tmp_path / "s").html())
    assert len(page.all("script")) == len(page.all("style")) == 1
    assert not page.all("img")
    assert not [name for element in page.elements for name in element if name.startswith("on")]
    assert text.strip('"><') in page.all("main")[0]["text"]


def test_the_break_even_line_runs_between_faster_and_slower(parse):
    speeds = {(1, 8): 2.0, (1, 16): 0.8, (4, 8): 1.2, (4, 16): 1.0, (8, 8): 0.5}
    cells = {place: point(*place, speed) for place, speed in speeds.items()}
    assert sorted(break_even(cells, [1, 4, 8], [8, 16])) == [(0, 2, 1, 2), (1, 0, 1, 1), (1, 1, 2, 1)]
    (chart,) = maps(list(cells.values()), "")
    lines = [e for e in chart.svg.iter("line") if e.get("class") == "breakeven"]
    assert len(lines) == 3
    rects = [e for e in chart.svg.iter("rect") if e.get("data-value")]
    assert sorted(float(e.get("data-value")) for e in rects) == sorted(speeds.values())
    hatched = [e for e in chart.svg.iter("rect") if e.get("fill") == "url(#map-0-hatch)"]
    assert len(hatched) == 1
    assert chart.table.rows[2][2].text == "not run"


def test_a_map_needs_both_axes():
    assert maps([point(1, 8), point(4, 8)], "") == []


@pytest.mark.parametrize(
    ("value", "kind"),
    [(1.0, "up0"), (1.2, "up1"), (0.8, "down1"), (50, "up4"), (0.01, "down4"), (0, "down4")],
)
def test_colours_are_steps_of_equal_ratios(value, kind):
    assert step_of(value) == kind


def test_a_forest_says_what_is_beyond_doubt_and_what_was_left_out():
    points = [point(quantization="a", speedup=2.0), point(quantization="b", speedup=1.01)]
    points += [point(quantization="c", speedup=0.5), point(quantization="d", status="failed", speedup=9.0)]
    chart = speed_forest(points, "f", "title")
    kinds = [e.get("class") for e in chart.svg.iter("circle")]
    assert kinds == ["mark estimate faster", "mark estimate unsure", "mark estimate slower"]
    many = speed_forest([point(batch=n) for n in range(1, MOST_ROWS + 6)], "f", "title")
    assert "The other 5 stand in the table" in many.description
    assert speed_forest([point(speedup=1.0, status="failed")], "f", "title") is None


def test_the_front_holds_what_no_other_beats_in_both():
    assert front([(1.0, 0.0), (2.0, -1.0), (1.5, -2.0), (3.0, -3.0), (3.0, -2.5)]) == [0, 1, 4]


def test_of_a_metric_where_less_is_better_more_is_a_loss():
    metric = r.MetricResult("error", False, 0.1, 0.12, r.Estimate(0.02, r.Interval(0.01, 0.04)))
    change = quality_change(point(metrics=[metric]))
    assert (change.value, change.interval.low, change.interval.high) == (-0.02, -0.04, -0.01)
    assert quality_change(point(metrics=[r.replace(metric, is_share=False)])) is None
    assert pareto([point(metrics=[metric]), point(4, metrics=[metric])], "p") is None


def test_groups_that_must_not_be_compared_have_charts_of_their_own(tmp_path, made_run, write_run, parse):
    for number, machine in enumerate(("m1", "m2")):
        environment = {"machine": machine, "cpu_model": f"cpu {machine}"}
        write_run(tmp_path / str(number), made_run(environment=environment), [f"seed={number}"])
    page = parse(page_of(tmp_path).html())
    assert [e["id"] for e in page.all("h2")][:2] == ["group0-variants", "group0-size"]
    assert "must not be compared" in page.all("aside")[0]["text"]
    ids = [e["id"] for e in page.elements if "id" in e]
    assert len(ids) == len(set(ids))


def test_five_hundred_points_make_a_page_of_a_few_hundred_kilobytes(tmp_path, made_run, write_run, parse):
    for batch in range(1, 26):
        for length in range(1, 21):
            name = tmp_path / f"{batch}-{length}"
            write_run(name, made_run(batch, length), [f"batch_size={batch}", f"input_length={length}"])
    html = page_of(tmp_path).html()
    assert len(html) < 2_000_000
    page = parse(html)
    (table,) = [e for e in page.all("table") if e.get("class") == "tools"]
    assert table["text"].count("2.00x") >= 500
    assert len(aggregate([tmp_path]).points) == 500


def test_a_search_tells_its_own_sentence(sweep, parse):
    found = r.TuneResult(
        margin=0.01, budget_seconds=60, seconds=50, ended_by="the end", points=[], front=[],
        sentence="Take <this>.",
    )  # fmt: skip
    (sweep / "tune.json").write_bytes(r.to_json(found))
    page = parse(page_of(sweep).html())
    assert next(e["text"] for e in page.elements if e.get("class") == "sentence") == "Take <this>."
