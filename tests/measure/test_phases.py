"""Times to the first token and per token after it, by hand from raw nanoseconds."""

import math

import numpy as np
import pytest

from optbench.measure.phases import end_to_end, generation, model_speedup, speedups
from optbench.measure.samples import Block, Placed, Samples
from optbench.measure.statistics import log_half_width, ratio_estimate, throughput

MS = 1_000_000


def block(calls, first, settling=1):
    """A block of calls and their first tokens, in milliseconds."""
    stamps, firsts = ([value * MS for value in values] for values in (calls, first))
    return Block(stamps, settling, 1, 0, first_token_nanoseconds=firsts)


def rate_of(samples, variant="baseline", batch_size=1):
    return throughput(samples, variant, batch_size).samples_per_second


@pytest.fixture
def samples():
    placed = [
        Placed(0, 0, 0, "baseline", block([90, 50, 70], [50, 10, 20])),
        Placed(0, 0, 1, "candidate", block([90, 25], [50, 5])),
        Placed(0, 1, 0, "baseline", block([90, 60], [50, 30])),
        Placed(0, 1, 1, "candidate", block([90, 35], [50, 5])),
        Placed(1, 0, 0, "baseline", block([90, 100], [50, 40])),
        Placed(1, 0, 1, "candidate", block([90, 30], [50, 10])),
    ]
    return Samples(placed)


def test_phases_are_means_over_the_counted_calls(samples):
    found = generation(samples, "baseline", rate_of(samples, "baseline", 2), new_tokens=5)
    first, rest = [10, 20, 30, 40], [40 / 4, 50 / 4, 30 / 4, 60 / 4]
    assert found.new_tokens == 5
    for phase, milliseconds in ((found.first_token, first), (found.per_output_token, rest)):
        assert phase.calls == 4
        assert phase.mean_seconds == pytest.approx(np.mean(milliseconds) / 1e3)
        assert phase.std_seconds == pytest.approx(np.std(milliseconds, ddof=1) / 1e3)
        assert phase.min_seconds == pytest.approx(min(milliseconds) / 1e3)
        assert phase.max_seconds == pytest.approx(max(milliseconds) / 1e3)
        assert phase.percentiles[0].q == 0.5
    # 4 calls of 2 rows and 5 tokens in 50 + 70 + 60 + 100 ms; rates of the replicates 3/180 and 1/100.
    rate = found.output_tokens_per_second
    assert rate.value == pytest.approx(4 * 2 * 5 / 0.280)
    half = log_half_width([math.log(3 / 0.180), math.log(1 / 0.100)])
    assert rate.interval.high == pytest.approx(rate.value * math.exp(half))
    assert rate.interval.low == pytest.approx(rate.value / math.exp(half))


def test_speedups_of_phases_take_the_replicate_as_the_unit(samples):
    found = speedups(samples, "baseline", "candidate", new_tokens=5)
    first = [math.log(20 / 5), math.log(40 / 10)]
    rest = [math.log((40 + 50 + 30) / 3 / 25), math.log(60 / 20)]
    assert found.first_token.value == pytest.approx(math.exp(np.mean(first)))
    assert found.first_token.interval.low == pytest.approx(ratio_estimate(first).interval.low)
    assert found.per_output_token.value == pytest.approx(math.exp(np.mean(rest)))
    assert found.per_output_token.interval.low == pytest.approx(ratio_estimate(rest).interval.low)


def test_a_single_token_has_no_decode_steps(samples):
    assert generation(samples, "baseline", rate_of(samples), new_tokens=1).per_output_token is None
    assert speedups(samples, "baseline", "candidate", new_tokens=1).per_output_token is None


def test_forward_passes_have_no_phases():
    plain = Samples([Placed(0, 0, 0, "baseline", Block([5, 6], 1, 1, 0))])
    assert generation(plain, "baseline", rate_of(plain), new_tokens=None) is None
    assert speedups(plain, "baseline", "baseline", None).first_token is None
    assert plain.first_token_seconds("baseline") == {}


def test_one_replicate_gives_no_interval(samples):
    one = Samples(samples.blocks[:2])
    assert speedups(one, "baseline", "candidate", 5).first_token.interval is None
    assert (
        generation(one, "candidate", rate_of(one, "candidate"), 5).output_tokens_per_second.interval is None
    )


def test_a_variant_that_died_early_leaves_the_other_replicates(samples):
    cut = Samples(samples.blocks[:5])
    found = speedups(cut, "baseline", "candidate", 5).first_token
    assert found.value == pytest.approx(4)
    assert speedups(Samples(cut.blocks[:1]), "baseline", "candidate", 5).first_token is None


def whole_block(calls, model, settling=1):
    """A block of calls from raw rows to answers and the model's part of each, in milliseconds."""
    stamps, parts = ([value * MS for value in values] for values in (calls, model))
    return Block(stamps, settling, 1, 0, model_nanoseconds=parts)


def test_a_whole_answer_is_the_model_and_what_is_around_it():
    placed = [
        Placed(0, 0, 0, "baseline", whole_block([90, 50, 70], [80, 40, 50])),
        Placed(0, 0, 1, "candidate", whole_block([90, 20], [80, 10])),
        Placed(1, 0, 0, "baseline", whole_block([90, 80], [80, 60])),
        Placed(1, 0, 1, "candidate", whole_block([90, 30], [80, 15])),
    ]
    samples = Samples(placed)
    found = end_to_end(samples, "baseline")
    assert (found.model.calls, found.processing.calls) == (3, 3)
    assert found.model.mean_seconds == pytest.approx(0.050)
    assert found.processing.mean_seconds == pytest.approx((10 + 20 + 20) / 3 / 1e3)
    assert found.model_share == pytest.approx(150 / 200)
    thetas = [math.log(45 / 10), math.log(60 / 15)]
    assert model_speedup(samples, "baseline", "candidate").value == pytest.approx(math.exp(np.mean(thetas)))


def test_calls_of_the_model_alone_have_no_parts(samples):
    assert end_to_end(samples, "baseline") is None
    assert model_speedup(samples, "baseline", "candidate") is None
