"""Graph optimization as a file: onnxruntime's own rewrites and its fusions for transformers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optbench.checkpoint import read_json
from optbench.components import Backend, Graph, ModelSpec, component_name, register
from optbench.errors import DataError

LEVELS = ("o1", "o2", "o3")
DECODERS = ("gpt2", "gpt_neo", "gpt_neox", "gpt_bigcode", "gptj", "bloom", "codegen", "llama", "mistral")
FUSED_AS = {
    **dict.fromkeys(DECODERS, "gpt2"),
    **dict.fromkeys(("bart", "mbart", "marian", "m2m_100", "mt5", "whisper"), "bart"),
    **dict.fromkeys(("vit", "dinov2", "segformer", "pix2struct"), "vit"),
    "clip": "clip",
    "swin": "swin",
}
"""onnxruntime's name of a model type, where it is not bert; from optimum-onnx 0.1.0, ORTConfigManager."""

HEADS = ("num_attention_heads", "n_heads", "n_head", "encoder_attention_heads", "num_heads")
WIDTHS = ("hidden_size", "dim", "n_embd", "d_model")


@register("graph", "fused")
@dataclass
class FusedGraph(Graph):
    """A rewritten model.onnx, the same for every session.

    level: o1 (constant folding and other safe rewrites), o2 (also fusions: attention, normalization, gelu),
        o3 (also gelu by its approximation). The runtime optimizes the file once more when it loads it.
    """

    def problems(self) -> list[str]:
        """A level that does not exist."""
        if self.level in LEVELS:
            return []
        return [f"level must be one of {', '.join(LEVELS)}, got {self.level!r}; choose with graph="]

    @property
    def session_level(self) -> str:
        """What the runtime does when nothing is said."""
        return "default"

    def supports(self, spec: ModelSpec, backend: Backend) -> str | None:
        """Only runtimes that read ONNX first of all know the fused operators."""
        if backend.artifact_formats[0] == "onnx":
            return None
        return (
            f"graph={self.level} makes operators of ONNX Runtime, and backend={component_name(backend)} "
            f"reads {backend.artifact_formats[0]}; use backend=onnxruntime or graph=default"
        )

    def recipe(self) -> dict[str, Any] | None:
        """The level."""
        return {"level": self.level}

    def apply(self, source: Path, target: Path) -> dict[str, Any]:
        """Write the rewritten model of directory `source` to `target`. Raises DataError."""
        from onnxruntime.transformers.fusion_options import FusionOptions
        from onnxruntime.transformers.optimizer import optimize_model

        from optbench.onnx_graphs.files import save_model, scratch

        config = read_json(source / "config.json") if (source / "config.json").is_file() else {}
        model_type = FUSED_AS.get(str(config.get("model_type")), "bert")
        options = FusionOptions(model_type)
        options.enable_embed_layer_norm = False  # a fused look-up could not be quantized
        options.enable_gelu_approximation = self.level == "o3"
        try:
            with scratch():
                made = optimize_model(
                    str(source / "model.onnx"),
                    model_type,
                    num_heads=first_of(config, HEADS),
                    hidden_size=first_of(config, WIDTHS),
                    optimization_options=options,
                    opt_level=1 if self.level == "o1" else 2,
                    only_onnxruntime=self.level == "o1",
                ).model
        except Exception as error:  # onnxruntime's exceptions share no public base class
            raise DataError(
                f"{source / 'model.onnx'} cannot be rewritten with graph={self.level}: {error}; use "
                "graph=default"
            ) from error
        save_model(made, target / "model.onnx")
        fused = Counter(node.op_type for node in made.graph.node if node.domain == "com.microsoft")
        return {"graph": self.level, "graph_fused_as": model_type, "fused_nodes": dict(sorted(fused.items()))}


def first_of(config: dict[str, Any], keys: tuple[str, ...]) -> int:
    """The first of some numbers that a config holds; 0, which lets onnxruntime find out, if none."""
    return next((int(config[key]) for key in keys if isinstance(config.get(key), int)), 0)
