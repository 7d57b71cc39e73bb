"""Rows: missing, unreadable, in other columns than said, with labels or numbers that do not fit."""

from __future__ import annotations

from bad_input.files import edited, folder, jsonl, model, rows, text
from bad_input.row import Make, Row, row

BASE = (
    "-q baseline=fake backend=fake quant=none measure=quick measure.start=spawn model=pretrained "
    "model.path=model dataset=labelled"
)
REGRESSION = edited("model/config.json", id2label={"0": "SCORE"})


def of(path: str, *words: str, files: tuple[Make, ...] = (), more: str = "") -> Row:
    """A row about the dataset at `path`, beside a whole model."""
    return row(f"{BASE} dataset.path={path} {more}".strip(), *words, files=(model, rows, *files))


def on_rows(more: str, *words: str) -> Row:
    """A row about settings beside forty whole rows with the columns text and label."""
    return of("rows.jsonl", *words, more=more)


def data(
    *words: str, lines: tuple[dict[str, object], ...], more: str = "", files: tuple[Make, ...] = ()
) -> Row:
    """A row about these lines of JSON."""
    return of("data.jsonl", *words, files=(jsonl(*lines), *files), more=more)


PLACES = [
    of("./none.csv", "dataset.path=./none.csv", "nothing there", "spelling"),
    of("none.jsonl", "dataset.path=none.jsonl", "nothing there"),
    of("no-such/data", "dataset.path=no-such/data", "hub", "spelling"),
    of("nosuchdata", "dataset.path=nosuchdata", "hub"),
    of("empty", "dataset.path=empty", files=(folder("empty"),)),
    of("notes", "dataset.path=notes", files=(text("notes/readme.md", "nothing"),)),
    of("data.xlsx", "data.xlsx has no known ending", ".csv", ".jsonl", files=(text("data.xlsx", "x"),)),
    of("data", "has no known ending", ".csv", files=(text("data", "text,label\na,1\n"),)),
    of("empty.csv", "empty.csv is empty", "one row", files=(text("empty.csv", ""),)),
    of("empty.jsonl", "empty.jsonl is empty", files=(text("empty.jsonl", ""),)),
    of("headline.csv", "headline.csv", "no rows", files=(text("headline.csv", "text,label\n"),)),
    of("blank.jsonl", "blank.jsonl", files=(text("blank.jsonl", "\n\n"),)),
    of("list.json", "list.json", files=(text("list.json", "[]"),)),
    of(
        "parts",
        "'test'",
        "files",
        files=(text("parts/a.csv", "text,label\na,1\n"),),
        more="'+dataset.files={train: a.csv}'",
    ),
    of(
        "parts",
        "dataset.files.test",
        "gone.csv",
        "does not exist",
        files=(folder("parts"),),
        more="'+dataset.files={test: gone.csv}'",
    ),
    of(
        "parts",
        "dev",
        "train",
        "dataset.eval_split=",
        files=(text("parts/train.csv", "text,label\na,1\n"),),
        more="dataset.eval_split=dev",
    ),
]

FORGOTTEN = [
    row(
        "model.path=model dataset.path=rows.jsonl",
        "dataset.path must be the directory",
        "got the file rows.jsonl",
        "for your own rows add dataset=labelled",
        "model=pretrained",
        files=(model, rows),
    ),
    row(
        "dataset.path=parts",
        "dataset.files.test=parts/sentiment-test.jsonl does not exist",
        "add dataset=labelled",
        files=(folder("parts"),),
    ),
]
"""Rows of one's own under the group of the demo's."""

UNREADABLE = [
    of(
        "broken.jsonl",
        "broken.jsonl",
        "cannot be read",
        files=(text("broken.jsonl", '{"text": "a", "label": 0}\n{"text": "b", "lab\n'),),
    ),
    of(
        "broken.jsonl",
        "broken.jsonl",
        "line 3",
        files=(text("broken.jsonl", '{"text": "a", "label": 0}\n{"text": "b", "label": 1}\n]]\n'),),
    ),
    of("words.json", "words.json", "cannot be read", files=(text("words.json", "just words"),)),
    of("number.json", "number.json", files=(text("number.json", "5"),)),
    of("strings.jsonl", "strings.jsonl", files=(text("strings.jsonl", '"a"\n"b"\n'),)),
    of(
        "uneven.csv",
        "uneven.csv",
        "cannot be read",
        "line 3",
        files=(text("uneven.csv", "text,label\na,1\nb,0,extra,more\n"),),
    ),
    of("quote.csv", "quote.csv", files=(text("quote.csv", 'text,label\n"a,1\nb,0\n'),)),
    of("binary.csv", "binary.csv", files=(text("binary.csv", b"\x00\x01\x02\x03\xff"),)),
    of("latin.csv", "latin.csv", "UTF-8", files=(text("latin.csv", b"text,label\ncaf\xe9,1\n"),)),
    of(
        "latin.jsonl",
        "latin.jsonl",
        "UTF-8",
        files=(text("latin.jsonl", b'{"text": "caf\xe9", "label": 1}\n'),),
    ),
    of("not.parquet", "not.parquet", "cannot be read", files=(text("not.parquet", "text,label\na,1\n"),)),
    of("cut.parquet", "cut.parquet", "cannot be read", files=(text("cut.parquet", b"PAR1\x15\x04"),)),
    of("not.arrow", "not.arrow", "cannot be read", files=(text("not.arrow", "x"),)),
    of("saved", "saved", "cannot be read", files=(text("saved/state.json", "{}"),)),
    of("saved", "saved", "cannot be read", files=(text("saved/dataset_dict.json", "{"),)),
    of(
        "mixed.jsonl",
        "dataset.data_keys.primary must name the text column",
        "text (other)",
        files=(text("mixed.jsonl", '{"text": "a", "label": 0}\n{"text": 5, "label": 1}\n'),),
    ),
    of(
        "mixed.jsonl",
        "labels do not match",
        "0, bad",
        files=(text("mixed.jsonl", '{"text": "a", "label": 0}\n{"text": "b", "label": "bad"}\n'),),
    ),
    of(
        "latin.jsonl",
        "UTF-8",
        files=(text("latin.jsonl", b'{"text": "caf\xe9", "label": 1}\n'),),
        more="dataset.streaming=true quality.max_eval_samples=1",
    ),
    of(
        "broken.jsonl",
        "cannot be read",
        files=(text("broken.jsonl", '{"text": "a"\n]]'),),
        more="dataset.streaming=true quality.max_eval_samples=1",
    ),
]

COLUMNS = [
    on_rows("dataset.data_keys.primary=body", "dataset.data_keys.primary=body is no column", "text (string)"),
    on_rows(
        "dataset.data_keys.primary=text dataset.data_keys.secondary=body",
        "dataset.data_keys.secondary=body is no column",
    ),
    on_rows("dataset.data_keys.secondary=text", "dataset.data_keys.primary must name"),
    on_rows("dataset.ref_keys=[gold]", "dataset.ref_keys=gold is no column", "label (number)"),
    on_rows("dataset.data_keys.primary=label", "dataset.data_keys.primary=label", "text is required", "row "),
    data(
        "dataset.data_keys.primary must name the text column",
        "body (string)",
        "NAME",
        lines=({"text": "a", "body": "b", "label": 0},),
    ),
    data("dataset.data_keys.primary must name the text column", "label (number)", lines=({"label": 0},)),
    data(
        "dataset.ref_keys must name the column",
        "label (number)",
        "score (number)",
        lines=({"text": "a", "label": 0, "score": 1},),
    ),
    data(
        "no row can be used",
        "text is required",
        "row 0",
        lines=({"text": None, "label": 0},),
        more="dataset.data_keys.primary=text",
    ),
    data(
        "text is required",
        "row 0",
        lines=({"text": ["a", "b"], "label": 0},),
        more="dataset.data_keys.primary=text",
    ),
    on_rows("task=token-classification", "dataset.data_keys.primary must name", "words", "text"),
    on_rows("task=question-answering", "dataset."),
    on_rows("task=image-classification", "image"),
]

LABELS = [
    data(
        "labels do not match",
        "7",
        "NEGATIVE, POSITIVE",
        "'+task.label_map={7: NEGATIVE}'",
        lines=({"text": "a", "label": 7},),
    ),
    data("labels do not match", "-1", lines=({"text": "a", "label": -1}, {"text": "b", "label": 0})),
    data(
        "labels do not match",
        "good",
        "NEGATIVE, POSITIVE",
        "'+task.label_map={bad: NEGATIVE, good: POSITIVE}'",
        lines=({"text": "a", "label": "good"}, {"text": "b", "label": "bad"}),
    ),
    data(
        "labels do not match",
        "bad, good",
        lines=({"text": "a", "label": "good"}, {"text": "b", "label": "bad"}),
        more="'+task.label_map={good: GOOD}'",
    ),
    on_rows("'+task.label_map={0: NEGATIV}'", "labels do not match", "NEGATIVE, POSITIVE"),
    data(
        "dataset.ref_keys=label",
        "row 1",
        "no label",
        lines=({"text": "a", "label": 1}, {"text": "b", "label": None}),
    ),
    data(
        "dataset.ref_keys=label",
        "row 1",
        "no label",
        lines=({"text": "a", "label": "POSITIVE"}, {"text": "b", "label": None}),
    ),
    data(
        "dataset.ref_keys=label",
        "no label",
        lines=({"text": "a", "label": None}, {"text": "b", "label": None}),
    ),
    of(
        "gap.csv",
        "dataset.ref_keys=label",
        "row 1",
        "no label",
        files=(text("gap.csv", "text,label\na,1\nb,\nc,0\n"),),
    ),
    data("labels do not match", "0.5", lines=({"text": "a", "label": 0.5}, {"text": "b", "label": 1.0})),
    data("dataset.ref_keys=label", "list", lines=({"text": "a", "label": [1]}, {"text": "b", "label": [0]})),
    data(
        "labels do not match",
        "A, B, C",
        lines=({"text": "a", "label": "x"},),
        files=(edited("model/config.json", id2label={"0": "A", "1": "B", "2": "C"}),),
    ),
    data(
        "dataset.ref_keys=label must hold numbers",
        "'good'",
        "row 0",
        lines=({"text": "a", "label": "good"},),
        more="task.is_regression=true",
        files=(REGRESSION,),
    ),
    data(
        "dataset.ref_keys=label must hold numbers",
        "None",
        "row 1",
        lines=({"text": "a", "label": 1.5}, {"text": "b", "label": None}),
        more="task.is_regression=true",
        files=(REGRESSION,),
    ),
    of(
        "gap.csv",
        "dataset.ref_keys=label must hold numbers",
        "row 1",
        files=(text("gap.csv", "text,label\na,1.5\nb,\nc,0\n"), REGRESSION),
        more="task.is_regression=true",
    ),
    of(
        "inf.csv",
        "dataset.ref_keys=label must hold numbers",
        "inf",
        "row 1",
        files=(text("inf.csv", "text,label\na,1.5\nb,inf\nc,0\n"), REGRESSION),
        more="task.is_regression=true",
    ),
]

UNLABELLED = [
    of(
        "gold.csv",
        "gates.max_accuracy_drop=0.01 must have labelled rows",
        "sentence (string), gold (number)",
        "'dataset.ref_keys=[gold]'",
        files=(text("gold.csv", "sentence,gold\na,1\nb,0\n"),),
        more="gates.max_accuracy_drop=0.01",
    ),
    of(
        "bare.csv",
        "quality.margin=0.02 must have labelled rows",
        "no labels",
        files=(text("bare.csv", "text\na\nb\n"),),
        more="quality.margin=0.02",
    ),
]

COUNTS = [
    on_rows("quality.max_eval_samples=41", "quality.max_eval_samples must not exceed", "40 rows", "got 41"),
    on_rows("quality.skip_samples=40", "quality.skip_samples must leave rows", "got 40 of the 40 rows"),
    on_rows("quality.skip_samples=30 quality.max_eval_samples=20", "quality.skip_samples must leave rows"),
    on_rows("quality.metrics=[acuracy]", "quality.metrics must name known metrics", "acuracy", "accuracy"),
    on_rows("quality.metrics=[pearson]", "quality.metrics=pearson is a regression metric", "accuracy"),
    on_rows("quality.metrics=[./gone.py]", "quality.metrics=./gone.py", "there is no"),
    on_rows("quality.metrics=['evaluate:']", "quality.metrics must read", "evaluate:NAME"),
    on_rows("quality.metrics=['evaluate:nosuch']", "quality.metrics=evaluate:nosuch", "hub"),
    on_rows("quality.metrics=['evaluate:a@b@c']", "quality.metrics must read", "@KEY"),
    on_rows(
        "backend=onnxruntime quant=static",
        "dataset.calibration_split must name a split other than test",
        "40 rows",
        "quality.max_eval_samples",
    ),
    on_rows(
        "backend=onnxruntime quant=static dataset.calibration_split=test",
        "dataset.calibration_split must name a split other than test",
    ),
    on_rows(
        "backend=onnxruntime quant=static dataset.calibration_split=train",
        "dataset.calibration_split=train must hold rows that are not evaluated",
        "all 40",
    ),
    of(
        "parts",
        "validation",
        "dataset.calibration_split",
        files=(
            text("parts/test.csv", "text,label\na,1\nb,0\n"),
            text("parts/train.csv", "text,label\nc,1\n"),
        ),
        more="backend=onnxruntime quant=static dataset.calibration_split=validation",
    ),
    of(
        "parts",
        "dataset.calibration_split=train must have the columns",
        "text",
        "body",
        files=(
            text("parts/test.csv", "text,label\na,1\nb,0\n"),
            text("parts/train.jsonl", '{"body": "c"}\n'),
        ),
        more="backend=onnxruntime quant=static dataset.calibration_split=train "
        "'+dataset.files={test: test.csv, train: train.jsonl}'",
    ),
]

ROWS: list[Row] = [*PLACES, *FORGOTTEN, *UNREADABLE, *COLUMNS, *LABELS, *UNLABELLED, *COUNTS]
