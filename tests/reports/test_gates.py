"""Gates in their own terms, the same on every page."""

import pytest

from optbench.records import GateResult, Interval, Verdict, replace
from optbench.reports.gates import gate_line
from optbench.reports.html.banner import gates_table
from optbench.reports.run_text import to_markdown

DROP = GateResult("max_accuracy_drop", "pass", 0.01, 0.002754, Interval(-0.0007167, 0.006368, 0.9))


@pytest.mark.parametrize(
    ("gate", "line"),
    [
        (
            DROP,
            "gate max_accuracy_drop=0.01: pass, drop 0.28 pt (90% interval -0.07 pt to +0.64 pt)",
        ),
        (
            GateResult("min_speedup", "inconclusive", 1.5, 1.48, Interval(1.4, 1.56), "more"),
            "gate min_speedup=1.5: inconclusive, speed-up 1.48x (95% interval 1.40x to 1.56x); "
            "to settle it: more",
        ),
        (
            GateResult("max_p95_seconds", "fail", 0.01, 0.0123, Interval(0.012, 0.0125)),
            "gate max_p95_seconds=0.01: fail, p95 12.3 ms (95% interval 12.0 ms to 12.5 ms)",
        ),
        (
            GateResult("min_requests_per_second", "pass", 100, 241.3, Interval(230, 250)),
            "gate min_requests_per_second=100: pass, capacity 241/s (95% interval 230/s to 250/s)",
        ),
        (
            GateResult("max_size_bytes", "pass", 3_456_789, 2_000_000),
            "gate max_size_bytes=3456789: pass, weights 2.00 MB",
        ),
        (
            GateResult("max_peak_rss_bytes", "inconclusive", 3e8, None, needs="a system that tells it"),
            "gate max_peak_rss_bytes=300000000: inconclusive; to settle it: a system that tells it",
        ),
        (
            GateResult("max_failed_share", "inconclusive", 0.01, 0.034),
            "gate max_failed_share=0.01: inconclusive, rows not read 3.4%",
        ),
    ],
)
def test_each_gate_is_told_in_its_own_terms(gate, line):
    assert gate_line(gate) == line


@pytest.mark.parametrize(
    ("gate", "told"),
    [
        (GateResult("max_size_bytes", "fail", 3e6, 3_000_400), "weights just above 3.00 MB"),
        (GateResult("max_size_bytes", "pass", 3e6, 3_000_000), "weights 3.00 MB"),
        (GateResult("min_speedup", "fail", 1.2, 1.17, Interval(1.14, 1.1997)), "1.14x to just below 1.20x"),
        (
            GateResult("max_accuracy_drop", "pass", 0.01, 0.004, Interval(-0.001, 0.00998, 0.9)),
            "-0.10 pt to just below +1.00 pt",
        ),
        (GateResult("max_accuracy_drop", "pass", 0.01, -0.0), "drop 0.00 pt"),
    ],
)
def test_rounding_never_hides_on_which_side_of_the_bound_a_number_lies(gate, told):
    assert told in gate_line(gate)


def test_the_page_writes_gates_as_the_terminal_does():
    row = [cell.text for cell in gates_table([DROP]).rows[0]]
    assert row == ["max_accuracy_drop", "✓ pass", "1.00 pt", "0.28 pt", "-0.07 pt", "+0.64 pt"]
    assert gates_table([DROP]).rows[0][3].value == 0.002754


def test_markdown_holds_the_same_line_and_the_whole_sentence(made_run):
    sentence = "The candidate is fast, " + "and " * 100 + "the machine was disturbed: measure again."
    text = to_markdown(replace(made_run(), verdict=Verdict("SHIP", [DROP], sentence)), "")
    assert gate_line(DROP).replace("_", r"\_") in text
    assert f"**{sentence}**" in text
