"""The page of a run: order, exact numbers, words for those who cannot see, and nothing that is markup."""

import math
import re

import pytest

from optbench import records as r
from optbench.delivery.report import RunDirectoryPage, leave_run_page, page_of
from optbench.errors import ResultError
from optbench.locations import REPORT_FILE
from optbench.reports.html.pages import digest, file_text

HOSTILE = [
    "<script>alert(1)</script>",
    "</style><img src=x onerror=alert(1)>",
    "</title></svg>]]><b>",
    '"\' onload=alert(1) x="',
    "javascript:alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "\u202egnp.exe\x00\x1b[31m\ud800",
]


@pytest.fixture
def page(full_run, write_run, write_raw, tmp_path, parse):
    directory = write_run(tmp_path / "run", full_run(), ["quant=dynamic"])
    return parse(page_of(write_raw(directory)).html())


def test_the_parts_stand_in_the_order_in_which_they_are_needed(page):
    assert [element["id"] for element in page.all("h2")] == [
        "gates", "latency", "timeline", "footprint", "quality", "kernels", "environment", "reproduce",
    ]  # fmt: skip
    badges = [e["text"] for e in page.elements if "badge" in e.get("class", "").split()]
    assert [text.split()[0:3] for text in badges] == [
        ["verdict", "?", "INCONCLUSIVE"],
        ["grade", "?", "USABLE"],
    ]
    (sentence,) = [e["text"] for e in page.elements if e.get("class") == "sentence"]
    assert sentence == "INCONCLUSIVE: The candidate is 2.00x faster."


def test_the_numbers_are_those_of_the_record_with_all_their_digits(page, full_run):
    run, values = full_run(), page.values()
    comparison, quality = run.comparison, run.quality
    metric, group = quality.metrics[0], quality.groups[0]
    expected = {
        comparison.speedup.value, metric.baseline, metric.candidate, metric.difference.value,
        metric.difference.interval.low, metric.p_value, quality.agreement.value, quality.broken,
        quality.drift.kl_p99, quality.calibration_error["candidate"], group.p_value, group.difference.value,
        run.trust.signals[0].value, run.verdict.gates[0].interval.low, quality.worst_rows[0].kl,
        run.variants["candidate"].kernels.time_share, run.variants["baseline"].artifact.size_bytes,
        run.variants["candidate"].cold_start.peak_memory_bytes,
        run.variants["candidate"].latency.mean_seconds,
        *(math.exp(theta) for theta in comparison.replicate_log_ratios),
        *(p.seconds for p in run.variants["candidate"].latency.percentiles if p.seconds is not None),
    }  # fmt: skip
    assert expected - values == set()


def test_the_distribution_and_the_pairs_are_those_of_the_files(page):
    marks = [e for e in page.elements if "mark" in e.get("class", "").split()]
    middle = [e for e in marks if e["data-tip"].startswith("candidate: 50.0% of the calls")]
    assert [float(e["data-value"]) for e in middle] == pytest.approx([5.002e-3])
    pairs = [float(e["data-value"]) for e in marks if "pair" in e["class"].split()]
    assert pairs == pytest.approx([10_002 / 5_002] * 12)
    slow = [float(e["data-value"]) for e in marks if "slow" in e["class"].split()]
    assert slow == pytest.approx([1.5] * 3)


def test_every_chart_has_a_title_a_description_and_a_table(page):
    charts = page.all("svg")
    assert [chart["aria-labelledby"].split()[0] for chart in charts] == [
        "latency-title", "timeline-title", "footprint-title", "quality-title",
    ]  # fmt: skip
    ids = [e["id"] for e in page.elements if "id" in e]
    assert len(ids) == len(set(ids))
    for chart in charts:
        assert chart["role"] == "img"
        assert set(chart["aria-labelledby"].split()) <= set(ids)
    assert all("details" not in e["above"] for e in page.all("figure"))
    assert sum("figure" in e["above"] for e in page.all("table")) == len(charts)


def test_a_screen_reader_finds_its_way(page):
    for tag in ("header", "main", "footer", "nav", "h1", "title"):
        assert len([e for e in page.all(tag) if "svg" not in e["above"]]) == 1, tag
    assert page.all("html")[0]["lang"] == "en"
    assert all(head.get("scope") in ("col", "row") for head in page.all("th"))
    assert all(table["text"].strip() for table in page.all("caption"))
    named = {e["id"] for e in page.elements if "id" in e}
    assert all(link["href"][1:] in named for link in page.all("a") if link["href"].startswith("#"))


def test_broken_and_fixed_rows_are_told_with_the_names_of_their_classes(page):
    (table,) = [e["text"] for e in page.all("table") if "Answers that broke" in e["text"]]
    assert re.search(r"1\s*✗ broken\s*</td><script>alert\(1\)</script> broke\s*POSITIVE \(1\)", table)
    assert re.search(r"2\s*✓ fixed\s*fixed\ufffd\s*POSITIVE \(1\)\s*NEGATIVE \(0\)\s*POSITIVE \(1\)", table)
    assert "kept" not in table


def test_the_page_tells_the_command_and_the_machine_but_not_its_name(page):
    text = page.all("main")[0]["text"]
    assert "optbench quant=dynamic gates.min_speedup=1.5" in text
    assert "EPYC 1" in text
    assert "performance" in text
    assert "secret-host" not in text


def test_the_page_loads_nothing_and_runs_only_its_own_script(page):
    (policy,) = [e["content"] for e in page.all("meta") if e.get("http-equiv") == "Content-Security-Policy"]
    assert policy == (
        f"default-src 'none'; style-src '{digest(page.all('style')[0]['text'])}'; "
        f"script-src '{digest(page.all('script')[0]['text'])}'; base-uri 'none'; form-action 'none'"
    )
    assert len(page.all("script")) == len(page.all("style")) == 1
    assert page.all("script")[0]["text"] == file_text("page.js")
    for element in page.elements:
        names = {name for name in element if name not in ("tag", "text", "above")}
        assert not [name for name in names if name.startswith("on") or name in ("style", "src", "action")]
        assert element["tag"] not in ("link", "img", "iframe", "object", "foreignobject")
    assert "http" not in file_text("page.js") + file_text("page.css") + file_text("chart.css")
    assert "url(" not in file_text("page.css") + file_text("chart.css")


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_of_a_result_becomes_markup(text, full_run, write_run, write_raw, tmp_path, parse):
    run = full_run()
    variants = {
        name: r.replace(one, label=text, backend=text, runtime={text: text})
        for name, one in run.variants.items()
    }
    kernels = r.KernelReport(3, 1, [text], 0.5, 0.5, 0, {text: 0.1}, text)
    variants["candidate"] = r.replace(variants["candidate"], kernels=kernels)
    metric = r.replace(run.quality.metrics[0], name=text)
    group = r.replace(run.quality.groups[0], name=text, by=text, metric=text)
    quality = r.replace(
        run.quality, metrics=[metric], groups=[group], notes=[text],
        worst_rows=[r.WorstRow(0, text, text, text, text, 0.1)], calibration_error={text: 0.1},
    )  # fmt: skip
    clean = text.encode("utf-8", "replace").decode()
    run = full_run(
        variants=variants, quality=quality, notes=[text], command=["optbench", clean],
        config={"model": {"path": text}, text: text},
        environment={"cpu_model": text, "versions": {text: text}},
        dataset=r.DatasetRecord(text, text, text, 1, 1, text, {text: text}, [text, text]),
        trust=r.Trust("poor", [r.Signal(text, "red", 1.0, 0.1, 0.2, text, text)], [text]),
        verdict=r.Verdict("SHIP", [r.GateResult(text, "fail", 1.0, 2.0, None, text)], text),
        failure=r.Failure(text, text, text, text),
    )  # fmt: skip
    directory = write_run(tmp_path / "run", full_run())
    plain = parse(RunDirectoryPage(write_raw(directory), full_run()).html())
    html = RunDirectoryPage(directory, run).html()
    page = parse(html)
    known = {element["tag"] for element in plain.elements}
    assert {element["tag"] for element in page.elements} <= known | {"h3", "pre"}
    assert len(page.all("script")) == len(page.all("style")) == 1
    assert page.all("script")[0]["text"] == file_text("page.js")
    assert all(link["href"].startswith("#") for link in page.all("a"))
    assert not [name for element in page.elements for name in element if name.startswith("on")]
    assert not re.search("[\x00\x1b\u202e\ud800]", html)
    assert "49" not in page.all("h1")[0]["text"]


def test_a_run_that_failed_early_tells_why(made_run, write_run, tmp_path, parse):
    bare = {
        "variants": {},
        "comparisons": {},
        "timing": None,
        "quality": None,
        "trust": None,
        "verdict": None,
    }
    run = made_run(
        status="failed", failure=r.Failure("WorkerError", "timing", "it died", "Traceback"), **bare
    )
    page = parse(page_of(write_run(tmp_path / "run", run)).html())
    assert "✗ FAILED ended in: timing" in " ".join(page.all("header")[0]["text"].split())
    assert "it died" in page.all("header")[0]["text"]
    assert [e["id"] for e in page.all("h2")] == ["failure", "environment", "reproduce"]


def test_a_damaged_file_costs_its_chart_only(full_run, write_run, tmp_path, parse):
    directory = write_run(tmp_path / "run", full_run())
    for name in ("samples.parquet", "blocks.parquet", "predictions.parquet"):
        (directory / name).write_bytes(b"PAR1 nothing of the kind PAR1")
    page = parse(page_of(directory).html())
    assert page.all("aside")[0]["text"].count("cannot be read") == 3
    assert [chart["aria-labelledby"].split()[0] for chart in page.all("svg")] == [
        "timeline-title", "footprint-title", "quality-title",
    ]  # fmt: skip


def test_a_failure_to_render_never_hides_a_result(full_run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("optbench.reports.html.pages.file_text", lambda name: 1 / 0)
    leave_run_page(tmp_path, full_run())
    assert capsys.readouterr().err == (
        f"optbench: no report.html: division by zero; the results lie in {tmp_path}\n"
    )
    assert not (tmp_path / REPORT_FILE).exists()


def test_a_directory_without_results_is_refused(tmp_path):
    with pytest.raises(ResultError, match="holds no results"):
        page_of(tmp_path)
