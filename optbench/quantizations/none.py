"""No quantization: the artifact stays as it was exported."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optbench.components import Backend, ModelSpec, Quantization, register


@register("quant", "none")
@dataclass
class NoQuantization(Quantization):
    """Weights and activations as they are."""

    def supports(self, spec: ModelSpec, backend: Backend) -> str | None:
        """Always possible."""
        return None

    def recipe(self) -> dict[str, Any] | None:
        """Nothing to do."""
        return None

    def apply(self, source: Path, target: Path) -> dict[str, Any]:
        """Never called: there is no recipe."""
        raise ValueError(f"quant=none has nothing to apply to {source}")
