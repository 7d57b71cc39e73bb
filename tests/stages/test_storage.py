"""samples.parquet and blocks.parquet: every call and every block, read back with pyarrow alone."""

import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from optbench.measure.samples import Block, Placed, Samples
from optbench.records import BLOCKS_FILE, SAMPLES_FILE
from optbench.stages import storage
from optbench.stages.storage import write_samples

SAMPLES = Samples(
    blocks=[
        Placed(0, 0, 0, "candidate", Block([90, 20, 30], 1, 45, 1000)),
        Placed(0, 0, 1, "baseline", Block([80, 70], 1, 60, 2000)),
        Placed(1, 0, 0, "baseline", Block([75], 0, 70, 3000)),
    ],
    probe_nanoseconds=[(0, 0, 555)],
)


@pytest.fixture
def written(tmp_path):
    write_samples(tmp_path, SAMPLES)
    return {file: pq.read_table(tmp_path / file) for file in (SAMPLES_FILE, BLOCKS_FILE)}


def test_every_call_has_a_row(written):
    table = written[SAMPLES_FILE]
    assert table.to_pydict() == {
        "replicate": [0, 0, 0, 0, 0, 1],
        "pair": [0, 0, 0, 0, 0, 0],
        "block": [0, 0, 0, 1, 1, 2],
        "position": [0, 0, 0, 1, 1, 0],
        "variant": ["candidate", "candidate", "candidate", "baseline", "baseline", "baseline"],
        "index": [0, 1, 2, 0, 1, 0],
        "settling": [True, False, False, True, False, False],
        "nanoseconds": [90, 20, 30, 80, 70, 75],
    }


def test_every_block_has_a_row_with_its_counted_time_and_the_probe_of_its_pair(written):
    table = written[BLOCKS_FILE]
    assert table.to_pydict() == {
        "replicate": [0, 0, 1],
        "pair": [0, 0, 0],
        "block": [0, 1, 2],
        "position": [0, 1, 0],
        "variant": ["candidate", "baseline", "baseline"],
        "calls": [3, 2, 1],
        "settling_calls": [1, 1, 0],
        "wall_nanoseconds": [50, 70, 75],
        "cpu_nanoseconds": [45, 60, 70],
        "started_nanoseconds": [1000, 2000, 3000],
        "probe_nanoseconds": [555, 555, None],
    }


def test_columns_have_fixed_types_also_where_all_values_are_null(written):
    types = {field.name: field.type for field in written[SAMPLES_FILE].schema}
    assert types["nanoseconds"] == pa.int64()
    assert (types["settling"], types["variant"], types["index"]) == (pa.bool_(), pa.string(), pa.int32())
    assert written[BLOCKS_FILE].schema.field("probe_nanoseconds").type == pa.int64()


def test_nanoseconds_of_long_runs_fit(tmp_path):
    week = 7 * 24 * 3600 * 10**9
    write_samples(tmp_path, Samples([Placed(0, 0, 0, "baseline", Block([week], 0, week, week))]))
    assert pq.read_table(tmp_path / SAMPLES_FILE)["nanoseconds"].to_pylist() == [week]


def test_no_samples_give_empty_tables_with_all_columns(tmp_path):
    write_samples(tmp_path, Samples())
    table = pq.read_table(tmp_path / SAMPLES_FILE)
    assert table.num_rows == 0
    assert table.column_names == list(storage.SAMPLE_COLUMNS)


def test_writing_again_replaces_and_leaves_no_other_file(tmp_path, written):
    write_samples(tmp_path, Samples(SAMPLES.blocks[:1]))
    assert pq.read_table(tmp_path / SAMPLES_FILE).num_rows == 3
    assert {file.name for file in tmp_path.iterdir()} == {SAMPLES_FILE, BLOCKS_FILE}


def test_calls_that_generate_keep_the_time_of_their_first_token(tmp_path):
    block = Block([90, 20], 1, 45, 1000, first_token_nanoseconds=[50, 5])
    write_samples(tmp_path, Samples([Placed(0, 0, 0, "candidate", block)]))
    table = pq.read_table(tmp_path / SAMPLES_FILE)
    assert table.column_names == [*storage.SAMPLE_COLUMNS, "first_token_nanoseconds"]
    assert table["first_token_nanoseconds"].to_pylist() == [50, 5]
    assert table.schema.field("first_token_nanoseconds").type == pa.int64()


def test_calls_from_raw_rows_to_answers_keep_the_time_of_their_model(tmp_path):
    block = Block([90, 20], 1, 45, 1000, model_nanoseconds=[80, 15])
    write_samples(tmp_path, Samples([Placed(0, 0, 0, "candidate", block)]))
    table = pq.read_table(tmp_path / SAMPLES_FILE)
    assert table.column_names == [*storage.SAMPLE_COLUMNS, "model_nanoseconds"]
    assert table["model_nanoseconds"].to_pylist() == [80, 15]


def test_an_interrupted_write_leaves_the_old_files(tmp_path, written, monkeypatch):
    def interrupted(table, where):
        where.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(pq, "write_table", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_samples(tmp_path, Samples())
    monkeypatch.undo()
    assert pq.read_table(tmp_path / SAMPLES_FILE).equals(written[SAMPLES_FILE])
    assert pq.read_table(tmp_path / BLOCKS_FILE).equals(written[BLOCKS_FILE])


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("int32", [1, -2, 3]),
        ("int64", [2**62, None, -(2**62), None]),
        ("float64", [0.1, None, -1e300]),
        ("string", ["baseline", "", None, "größer ✓", "x" * 1000]),
        ("bool_", [True, False, None, True, True, False, True, True, False, True]),
        ("int64", []),
        ("string", [None]),
    ],
    ids=str,
)
def test_columns_equal_those_that_pyarrow_makes(kind, values):
    made = storage.column_of(values, kind)
    made.validate(full=True)
    assert made.equals(pa.array(values, getattr(pa, kind)()))
    assert made.null_count == sum(value is None for value in values)


def test_writing_samples_leaves_pandas_alone(tmp_path):
    script = (
        "import sys; from pathlib import Path; "
        "from optbench.stages.storage import SAMPLE_COLUMNS, write_table; "
        "values = {'variant': 'baseline', 'settling': True}; "
        "columns = {name: [values.get(name, 1)] for name in SAMPLE_COLUMNS}; "
        "write_table(Path('samples.parquet'), columns, SAMPLE_COLUMNS); "
        "sys.exit('pandas' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path)
