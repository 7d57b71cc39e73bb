"""A page taken apart, and run directories with raw values as a run leaves them."""

import math
from html.parser import HTMLParser

import pytest

VOID = {"meta", "br", "input", "link", "hr", "img"}


class Page(HTMLParser):
    """Every element with its attributes, text and the elements around it; fails on crossed tags."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.elements, self.open = [], []
        self.feed(html)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        element = {"tag": tag, "text": "", **dict(attributes), "above": [one["tag"] for one in self.open]}
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop()["tag"] == tag

    def handle_data(self, data):
        for element in self.open:
            element["text"] += data

    def all(self, tag):
        return [element for element in self.elements if element["tag"] == tag]

    def values(self):
        """The exact numbers of the page."""
        return {float(e["data-value"]) for e in self.elements if e.get("data-value") is not None}


@pytest.fixture
def parse():
    """Take a page apart."""
    return Page


@pytest.fixture
def write_raw():
    """Writes samples, blocks and predictions of a run of three replicates into its directory."""
    from optbench.measure.samples import Block, Placed, Samples
    from optbench.stages.storage import write_samples, write_table

    def write(directory):
        samples = Samples()
        for replicate in range(3):
            for pair in range(4):
                for position, (variant, base) in enumerate(
                    (("baseline", 10_000_000), ("candidate", 5_000_000))
                ):
                    times = [99_000_000, *(base + 1000 * call for call in range(5))]
                    start = 10**12 + replicate * 10**9 + pair * 10**8 + position * 10**7
                    samples.extend(
                        [Placed(replicate, pair, position, variant, Block(times, 1, 10**6, start))]
                    )
                samples.probe_nanoseconds.append((replicate, pair, 1_000_000 + 500_000 * (pair == 3)))
        write_samples(directory, samples)
        columns = {
            "row": [0, 1, 2],
            "text": ["kept", "</td><script>alert(1)</script> broke", "fixed\u202e"],
            "reference": [0, 1, 1],
            "baseline": [0, 1, 0],
            "candidate": [0, 0, 1],
        }
        kinds = {name: "string" if name == "text" else "int64" for name in columns}
        write_table(directory / "predictions.parquet", columns, kinds)
        return directory

    return write


@pytest.fixture
def full_run(made_run):
    """A run with all that a page can show."""
    from optbench import records as r

    def estimate(value, low, high):
        return r.Estimate(value, r.Interval(low, high))

    quality = r.QualityResult(
        1234,
        [
            r.MetricResult(
                "accuracy",
                True,
                0.9123456789,
                0.9012345678,
                estimate(-0.0111111111, -0.02, -0.001),
                p_value=0.0123,
                gate_interval=r.Interval(-0.018, -0.003, 0.9),
                non_inferiority=r.NonInferiority(0.015, "cannot tell", 4321),
            )
        ],
        estimate(0.98765, 0.98, 0.99),
        broken=17,
        fixed=4,
        drift=r.Drift(1234, 0, 0.01, 0.5, 0.2, 0.00123, 0.0456, 0.999, 0.98),
        calibration_error={"baseline": 0.0312, "candidate": 0.0345},
        groups=[
            r.GroupResult(
                "class", "POSITIVE", 600, "accuracy", 0.93, 0.91, estimate(-0.02, -0.03, -0.01), 0.0021
            )
        ],
        worst_rows=[r.WorstRow(7, "a text that moved", "1", "1", "0", 0.4321)],
    )
    kernels = r.KernelReport(24, 22, ["/pooler/MatMul"], 0.97, 0.88, 1, {"MatMulIntegerToFloat": 0.0021})
    trust = r.Trust(
        "usable",
        [
            r.Signal("drift of the speed-up", "amber", 0.0312, 0.02, 0.05, "relative", "let it cool"),
            r.Signal("CPU used by others", "green", 0.011, 0.05, 0.2, "cores"),
        ],
        ["drift of the speed-up 0.0312 relative (over 0.02): let it cool"],
    )
    gates = [
        r.GateResult("min_speedup", "pass", 1.5, 2.0, r.Interval(1.98, 2.02, 0.9)),
        r.GateResult(
            "max_accuracy_drop", "inconclusive", 0.015, 0.0111, r.Interval(0.003, 0.018, 0.9), "3,087 rows"
        ),
    ]
    thetas = [math.log(2.0) + change for change in (-0.011, 0.004, 0.007)]

    def make(**changes):
        run = made_run()
        comparison = r.replace(run.comparison, replicate_log_ratios=thetas)
        candidate = r.replace(run.variants["candidate"], kernels=kernels, label="onnxruntime dynamic")
        parts = {
            "command": ["optbench", "quant=dynamic", "gates.min_speedup=1.5"],
            "environment": {
                "hostname": "secret-host",
                "cpu_model": "EPYC 1",
                "cores_available": 2,
                "isa_flags": ["avx2", "avx512_vnni"],
                "frequency": {"governor": "performance"},
                "versions": {"torch": "2.13.0", "nncf": None},
            },
            "dataset": r.DatasetRecord(
                "rows.csv", None, "test", 1234, 1234, "f", {}, ["NEGATIVE", "POSITIVE"]
            ),
            "variants": {**run.variants, "candidate": candidate},
            "comparisons": {"candidate": comparison},
            "quality": quality,
            "trust": trust,
            "verdict": r.Verdict("INCONCLUSIVE", gates, "INCONCLUSIVE: The candidate is 2.00x faster."),
            "notes": ["a note"],
        }
        return r.replace(run, **{**parts, **changes})

    return make
