"""Whether the parts of a config fit each other and the model, before anything is prepared."""

from __future__ import annotations

from pathlib import Path

from optbench.artifacts.store import holds, wanted
from optbench.checkpoint import describe, read_spec, require_tokenizer
from optbench.components import ModelSpec, component_name
from optbench.config import RunConfig, Scope, Variant
from optbench.errors import ConfigError, DataError, Unsupported
from optbench.hub import looks_like_path

LOADED_BY = {"transformers": "pytorch", "onnx": "onnxruntime", "openvino": "openvino"}
"""A runtime for each format, to be advised where another one was chosen."""


def require_files(config: RunConfig) -> None:
    """Raise OptbenchError for a file or directory of this machine that a config names and that lacks.

    All that a look at the disk can tell, so that nobody learns of a misspelt path only after waiting for
    other runs, reading rows or exporting a model.
    """
    for name, variant in config.variants.items():
        if variant.artifact is not None:
            require_artifact(name, variant, Path(variant.artifact).expanduser())
    model = config.model
    if looks_like_path(model.path) or Path(model.path).expanduser().is_dir():
        spec = read_spec(model.resolve(), model.trust_remote_code)
        require_fit(config, spec)
        if config.task.has_length:
            require_tokenizer(spec.directory, spec.model_type)
    if config.needs_rows:
        config.dataset.require_there(config.dataset.eval_split)
    if config.quality.enabled and config.quality.metrics:
        from optbench.quality.metrics import require_module  # numpy, which most runs need not wait for here

        for metric in config.quality.metrics:
            require_module(metric)


def require_artifact(name: str, variant: Variant, directory: Path) -> None:
    """Raise DataError unless a directory that is given for a variant holds what its backend loads."""
    formats, backend = variant.backend.artifact_formats, component_name(variant.backend)
    if any(holds(directory, format) for format in formats):
        return
    key, option = ("baseline.artifact", "baseline") if name == "baseline" else ("artifact", "backend")
    told = f"{key}={variant.artifact} must be a directory that holds {wanted(formats)}"
    other = next((format for format in LOADED_BY if holds(directory, format)), None)
    if other is not None:
        raise DataError(
            f"{told}, since the {name} runs in {backend}, and it holds {wanted([other])}; add "
            f"{option}={LOADED_BY[other]}"
        )
    remedy = "check the path"
    if directory.is_dir():
        remedy += ", and rename files such as model_quantized.onnx or openvino_model.xml accordingly"
    raise DataError(f"{told}, found {describe(directory)}; {remedy}")


def require_fit(config: RunConfig, spec: ModelSpec) -> None:
    """Raise ConfigError, MissingExtra or Unsupported if a config does not fit the model or itself."""
    generated = config.task.generated_tokens or 0
    takes_rows = config.measure.scope is Scope.end_to_end  # as they are, whatever input_length says
    if config.task.has_length and spec.max_length is not None and not takes_rows:
        longest = spec.max_length - generated
        if config.input_length > longest:
            new = f" less the {generated} new tokens" if generated else ""
            raise ConfigError(
                f"input_length must not exceed {longest}, the longest input of this model{new}, "
                f"got {config.input_length}; set it with input_length={max(1, longest)}"
            )
    if reasons := objections(config, spec):
        raise Unsupported("\n".join(reasons))


def require_labels(config: RunConfig, unlabelled: str | None) -> None:
    """Raise DataError where a verdict on the answers is asked for and the rows have no labels."""
    if unlabelled is not None and config.margins and config.quality.enabled:
        key, value = next(iter(config.margins.items()))
        raise DataError(f"{key}={value:g} must have labelled rows to be judged on: {unlabelled}")


def objections(config: RunConfig, spec: ModelSpec) -> list[str]:
    """Why the parts of a config do not fit each other or the model. Raises MissingExtra."""
    reasons = [config.task.supports(spec)]
    if config.measure.scope is Scope.end_to_end:
        reasons.append(config.task.refuses_pipeline())
    for variant in config.variants.values():
        backend, quantization, graph = variant.backend, variant.quantization, variant.graph
        for part in (backend, quantization):
            if missing := part.missing_extra():
                raise missing
        if config.task.generated_tokens and not backend.can_generate:
            name = component_name(backend)
            reasons.append(f"backend={name} cannot generate tokens, and this task does; choose another")
        reasons += [
            backend.supports(spec, graph),
            graph.supports(spec, backend),
            quantization.supports(spec, backend),
        ]
    return list(dict.fromkeys(reason for reason in reasons if reason))
