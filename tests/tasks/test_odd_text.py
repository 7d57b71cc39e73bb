"""Odd text walks through every text task: read, encoded, run, scored, written; nothing is lost silently."""

import itertools
import json

import pyarrow.parquet as pq
import pytest

from optbench.checkpoint import read_spec
from optbench.components import DataKeys
from optbench.datasets.labelled import LabelledDataset
from optbench.errors import DataError
from optbench.processes.examples import ExampleHost
from optbench.processes.outputs import ROW, Evaluation
from optbench.records import to_json
from optbench.rows.ragged import load_table, save_table
from optbench.rows.tokenization import cut_pair, load_tokenizer
from optbench.tasks.fill_mask import FillMask
from optbench.tasks.question_answering import QuestionAnswering
from optbench.tasks.sentence_similarity import SentenceSimilarity
from optbench.tasks.text_classification import TextClassification
from optbench.tasks.token_classification import TokenClassification

ODD = {
    "empty": "",
    "white space": " \t\n\u00a0\u3000",
    "emoji": "good 😀👩‍👩‍👧‍👦🇦🇶 film",
    "long line": "good film " * 10_000,
    "long word": "g" * 100_000,
    "right to left": "فيلم جيد \u202e bad \u202c סרט טוב",
    "combining": "e\u0301" * 50 + "\u0338",
    "nul": "good\x00film \x00",
    "control": "a\x1b[31m bad\x7f\x85\u2028film\r\n",
    "unassigned": "\uffff\ufdd0\ue000 \U0010ffff",
    "special tokens": "[CLS] [MASK] [SEP] [PAD]",
    "byte order mark": "\ufeffgood",
}
TASKS = {
    "text-classification": (TextClassification(), "BertForSequenceClassification"),
    "pairs": (TextClassification(), "BertForSequenceClassification"),
    "token-classification": (TokenClassification(), "BertForTokenClassification"),
    "question-answering": (QuestionAnswering(max_length=24, doc_stride=8), "BertForQuestionAnswering"),
    "fill-mask": (FillMask(), "BertForMaskedLM"),
    "sentence-similarity": (SentenceSimilarity(), "BertModel"),
}
ROWS = {
    "text-classification": lambda text: {"text": text, "label": 0},
    "pairs": lambda text: {"text": text, "other": text, "label": 0},
    "token-classification": lambda text: {"tokens": ["a", text], "tags": ["A", "B"]},
    "question-answering": lambda text: {"question": "a film", "context": text, "answers": [text[:9]]},
    "fill-mask": lambda text: {"text": text},
    "sentence-similarity": lambda text: {"text": text, "other": text},
}


def keys_of(kind):
    return {"text-classification": DataKeys("text"), "fill-mask": DataKeys("text")}.get(
        kind, DataKeys("text", "other") if kind in ("pairs", "sentence-similarity") else DataKeys()
    )


def evaluated(kind, texts, build_bert, run_rows, place):
    """Everything that a run does with rows, in this process; returns the result and the predictions."""
    task, architecture = TASKS[kind]
    directory = build_bert(architecture)
    (place / "rows.jsonl").write_text("".join(json.dumps(ROWS[kind](text)) + "\n" for text in texts))
    dataset = LabelledDataset(path=str(place / "rows.jsonl"), data_keys=keys_of(kind))
    host = ExampleHost(task, dataset, read_spec(directory), seed=0)
    opened = host.open(None, None)
    host.write_rows(place / "rows.npz")
    host.write_feeds(place / "feeds.npz", (2, 24), True)
    outputs = run_rows(task, directory, load_table(place / "rows.npz"))
    plan = Evaluation(task, place / "rows.npz", place / "out", 1, host.padding())
    save_table(plan.output(0), [{**output, ROW: number} for number, output in enumerate(outputs)])
    both = {"baseline": plan, "candidate": plan}
    result = host.score(both, 1, opened.metrics, place / "predictions.parquet")
    return opened, result, pq.read_table(place / "predictions.parquet").to_pylist()


@pytest.mark.parametrize("kind", list(TASKS))
def test_odd_texts_are_answered_or_counted(kind, build_bert, run_rows, tmp_path):
    odd = {**ODD, "long line": "good film " * 200} if kind == "question-answering" else ODD
    texts = [*odd.values(), "a good film"]
    opened, result, predictions = evaluated(kind, texts, build_bert, run_rows, tmp_path)
    assert result.rows + result.failed_rows == len(texts)
    assert len(predictions) == result.rows == opened.record.rows
    assert result.failed_rows == 0
    json.loads(to_json(result))


def test_a_pair_of_long_texts_is_cut_before_its_combinations_are_built(bare_model):
    """Two texts of 100 kB take a fast tokenizer minutes; what is left must be what it would have left."""
    tokenizer = load_tokenizer(bare_model)
    for words, others, length in itertools.product((40, 41, 60), (27, 40), (8, 9)):
        one, two = "good film " * words, "plot the fine unknown " * others
        cut = cut_pair(tokenizer, one, two, length)
        assert max(map(len, cut)) < 200
        whole, left = (
            tokenizer(*pair, truncation=True, max_length=length)["input_ids"] for pair in ((one, two), cut)
        )
        assert whole == left
    assert cut_pair(tokenizer, "short", "good film " * 900, 8) == ("short", "good film " * 900)
    assert cut_pair(tokenizer, "g" * 9000, "p" * 9000, 8) == ("g" * 9000, "p" * 9000)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        (
            "rows.jsonl",
            b'{"text": "a"}\n{"text": "good \\ud83d"}\n',
            "surrogate pair .* in row 1",
        ),
        ("rows.jsonl", b'{"text": "good \xff film"}\n', "UTF8 .*; texts must be UTF-8"),
        ("rows.csv", b"text,label\ngood \xff film,1\n", "'utf-8' codec can't decode byte 0xff"),
    ],
)
def test_text_that_is_no_unicode_is_refused_with_the_file_in_one_line(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"{name} cannot be read: .*{reason}") as caught:
        LabelledDataset(path=str(tmp_path / name)).load("test")
    assert "\n" not in str(caught.value)
