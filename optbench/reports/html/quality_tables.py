"""Tables of the answers of one run: metrics, flips, drift, groups, worst rows."""

from __future__ import annotations

from collections.abc import Callable

from optbench.records import MetricResult, QualityResult, RunResult
from optbench.reports.html.intervals import Line, Row, interval_chart
from optbench.reports.html.parts import Cell, Chart, Table, estimate_cells, number, visible, words
from optbench.reports.html.raw import Raw
from optbench.units import format_difference, format_points, format_share, three_digits


def metrics_table(quality: QualityResult) -> Table:
    """Every metric of both with difference, interval, p value and the answer at the margin."""
    rows = []
    for metric in quality.metrics:
        form = difference_form(metric)
        at_margin = ""
        if metric.non_inferiority is not None:
            found = metric.non_inferiority
            at_margin = f"{found.outcome} (margin {format_points(found.margin).lstrip('+')})"
        rows.append(
            [
                words(metric.name),
                words(metric.reason or at_margin),
                number(metric.baseline, plain),
                number(metric.candidate, plain),
                *estimate_cells(metric.difference, form),
                number(metric.p_value, p_form),
            ]
        )
    head = ["metric", "at the margin", "baseline", "candidate", "difference", "from", "to", "p"]
    return Table("Metrics on the same rows", head, rows, texts=2)


def difference_form(metric: MetricResult) -> Callable[[float], str]:
    """How a metric's difference is written."""
    return lambda value: format_difference(value, metric.is_share)


def plain(value: float) -> str:
    """Four decimals."""
    return f"{value:.4f}"


def p_form(value: float) -> str:
    """Two digits."""
    return f"{value:.2g}"


def metrics_chart(quality: QualityResult) -> Chart | None:
    """Differences of all metrics that are shares, with the margin."""
    shares = [m for m in quality.metrics if m.difference is not None and m.is_share]
    if not shares:
        return None
    rows = [Row(m.name, m.difference, metric_kind(m)) for m in shares if m.difference is not None]
    margins = sorted({m.non_inferiority.margin for m in shares if m.non_inferiority is not None})
    lines = [
        Line(0.0, "no change", "even"),
        *(Line(-m, f"margin {format_points(-m)}", "margin") for m in margins),
    ]
    told = "; ".join(
        f"{m.name} {format_points(m.difference.value)}" for m in shares if m.difference is not None
    )
    return interval_chart(
        "quality",
        "Change of the metrics, candidate minus baseline",
        f"{told}.",
        rows,
        format_points,
        "difference in percentage points",
        lines,
    )


def metric_kind(metric: MetricResult) -> str:
    """Whether a change is for the worse beyond doubt."""
    interval = None if metric.difference is None else metric.difference.interval
    if interval is None:
        return "unsure"
    sign = 1 if metric.higher_is_better else -1
    low, high = sorted((sign * interval.low, sign * interval.high))
    return "slower" if high < 0 else "faster" if low > 0 else "unsure"


def drift_table(quality: QualityResult) -> Table | None:
    """How far outputs moved beneath the answers, flips and calibration."""
    rows: list[list[Cell]] = []
    if quality.agreement is not None:
        rows.append([Cell("same answers"), *estimate_cells(quality.agreement, format_share)])
    for name, count in (
        ("broken: only the baseline is right", quality.broken),
        ("fixed: only the candidate is right", quality.fixed),
        ("rows that could not be read", quality.failed_rows or None),
    ):
        if count is not None:
            rows.append([Cell(name), number(float(count), lambda v: f"{v:,.0f}"), Cell(""), Cell("")])
    drift, vectors = quality.drift, quality.vector_drift
    values: list[tuple[str, float | None]] = []
    if drift is not None:
        values += [
            ("KL divergence, mean (nats)", drift.kl_mean),
            ("KL divergence, p99 (nats)", drift.kl_p99),
            ("logit difference, mean", drift.logit_difference_mean),
            ("logit difference, largest", drift.logit_difference_max),
            ("largest, over the baseline's sd", drift.logit_difference_relative),
            ("rank correlation of the classes", drift.rank_correlation),
            ("same most likely class", drift.same_first),
            ("outputs that are not finite", float(drift.positions_not_finite)),
        ]
    if vectors is not None:
        values += [
            ("cosine to the baseline, mean", vectors.cosine_mean),
            ("cosine to the baseline, p1", vectors.cosine_p01),
            ("cosine to the baseline, lowest", vectors.cosine_min),
        ]
    values += [(f"calibration error, {visible(n, 40)}", v) for n, v in quality.calibration_error.items()]
    rows += [[Cell(name), number(value, three_digits), Cell(""), Cell("")] for name, value in values]
    return (
        Table("Beneath the metrics: flips, drift, calibration", ["", "value", "from", "to"], rows)
        if rows
        else None
    )


def worst_table(result: RunResult) -> Table | None:
    """The rows whose outputs moved most, with both answers."""
    quality = result.quality
    if quality is None or not quality.worst_rows:
        return None
    rows = [
        [
            Cell(str(row.row)),
            words(row.text, "sample"),
            *(words(class_name(result, answer)) for answer in (row.reference, row.baseline, row.candidate)),
            number(row.kl, three_digits),
        ]
        for row in quality.worst_rows
    ]
    head = ["row", "text", "reference", "baseline", "candidate", "KL"]
    return Table("Rows whose outputs moved most", head, rows, texts=5, tools=len(rows) > 5)


def flips_table(result: RunResult, raw: Raw) -> Table | None:
    """Rows that one variant gets right and the other does not."""
    if not raw.flips:
        return None
    rows = []
    for flip in raw.flips:
        broken = flip.baseline == flip.reference
        kind = Cell("✗ broken", kind="outcome bad") if broken else Cell("✓ fixed", kind="outcome good")
        answers = (flip.reference, flip.baseline, flip.candidate)
        rows.append(
            [
                Cell(str(flip.row)),
                kind,
                words(flip.text, "sample"),
                *(words(class_name(result, answer)) for answer in answers),
            ]
        )
    head = ["row", "", "text", "reference", "baseline", "candidate"]
    return Table(
        "Answers that broke or were fixed (the first of them)", head, rows, texts=6, tools=len(rows) > 5
    )


def class_name(result: RunResult, answer: str | None) -> str:
    """The name of a class beside its number, where the names are known."""
    labels = result.dataset.labels if result.dataset is not None else None
    if answer is not None and labels and answer.isdecimal() and int(answer) < len(labels):
        return f"{labels[int(answer)]} ({answer})"
    return answer or ""


def groups_table(quality: QualityResult) -> Table | None:
    """The leading metric by class and by length; p adjusted for the number of groups."""
    if not quality.groups:
        return None
    rows = []
    for group in quality.groups:
        beyond = group.p_value is not None and group.p_value < 0.05
        verdict = Cell("! changed", kind="outcome unsure") if beyond else Cell("")
        rows.append(
            [
                words(group.name),
                words(group.by),
                words(group.metric),
                verdict,
                number(float(group.rows), lambda v: f"{v:,.0f}"),
                number(group.baseline, plain),
                number(group.candidate, plain),
                *estimate_cells(group.difference, lambda v: format_difference(v, True)),
                number(group.p_value, p_form),
            ]
        )
    head = [
        "group",
        "by",
        "metric",
        "",
        "rows",
        "baseline",
        "candidate",
        "difference",
        "from",
        "to",
        "p (Holm)",
    ]
    return Table("By class and by length", head, rows, texts=4, tools=len(rows) > 5)
