"""No quantization: the artifact stays as it was exported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from optbench.components import Backend, ModelSpec, Quantization, register


@register("quant", "none")
@dataclass
class NoQuantization(Quantization):
    """Weights and activations as they are."""

    def supports(self, spec: ModelSpec, backend: Backend) -> str | None:
        """Always possible."""
        return None

    def label(self) -> str:
        """Nothing to tell."""
        return ""

    def recipe(self) -> dict[str, Any] | None:
        """Nothing to do."""
        return None
