"""A transformers checkpoint: a local directory, or a name on the model hub."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from optbench.checkpoint import COMPANION_PATTERNS, PAPER_PATTERNS, require_weights
from optbench.components import Model, register
from optbench.errors import DataError
from optbench.hub import fetch_snapshot, looks_like_path

CHECKPOINT_PATTERNS = ["*.safetensors", "*.bin", *COMPANION_PATTERNS, *PAPER_PATTERNS]


@register("model", "pretrained")
@dataclass
class PretrainedModel(Model):
    """A checkpoint as `save_pretrained` writes it.

    path: a directory, or a hub name such as 'distilbert-base-uncased-finetuned-sst-2-english'.
    revision: branch, tag or commit on the hub.
    hint: how to obtain the directory, shown when it is missing.
    """

    revision: str | None = None
    hint: str | None = None

    def problems(self) -> list[str]:
        """An empty path, or a revision of a directory."""
        if not self.path:
            return ["path must be a directory or a hub name, got an empty string"]
        if self.revision and Path(self.path).expanduser().is_dir():
            return [f"revision only applies to hub names, but {self.path} is a directory; drop it"]
        return []

    def resolve(self) -> Path:
        """The local directory, downloaded first if it is a hub name."""
        directory = Path(self.path).expanduser()
        if directory.is_dir():
            require_weights(directory)
            return directory.resolve()
        if looks_like_path(self.path):
            found = "a file" if directory.exists() else "nothing there"
            remedy = self.hint or "give the directory that save_pretrained wrote"
            if directory.suffix == ".onnx":
                remedy += ", and the directory of the ONNX file with artifact="
            raise DataError(
                f"model.path={self.path} must be a directory with config.json and weights, found {found}; "
                f"{remedy}"
            )
        patterns = [*CHECKPOINT_PATTERNS, "*.py"] if self.trust_remote_code else CHECKPOINT_PATTERNS
        return fetch_snapshot(self.path, "model", self.revision, patterns)
