"""Scaling of numbers for people."""

import pytest

from optbench import units


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.0, "0 µs"),
        (0.0000123, "12.3 µs"),
        (0.00412, "4.12 ms"),
        (0.0412, "41.2 ms"),
        (0.412, "412 ms"),
        (1.5, "1.50 s"),
        (75.0, "75.0 s"),
        (150.0, "2.5 min"),
    ],
)
def test_seconds(value, text):
    assert units.format_seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (12, "12 B"),
        (5_300, "5.30 kB"),
        (5_300_000, "5.30 MB"),
        (2_500_000_000, "2.50 GB"),
    ],
)
def test_bytes(value, text):
    assert units.format_bytes(value) == text


def test_rates_ratios_shares_and_points():
    assert units.format_rate(241.3) == "241/s"
    assert units.format_rate(12345.6) == "12,346/s"
    assert units.format_rate(None) == "–"
    assert units.format_ratio(1.4142) == "1.41x"
    assert units.format_ratio(None) == "–"
    assert units.format_share(0.0213) == "2.1%"
    assert units.format_share(None) == "–"
    assert units.format_points(-0.004) == "-0.40 pt"
    assert units.format_points(None) == "–"
    assert units.three_digits(0.01234) == "0.0123"
