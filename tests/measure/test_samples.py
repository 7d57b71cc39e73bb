"""Raw timings and what derives from them without any statistics."""

import numpy as np
import pytest

from optbench.measure.samples import Block, Placed, Samples, Totals


def block(*nanoseconds, settling=1, cpu=0):
    return Block(list(nanoseconds), settling, cpu, started_nanoseconds=0)


@pytest.fixture
def samples():
    return Samples(
        [
            Placed(1, 0, 0, "candidate", block(90, 40, 50, cpu=80)),
            Placed(1, 0, 1, "baseline", block(99, 100, cpu=90)),
            Placed(0, 0, 0, "baseline", block(500, 110, 120, cpu=200)),
            Placed(0, 0, 1, "candidate", block(700, 60, cpu=50)),
            Placed(0, 1, 0, "candidate", block(700, 70, cpu=60)),
        ]
    )


def test_settling_calls_are_kept_and_never_counted():
    one = block(900, 10, 20, settling=1)
    assert (one.counted_calls, one.counted_nanoseconds) == (2, 30)
    assert list(one.nanoseconds) == [900, 10, 20]


def test_a_block_of_settling_calls_only_counts_nothing():
    assert (block(5).counted_calls, block(5).counted_nanoseconds) == (0, 0)


def test_variants_come_in_order_of_appearance_and_replicates_ascending(samples):
    assert samples.variants() == ["candidate", "baseline"]
    assert samples.replicates() == [0, 1]


def test_counted_seconds_are_in_time_order_and_can_be_those_of_one_replicate(samples):
    assert samples.counted_seconds("candidate") == pytest.approx([40e-9, 50e-9, 60e-9, 70e-9])
    assert samples.counted_seconds("candidate", replicate=0) == pytest.approx([60e-9, 70e-9])
    assert samples.counted_seconds("nobody").shape == (0,)


def test_counted_blocks_are_grouped_by_ascending_replicate(samples):
    first, second = samples.counted_blocks("candidate")
    assert [list(np.rint(calls * 1e9)) for calls in first] == [[60], [70]]
    assert [list(np.rint(calls * 1e9)) for calls in second] == [[40, 50]]


def test_totals_add_up_calls_wall_and_cpu_time_per_replicate(samples):
    assert samples.totals("candidate") == [
        Totals(2, pytest.approx(130e-9), pytest.approx(110e-9)),
        Totals(2, pytest.approx(90e-9), pytest.approx(80e-9)),
    ]


def test_a_variant_that_missed_a_replicate_has_zero_totals_there(samples):
    samples.extend([Placed(2, 0, 0, "baseline", block(1, 2))])
    assert samples.totals("candidate")[2] == Totals(0, 0.0, 0.0)
