"""Python values come out of Hydra as what they were."""

from enum import Enum
from pathlib import Path

import numpy as np
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from optbench.api.overrides import as_overrides, override
from optbench.errors import ConfigError


class Size(Enum):
    large = "very large"


def read(text):
    """What Hydra's own parser makes of an override."""
    (parsed,) = OverridesParser.create().parse_overrides([text])
    assert not parsed.is_sweep_override()
    return parsed.value()


@pytest.mark.parametrize(
    "value",
    [
        8,
        -3,
        0.02,
        1e-9,
        float("inf"),
        True,
        False,
        None,
        "dynamic",
        "none",
        "null",
        "True",
        "8",
        "1e3",
        "",
        "a b",
        " padded ",
        "1,8",
        "[1,8]",
        "{a: b}",
        "choice(1,8)",
        "/data/it's here/rows (1).csv",
        "C:\\rows\\",
        "back\\'slash",
        "tiny-sentiment",
        "größer=als",
        ["accuracy", "f1"],
        [1, [2, "3"]],
        [],
        {"pos": "POSITIVE", "neg": "a b"},
    ],
    ids=repr,
)
def test_a_value_is_read_back_as_it_was(value):
    assert read(override("key", value)) == value
    assert type(read(override("key", value))) is type(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.int64(8), "key=8"),
        (np.float32(0.5), "key=0.5"),
        (Size.large, "key=large"),
        (Path("/data/rows.csv"), "key=/data/rows.csv"),
        ((1, 2), "key=[1,2]"),
        ("dynamic", "key=dynamic"),
    ],
)
def test_other_kinds_of_values_are_written_plainly(value, text):
    assert override("key", value) == text


@pytest.mark.parametrize("value", [object(), {"a b": 1}, [object()], b"bytes".__iter__], ids=type)
def test_a_value_without_a_form_is_refused_by_its_key(value):
    with pytest.raises(ConfigError, match="key must be a number, a text, true or false, None, or a list"):
        override("key", value)


def test_overrides_are_a_text_a_list_or_a_mapping():
    assert as_overrides("batch_size=8") == ["batch_size=8"]
    assert as_overrides(["batch_size=8", "~recipe"]) == ["batch_size=8", "~recipe"]
    assert as_overrides({"batch_size": 8, "+experiment": "demo"}) == ["batch_size=8", "+experiment=demo"]
    assert as_overrides(()) == []
    with pytest.raises(ConfigError, match=r"overrides must be texts .* got 8 \(int\)"):
        as_overrides(["quant=none", 8])
