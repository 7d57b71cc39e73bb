"""Quality on real models and real labels, against loops of transformers, scikit-learn and plain Python."""

import collections
import gzip
import json
import os
import re
import string
from pathlib import Path

import datasets
import numpy as np
import pytest

from optbench.artifacts.store import ArtifactStore
from optbench.backends.pytorch import PyTorch
from optbench.checkpoint import read_spec
from optbench.components import LoadOptions, Priority, WaitPolicy
from optbench.datasets.labelled import LabelledDataset
from optbench.processes.child import start
from optbench.processes.crew import Crew, Templates
from optbench.processes.examples import ENVIRONMENT
from optbench.processes.group import WorkerGroup
from optbench.processes.outputs import Evaluation
from optbench.processes.worker import Assignment
from optbench.stages.answering import EVALUATION_BATCH
from optbench.tasks.fill_mask import FillMask
from optbench.tasks.image_classification import ImageClassification
from optbench.tasks.question_answering import QuestionAnswering
from optbench.tasks.token_classification import TokenClassification

ASSETS = Path(os.environ.get("OPTBENCH_TEST_ASSETS", Path(__file__).parents[2] / "shared" / "assets"))
MODELS, DATA = ASSETS / "models", ASSETS / "data"
WORKERS = 2

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not ASSETS.is_dir(), reason=f"no models and data in {ASSETS}"),
]


@pytest.fixture(scope="module")
def templates(tmp_path_factory):
    """A process that has imported PyTorch once, for all tests here."""
    made = Templates(tmp_path_factory.mktemp("templates") / "log")
    yield made
    made.close()


@pytest.fixture
def evaluate(templates, tmp_path):
    """Metrics by name and answers of the baseline, through the processes that a run evaluates with."""

    def metrics(task, model, dataset, names=None):
        spec, log = read_spec(model), tmp_path / "log"
        arguments = (task, dataset, spec, 0)
        examples = start(
            "dataset", "optbench.processes.examples:ExampleHost", *arguments, environment=ENVIRONMENT, log=log
        )
        workers = None
        try:
            examples.receive()
            chosen = examples.call("open", None, names).metrics
            examples.call("write_rows", tmp_path / "rows.npz")
            examples.call("write_feeds", tmp_path / "feeds.npz", (1, 8), False)
            artifact = ArtifactStore(tmp_path / "cache", log).checkpoint(spec)
            options = LoadOptions(1, WaitPolicy.runtime, "default", task.model_class)
            assignment = Assignment(PyTorch(), artifact, options, tmp_path / "feeds.npz", {})
            crew = Crew({"baseline": assignment}, templates, log, 600.0)
            workers = WorkerGroup.of(
                WORKERS, lambda: crew.fresh("baseline", threads=1, priority=Priority.normal)
            )
            padding = examples.call("padding")
            plan = Evaluation(task, tmp_path / "rows.npz", tmp_path / "out", EVALUATION_BATCH, padding)
            workers.evaluate(plan)
            both = {"baseline": plan, "candidate": plan}
            result = examples.call("score", both, WORKERS, chosen, tmp_path / "answers.parquet")
        finally:
            if workers is not None:
                workers.close()
            examples.close()
        answers = datasets.Dataset.from_parquet(str(tmp_path / "answers.parquet"), cache_dir=str(tmp_path))
        return {item.name: item.baseline for item in result.metrics}, answers.to_list()

    return metrics


def lines_of(name, count):
    return [json.loads(line) for line in (DATA / name).read_text().splitlines()[:count]]


def saved(rows, tmp_path, name="rows.jsonl"):
    (tmp_path / name).write_text("\n".join(map(json.dumps, rows)) + "\n")
    return str(tmp_path / name)


def plain_model(name, automatic):
    import torch
    import transformers

    return getattr(transformers, automatic).from_pretrained(MODELS / name, dtype=torch.float32).eval()


def plain_tokenizer(name):
    import transformers

    return transformers.AutoTokenizer.from_pretrained(MODELS / name)


def squad_words(text):
    """As evaluate-v1.1.py normalizes an answer."""
    text = "".join(character for character in text.lower() if character not in set(string.punctuation))
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


def squad_f1(answer, reference):
    answer, reference = squad_words(answer), squad_words(reference)
    same = sum((collections.Counter(answer) & collections.Counter(reference)).values())
    if same == 0:
        return 0.0
    precision, recall = same / len(answer), same / len(reference)
    return 2 * precision * recall / (precision + recall)


def plain_answer(model, tokenizer, question, context):
    """The procedure of transformers' run_qa example: the 20 best starts and ends of every window."""
    import torch

    encoded = tokenizer(
        question.lstrip(),
        context,
        truncation="only_second",
        max_length=384,
        stride=128,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    found = []
    for window in range(len(encoded["input_ids"])):
        feed = {name: torch.tensor([encoded[name][window]]) for name in tokenizer.model_input_names}
        with torch.inference_mode():
            output = model(**feed)
        starts, ends = output.start_logits[0].numpy(), output.end_logits[0].numpy()
        parts, offsets = encoded.sequence_ids(window), encoded["offset_mapping"][window]
        for first in np.argsort(starts)[-1:-21:-1]:
            for last in np.argsort(ends)[-1:-21:-1]:
                if parts[first] != 1 or parts[last] != 1 or not first <= last < first + 30:
                    continue
                text = context[offsets[first][0] : offsets[last][1]]
                found.append((starts[first] + ends[last], text))
    return max(found, key=lambda item: item[0])[1] if found else ""


def test_question_answering_equals_the_example_script_of_transformers(evaluate, tmp_path):
    rows = lines_of("squad_dev_800.jsonl", 60)
    found, answers = evaluate(
        QuestionAnswering(), MODELS / "minilm-squad", LabelledDataset(path=saved(rows, tmp_path))
    )
    model = plain_model("minilm-squad", "AutoModelForQuestionAnswering")
    tokenizer = plain_tokenizer("minilm-squad")
    exact, overlap, plain = 0, 0.0, {}
    for row in rows:
        answer = plain_answer(model, tokenizer, row["question"], row["context"])
        plain[f"{row['question'].lstrip()} | {row['context']}"] = answer
        wanted = row["answers"]["text"] if isinstance(row["answers"], dict) else row["answers"]
        exact += any(squad_words(answer) == squad_words(one) for one in wanted)
        overlap += max(squad_f1(answer, one) for one in wanted)
    assert {row["text"]: row["baseline"] for row in answers} == plain
    assert found["exact_match"] == exact / len(rows)
    assert found["squad_f1"] == pytest.approx(overlap / len(rows), abs=1e-12)


def plain_classes(name, images):
    """Index of the largest logit of each grey image [height, width]: pixels to -1 ... 1, one at a time."""
    import torch

    model = plain_model(name, "AutoModelForImageClassification")
    with torch.inference_mode():
        pixels = [torch.tensor(image / 127.5 - 1, dtype=torch.float32) for image in images]
        return [int(model(pixel_values=one[None, None]).logits.argmax()) for one in pixels]


def fashion(count):
    """Images [28, 28] and labels of Fashion-MNIST, from its idx files."""
    folder = DATA / "fashion_mnist"
    with gzip.open(folder / "t10k-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)
    with gzip.open(folder / "t10k-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)
    return images[:count], labels[:count].tolist()


def digits(count):
    """Images [8, 8] of 0 to 16, spread to bytes, and labels of scikit-learn's digits."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images = np.rint(images[-count:].reshape(-1, 8, 8) * 255 / 16).astype(np.uint8)
    return images, labels[-count:].tolist()


@pytest.mark.parametrize(("model", "load"), [("vit-digits", digits), ("vit-fashion", fashion)])
def test_image_classification_equals_scikit_learn(evaluate, tmp_path, model, load):
    from sklearn.metrics import accuracy_score, f1_score

    images, labels = load(200)
    features = datasets.Features(image=datasets.Image(), label=datasets.Value("int64"))
    rows = datasets.Dataset.from_dict({"image": list(images), "label": labels}, features=features)
    rows.save_to_disk(tmp_path / "images")
    found, answers = evaluate(
        ImageClassification(), MODELS / model, LabelledDataset(path=str(tmp_path / "images"))
    )
    plain = plain_classes(model, images)
    assert found["accuracy"] == accuracy_score(labels, plain)
    assert found["f1_macro"] == pytest.approx(f1_score(labels, plain, average="macro"), abs=1e-12)
    assert found["accuracy"] > 0.8
    seen = collections.Counter((row["reference"], row["baseline"]) for row in answers)
    assert seen == collections.Counter(zip(labels, plain, strict=True))


def plain_tags(rows):
    """The tag of each word's first piece, one sentence at a time, words that do not fit left out."""
    import torch

    model, tokenizer = plain_model("tiny-pos", "AutoModelForTokenClassification"), plain_tokenizer("tiny-pos")
    found = []
    for row in rows:
        encoded = tokenizer(row["tokens"], is_split_into_words=True, truncation=True, max_length=128)
        feed = {name: torch.tensor([encoded[name]]) for name in tokenizer.model_input_names}
        with torch.inference_mode():
            best = model(**feed).logits[0].argmax(-1).tolist()
        tags = {}
        for piece, word in enumerate(encoded.word_ids()):
            if word is not None:
                tags.setdefault(word, model.config.id2label[best[piece]])
        found.append(([row["tags"][word] for word in tags], list(tags.values())))
    return found


def test_token_classification_equals_scikit_learn(evaluate, tmp_path):
    from sklearn.metrics import accuracy_score

    rows = lines_of("pos_test_1000.jsonl", 200)
    dataset = LabelledDataset(path=saved(rows, tmp_path))
    found, _ = evaluate(TokenClassification(), MODELS / "tiny-pos", dataset)
    plain = plain_tags(rows)
    right, said = ([tag for sentence in side for tag in sentence] for side in zip(*plain, strict=True))
    assert found["token_accuracy"] == accuracy_score(right, said)
    assert found["sentence_accuracy"] == sum(one == two for one, two in plain) / len(rows)


def test_entities_equal_seqeval(evaluate, tmp_path):
    from seqeval.metrics import f1_score, precision_score, recall_score

    tags = {"NOUN": "B-NOUN", "PROPN": "I-NOUN"}
    model = tmp_path / "model"
    model.mkdir()
    for file in (MODELS / "tiny-pos").iterdir():
        (model / file.name).write_bytes(file.read_bytes())
    config = json.loads((model / "config.json").read_text())
    names = {
        key: tags.get(label, "O" if label == "X" else f"B-{label}")
        for key, label in config["id2label"].items()
    }
    config |= {"id2label": names, "label2id": {label: int(key) for key, label in names.items()}}
    (model / "config.json").write_text(json.dumps(config))
    trained = plain_model("tiny-pos", "AutoModelForTokenClassification").config.id2label
    rename = {label: names[str(index)] for index, label in trained.items()}
    rows = lines_of("pos_test_1000.jsonl", 200)
    renamed = [{**row, "tags": [rename[tag] for tag in row["tags"]]} for row in rows]
    dataset = LabelledDataset(path=saved(renamed, tmp_path))
    found, _ = evaluate(TokenClassification(), model, dataset)
    plain = [tuple([rename[tag] for tag in side] for side in pair) for pair in plain_tags(rows)]
    right, said = ([list(side) for side in sides] for sides in zip(*plain, strict=True))
    for name, metric in (("f1", f1_score), ("precision", precision_score), ("recall", recall_score)):
        assert found[f"seqeval_{name}"] == pytest.approx(metric(right, said), abs=1e-12)


def test_fill_mask_equals_masking_each_token_by_hand(evaluate, tmp_path):
    import torch

    rows = lines_of("reactions_300.jsonl", 4)
    name = "albert-reactions-mlm"
    dataset = LabelledDataset(path=saved(rows, tmp_path))
    found, _ = evaluate(
        FillMask(masks_per_row=None), MODELS / name, dataset, ["top1", "top5", "pseudo_perplexity"]
    )
    model, tokenizer = plain_model(name, "AutoModelForMaskedLM"), plain_tokenizer(name)
    first = among = places = 0
    loss = 0.0
    for row in rows:
        ids = torch.tensor(tokenizer(row["text"], truncation=True, max_length=512)["input_ids"])
        asked = [place for place, token in enumerate(ids.tolist()) if token not in tokenizer.all_special_ids]
        masked = ids.repeat(len(asked), 1)
        masked[range(len(asked)), asked] = tokenizer.mask_token_id
        with torch.inference_mode():
            logits = model(input_ids=masked).logits[range(len(asked)), asked]
        right = ids[asked]
        best = logits.topk(5).indices
        first += int((best[:, 0] == right).sum())
        among += int((best == right[:, None]).any(1).sum())
        loss += float(torch.nn.functional.cross_entropy(logits.double(), right, reduction="sum"))
        places += len(asked)
    assert found["top1"] == first / places
    assert found["top5"] == among / places
    assert found["pseudo_perplexity"] == pytest.approx(np.exp(loss / places), rel=1e-5)
