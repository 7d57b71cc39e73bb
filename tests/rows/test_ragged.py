"""Tables of arrays of different lengths."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from optbench.rows.ragged import load_table, save_table


@given(st.lists(st.lists(st.integers(-5, 5), max_size=6), min_size=1, max_size=6))
def test_rows_of_any_length_come_back(tmp_path_factory, lengths):
    path = tmp_path_factory.mktemp("ragged") / "rows.npz"
    rows = [{"ids": np.array(row, dtype=np.int64)} for row in lengths]
    save_table(path, rows)
    for before, after in zip(rows, load_table(path), strict=True):
        np.testing.assert_array_equal(before["ids"], after["ids"])
        assert after["ids"].dtype == np.int64


def test_several_columns_and_dimensions(tmp_path):
    rows = [{"logits": np.ones((2, 3), np.float32) * n, "ids": np.arange(n + 1)} for n in range(3)]
    save_table(tmp_path / "rows.npz", rows)
    loaded = load_table(tmp_path / "rows.npz")
    assert [row["logits"].shape for row in loaded] == [(2, 3)] * 3
    assert [len(row["ids"]) for row in loaded] == [1, 2, 3]
    assert loaded[2]["logits"][0, 0] == 2
