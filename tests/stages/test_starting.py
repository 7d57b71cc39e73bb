"""What is said of a variant at its first start."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from optbench.components import Artifact
from optbench.stages.starting import size_notes


@pytest.mark.parametrize(
    ("loaded", "files", "notes"),
    [
        (90_900_000, 45_400_000, ["its weights take 90.9 MB as loaded; on disk 45.4 MB"]),
        (45_400_000, 90_900_000, ["its weights take 45.4 MB as loaded; on disk 90.9 MB"]),
        (90_900_000, 90_950_000, []),
        (None, 45_400_000, []),
        (90_900_000, 0, []),
    ],
)
def test_files_of_another_size_than_the_weights_as_loaded_are_told(loaded, files, notes):
    artifact = Artifact(Path("model"), "transformers", "hash", files)
    assert size_notes(artifact, SimpleNamespace(weights_bytes=loaded)) == notes
