"""Training of the demo's classifiers: seeded, one thread, the same bytes on the same machine."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optbench.demo.corpus import Sentence

MAX_LENGTH = 64
LABELS = ("NEGATIVE", "POSITIVE")


@dataclass(frozen=True)
class Recipe:
    """How long and how fast to train."""

    epochs: int
    batch_size: int
    learning_rate: float


TINY = Recipe(epochs=3, batch_size=64, learning_rate=1e-3)
MINILM = Recipe(epochs=1, batch_size=32, learning_rate=1e-4)


def prepare_torch(seed: int) -> Any:
    """torch, seeded, on one thread and deterministic."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)
    return torch


def train_tokenizer(texts: Sequence[str], directory: Path) -> Any:
    """A lowercase WordPiece of 4,000 pieces, as a transformers tokenizer saved to `directory`."""
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertTokenizerFast

    pieces = BertWordPieceTokenizer(lowercase=True)
    pieces.train_from_iterator(texts, vocab_size=4000, show_progress=False)
    pieces.save_model(str(directory))
    tokenizer = BertTokenizerFast(
        vocab_file=str(directory / "vocab.txt"), do_lower_case=True, model_max_length=MAX_LENGTH
    )
    tokenizer.save_pretrained(directory)
    return tokenizer


def tiny_model(tokenizer: Any) -> Any:
    """A BERT of 128 x 4 layers with fresh weights."""
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=512,
        max_position_embeddings=MAX_LENGTH,
        hidden_dropout_prob=0.2,
        id2label=dict(enumerate(LABELS)),
        label2id={label: index for index, label in enumerate(LABELS)},
        problem_type="single_label_classification",
    )
    return BertForSequenceClassification(config)


def train(model: Any, tokenizer: Any, rows: Sequence[Sentence], recipe: Recipe, seed: int) -> float:
    """Train all weights of `model` in place; returns the seconds it took."""
    import torch

    begun = time.perf_counter()
    encoded = tokenizer([row.text for row in rows], truncation=True, max_length=MAX_LENGTH)["input_ids"]
    steps = recipe.epochs * len(batches(encoded, recipe.batch_size, seed))
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, total_steps=steps)
    model.train()
    for epoch in range(recipe.epochs):
        total = 0.0
        order = batches(encoded, recipe.batch_size, seed + epoch)
        for chosen in order:
            batch = tokenizer.pad({"input_ids": [encoded[row] for row in chosen]}, return_tensors="pt")
            labels = torch.tensor([rows[row].label for row in chosen])
            loss = model(**batch, labels=labels).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += float(loss.detach())
        seconds = time.perf_counter() - begun
        print(f"epoch {epoch + 1} of {recipe.epochs}: loss {total / len(order):.4f}, {seconds:.0f} s")
    model.eval()
    return time.perf_counter() - begun


def batches(encoded: Sequence[Sequence[int]], size: int, seed: int) -> list[list[int]]:
    """Row numbers in batches of similar length, in seeded random order."""
    rng = random.Random(seed)
    order = list(range(len(encoded)))
    rng.shuffle(order)
    order.sort(key=lambda row: len(encoded[row]))
    grouped = [order[start : start + size] for start in range(0, len(order), size)]
    rng.shuffle(grouped)
    return grouped


def correct_answers(model: Any, tokenizer: Any, rows: Sequence[Sentence]) -> list[bool]:
    """Whether the model is right on each row, one row at a time."""
    import torch

    right = []
    with torch.inference_mode():
        for row in rows:
            inputs = tokenizer(row.text, truncation=True, max_length=MAX_LENGTH, return_tensors="pt")
            right.append(int(model(**inputs).logits.argmax()) == row.label)
    return right
