"""Messages of Hydra and OmegaConf, in one line that names the key and what to do."""

import pytest
from hydra.errors import ConfigCompositionException

from optbench.hydra_app.complaints import complaint


def caused(message, cause=None):
    error = ConfigCompositionException(message)
    error.__cause__ = None if cause is None else ValueError(cause)
    return error


@pytest.mark.parametrize(
    ("message", "cause", "told"),
    [
        (
            "Error merging override quantization=dynamic",
            "Invalid type assigned: str is not a subclass of Quantization. value: dynamic\n"
            "full_key: quantization",
            "quantization: it holds settings of its own and cannot be dynamic; set one of them with a dot, "
            "KEY.NAME=VALUE, or choose an option with quant=dynamic",
        ),
        (
            "Error merging override batch_size=x",
            "Value 'x' of type 'str' could not be converted to Integer\n full_key: batch_size",
            "batch_size: Value 'x' of type 'str' could not be converted to Integer",
        ),
        (
            "Error merging override quality.metrics=a",
            "Invalid value assigned: str is not a ListConfig, TupleConfig, list, or tuple.",
            "quality.metrics: a list is required, such as [a,b], found one str",
        ),
        (
            "Error merging override seed=null",
            "field 'seed' is not Optional",
            "seed: a value is required, found null",
        ),
        (
            "Could not override 'dataset.files'.\nTo append to your config use +dataset.files.a=b",
            "Key 'a' is not in struct\n full_key: dataset.files.a",
            "dataset.files.a: names of your own are added with a plus: '+dataset.files={NAME: VALUE}'",
        ),
        (
            "In 'experiment/own': ConfigKeyError raised while composing config:",
            "Key 'experiment' not in 'RunConfig'",
            "a file of the group experiment must begin with the line '# @package _global_'",
        ),
        (
            "Sweep parameters 'seed=1,2' requires --multirun",
            None,
            "seed=1,2 holds several values; a sweep needs -m",
        ),
        (
            "In 'own': ValidationError raised while composing config:",
            "Value 'big' of type 'str' could not be converted to Integer\n full_key: measure.replicates",
            "measure.replicates: In 'own': Value 'big' of type 'str' could not be converted to Integer",
        ),
    ],
)
def test_a_message_is_told_so(message, cause, told):
    assert complaint(caused(message, cause)) == told


def test_a_key_that_is_like_no_other_is_answered_with_those_there_are():
    from optbench.config import ServerConfig

    error = caused("Could not override 'measure.server.x'.", "Key 'x' not in 'ServerConfig'")
    error.__cause__.object_type = ServerConfig
    assert complaint(error).endswith(
        "; it has bound_seconds, percentile, arrivals, requests, rates, budget_seconds"
    )
