"""Two runs against each other: which points pair, what is tested, and what a condition makes of it."""

import math

import pytest
from scipy import stats

from optbench.errors import ConfigError, ResultError
from optbench.measure import mover
from optbench.records import Estimate, Failure, Interval, replace
from optbench.results.compare import compare
from optbench.results.conditions import parse

BARE = {"variants": {}, "comparisons": {}, "timing": None, "quality": None, "trust": None}


@pytest.fixture
def runs(tmp_path, made_run, write_run):
    """Writes A and B as single runs and compares them."""

    def make(a, b, *fail_if, **options):
        for name, changes in (("a", a), ("b", b)):
            write_run(tmp_path / name, made_run(**changes))
        return compare(tmp_path / "a", tmp_path / "b", [parse(text) for text in fail_if], **options)

    return make


def test_a_change_of_speed_is_welchs_test_on_the_replicates(runs, made_run):
    (point,) = runs({"speedup": 2.0, "spread": 0.02}, {"speedup": 2.2, "spread": 0.01}).points
    change = point.measures["speedup"].change
    thetas = [
        made_run(speedup=speed, spread=spread).comparison.replicate_log_ratios
        for speed, spread in ((2.0, 0.02), (2.2, 0.01))
    ]
    expected = stats.ttest_ind(thetas[1], thetas[0], equal_var=False)
    ends = expected.confidence_interval()
    assert change.value == pytest.approx(1.1)
    interval = (change.interval.low, change.interval.high)
    assert interval == pytest.approx((math.exp(ends.low), math.exp(ends.high)))
    assert point.p_value == pytest.approx(expected.pvalue)
    assert point.finding == "faster"


@pytest.mark.parametrize(
    ("b", "finding", "reason"),
    [
        ({"speedup": 1.8}, "slower", None),
        ({"speedup": 2.001}, "no difference shown", "the interval holds 1"),
        (
            {"speedup": 2.2, "replicates": 9},
            "not tested",
            "needs measure.replicates=10 in both runs (10 and 9 here)",
        ),
    ],
)
def test_what_is_said_about_the_speed(runs, b, finding, reason):
    (point,) = runs({}, b).points
    assert (point.finding, point.finding_reason) == (finding, reason)


def test_a_change_within_the_noise_floor_is_no_difference_and_fails_no_condition(
    tmp_path, made_run, write_run
):
    for name, speedup in (("a", 2.0), ("b", 1.9)):
        run = made_run(speedup=speedup, spread=0.001)
        noisy = replace(run.comparison, noise_floor=0.1)
        write_run(tmp_path / name, replace(run, comparisons={"candidate": noisy}))
    found = compare(tmp_path / "a", tmp_path / "b", [parse("speedup<0.97")])
    (point,) = found.points
    assert (point.finding, point.finding_reason) == ("no difference shown", "within the noise floor of 10.0%")
    assert point.judgements[0].outcome == "inconclusive"
    assert point.judgements[0].reason == "a variant differs from itself by 10.0% on this machine"
    assert found.exit_code == 4


@pytest.mark.parametrize(("a", "b", "here"), [(5, 5, "5"), (10, 5, "10 and 5"), (1, 12, "1 and 12")])
def test_what_is_not_tested_says_which_setting_would_and_what_was_found(runs, a, b, here):
    (point,) = runs({"replicates": a}, {"replicates": b}, "speedup<0.97", "p50_ratio>1.1").points
    reason = f"needs measure.replicates=10 in both runs ({here} here)"
    assert (point.finding, point.finding_reason) == ("not tested", reason)
    assert point.judgements[0].reason == reason


@pytest.mark.parametrize(
    ("text", "b", "outcome", "code"),
    [
        ("speedup<0.97", {"speedup": 1.8}, "fail", 1),
        ("speedup<0.97", {"speedup": 2.0}, "pass", 0),
        ("speedup<0.97", {"speedup": 1.94}, "inconclusive", 4),
        ("speedup<0.97", {"speedup": 1.0, "replicates": 5}, "inconclusive", 4),
        ("cpu_speedup>1.2", {"speedup": 2.6}, "fail", 1),
        ("size_ratio>1", {}, "pass", 0),
        ("size_ratio>=1", {}, "fail", 1),
        ("accuracy_change<-0.05", {}, "pass", 0),
        ("accuracy_change<-0.01", {}, "inconclusive", 4),
        ("agreement_change<-0.1", {}, "pass", 0),
        ("p99_ratio>1.1", {}, "inconclusive", 4),
        ("capacity_ratio<1", {}, "inconclusive", 4),
    ],
)
def test_a_condition_fails_only_beyond_doubt(runs, text, b, outcome, code):
    found = runs({}, b, text)
    assert [judged.outcome for judged in found.points[0].judgements] == [outcome]
    assert found.exit_code == code


def test_the_number_of_points_counts_against_a_finding(tmp_path, made_run, write_run):
    for side, speedup in (("a", 2.0), ("b", 1.9)):
        for number in range(20):
            change = speedup if number == 0 else 2.0
            run = made_run(batch=number + 1, speedup=change, spread=0.06)
            write_run(tmp_path / side / str(number), run, [f"batch_size={number + 1}"])
    found = compare(tmp_path / "a", tmp_path / "b", [parse("speedup<0.999")])
    first = next(point for point in found.points if point.name == "batch_size=1")
    assert 0.0025 < first.p_value < 0.1
    assert first.p_value_adjusted == pytest.approx(min(1.0, 20 * first.p_value))
    assert first.judgements[0].outcome == "inconclusive"


def test_latencies_are_shown_and_their_ratio_is_told_against_the_baseline(tmp_path, made_run, write_run):
    for name, factor in (("a", 1.0), ("b", 3.0)):
        run = made_run()
        slowed = {
            side: replace(
                variant,
                latency=replace(
                    variant.latency,
                    percentiles=[
                        replace(
                            item,
                            seconds=item.seconds and factor * item.seconds,
                            interval=item.seconds
                            and Interval(0.9 * factor * item.seconds, 1.1 * factor * item.seconds),
                        )
                        for item in variant.latency.percentiles
                    ],
                ),
            )
            for side, variant in run.variants.items()
        }
        write_run(tmp_path / name, replace(run, variants=slowed))
    (point,) = compare(tmp_path / "a", tmp_path / "b").points
    p95 = point.measures["p95_ratio"]
    assert (p95.a, p95.b) == pytest.approx((0.005 * 1.95, 3 * 0.005 * 1.95))
    assert p95.change.value == pytest.approx(1.0)
    assert p95.change.interval.low < 0.9 < 1.1 < p95.change.interval.high


def test_points_pair_by_the_grid_and_what_differs_throughout_is_on_purpose(tmp_path, made_run, write_run):
    for side, quant in (("a", "dynamic"), ("b", "static")):
        for number, batch in enumerate((1, 8) if side == "a" else (8, 16)):
            run = made_run(batch=batch, quantization=quant)
            write_run(tmp_path / side / str(number), run, [f"batch_size={batch}"])
    found = compare(tmp_path / "a", tmp_path / "b", [parse("speedup<0.9")])
    assert {point.name: point.status for point in found.points} == {
        "batch_size=1": "only in A",
        "batch_size=8": "compared",
        "batch_size=16": "only in B",
    }
    assert {item.field: (item.a, item.b) for item in found.config} == {
        "chosen.candidate.quantization": ("dynamic", "static"),
        "quantization.kind": ("dynamic", "static"),
    }
    assert found.exit_code == 4


def test_of_several_runs_of_a_point_the_latest_counts(tmp_path, made_run, write_run):
    write_run(tmp_path / "a", made_run())
    for number, speedup in ((0, 4.0), (1, 3.0)):
        run = made_run(speedup=speedup, started_at=f"2026-01-0{2 - number}T00:00:00+00:00")
        write_run(tmp_path / "b" / str(number), run)
    found = compare(tmp_path / "a", tmp_path / "b")
    assert found.points[0].measures["speedup"].b == 4.0
    assert found.notes == ["B: of 2 runs the latest of each point counts, 1"]


def test_unlike_environments_are_refused_with_their_fields_unless_told(runs, tmp_path):
    other = {"machine": "m2", "versions": {"torch": "2.0", "numpy": None}}
    with pytest.raises(ResultError, match=r"differ in machine \(m1 and m2\); measure both alike"):
        runs({}, {"environment": other})
    found = compare(tmp_path / "a", tmp_path / "b", allow_different=True)
    assert [item.field for item in found.environment] == ["machine"]
    assert found.points[0].finding == "no difference shown"


def test_another_baseline_is_as_unlike_as_another_machine(tmp_path, made_run, write_run):
    run = made_run()
    baseline = replace(run.variants["baseline"], backend="openvino")
    write_run(tmp_path / "a", run)
    write_run(tmp_path / "b", replace(run, variants={**run.variants, "baseline": baseline}))
    with pytest.raises(ResultError, match=r"differ in baseline \(pytorch and openvino\)"):
        compare(tmp_path / "a", tmp_path / "b")


def test_a_point_that_failed_now_is_code_3_and_one_that_failed_then_is_undecided(
    tmp_path, made_run, write_run
):
    failed = made_run(status="failed", failure=Failure("WorkerError", "timing", "it died"), **BARE)
    write_run(tmp_path / "a", made_run())
    write_run(tmp_path / "b", failed)
    now = compare(tmp_path / "a", tmp_path / "b", [parse("speedup<0.9")])
    assert (now.points[0].status, now.points[0].reason, now.exit_code) == ("failed in B", "it died", 3)
    then = compare(tmp_path / "b", tmp_path / "a", [parse("speedup<0.9")])
    assert (then.points[0].reason, then.exit_code) == ("A failed: it died", 4)


def test_damaged_points_have_no_counterpart(tmp_path, made_run, write_run):
    for side in "ab":
        write_run(tmp_path / side / "0", made_run(), ["batch_size=1"])
        write_run(tmp_path / side / "1", None, ["batch_size=8"])
    found = compare(tmp_path / "a", tmp_path / "b")
    assert [point.status for point in found.points] == ["compared", "not compared", "failed in B"]


@pytest.mark.parametrize("content", [b"", b'{"schema_version": 1, "status"', b'{"schema_version": 99}'])
@pytest.mark.parametrize("named", ["b", "b/result.json"])
def test_a_single_run_that_cannot_be_read_is_bad_input_on_either_side(
    tmp_path, made_run, write_run, content, named
):
    write_run(tmp_path / "a", made_run())
    (write_run(tmp_path / "b") / "result.json").write_bytes(content)
    for sides in ((tmp_path / "a", tmp_path / named), (tmp_path / named, tmp_path / "a")):
        with pytest.raises(ResultError, match=r"b/result\.json"):
            compare(*sides)


def test_a_single_run_that_left_nothing_has_failed(tmp_path, made_run, write_run):
    write_run(tmp_path / "a", made_run())
    write_run(tmp_path / "b")
    found = compare(tmp_path / "a", tmp_path / "b")
    assert [(point.name, point.status) for point in found.points] == [
        ("the run", "only in A"),
        ("the run", "failed in B"),
    ]
    assert found.exit_code == 3


def test_nothing_in_common_is_an_error(tmp_path, made_run, write_run):
    for side, batches in (("a", (1, 2)), ("b", (4, 8))):
        for batch in batches:
            write_run(tmp_path / side / str(batch), made_run(batch=batch))
    with pytest.raises(ResultError, match=r"has a counterpart in .*: they differ in batch_size"):
        compare(tmp_path / "a", tmp_path / "b")


def test_metrics_on_other_rows_have_no_interval(tmp_path, made_run, write_run):
    write_run(tmp_path / "a", made_run())
    run = made_run()
    write_run(tmp_path / "b", replace(run, quality=replace(run.quality, rows=100)))
    (point,) = compare(tmp_path / "a", tmp_path / "b").points
    change = point.measures["accuracy_change"].change
    assert change.interval is None
    assert change.reason.startswith("A and B answered other rows: evaluate the same ones in both")


@pytest.mark.parametrize(
    "text", ["", "speedup", "speedup<", "speedup==1", "__import__('os')<1", "speed<1", "p95_ratio>1x"]
)
def test_anything_but_metric_operator_number_is_refused(text):
    with pytest.raises(ConfigError, match="--fail-if must be METRIC OP NUMBER"):
        parse(text)


def test_a_condition_reads_as_written():
    condition = parse(" f1-macro_change >= -1.5e-2 ")
    assert (condition.metric, condition.sign, condition.bound) == ("f1-macro_change", ">=", -0.015)
    assert condition.text == "f1-macro_change>=-0.015"


def test_a_metric_that_nobody_measured_is_refused(runs):
    with pytest.raises(ConfigError, match=r"got bleu_change; these were: accuracy_change, agreement_change"):
        runs({}, {}, "bleu_change<0")


def test_intervals_of_differences_are_those_of_zou_and_donner():
    """Lower end: d - sqrt((x - l)^2 + (U - y)^2) = 3 - sqrt(9 + 16); upper: 3 + sqrt(144 + 25)."""
    found = mover.difference(Estimate(10.0, Interval(7.0, 22.0)), Estimate(7.0, Interval(2.0, 11.0)))
    assert (found.value, found.interval.low, found.interval.high) == (3.0, -2.0, 16.0)
    assert mover.difference(Estimate(1.0, reason="few"), Estimate(1.0)).reason == "few"
    assert mover.ratio(Estimate(0.0), Estimate(1.0)) is None
    assert mover.ratio(Estimate(3.0), Estimate(2.0)).value == pytest.approx(1.5)
