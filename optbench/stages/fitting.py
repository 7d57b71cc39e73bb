"""Whether the parts of a config fit each other and the model, before anything is prepared."""

from __future__ import annotations

from optbench.components import ModelSpec, component_name
from optbench.config import RunConfig, Scope
from optbench.errors import ConfigError, DataError, Unsupported


def require_fit(config: RunConfig, spec: ModelSpec) -> None:
    """Raise ConfigError, MissingExtra or Unsupported if a config does not fit the model or itself."""
    generated = config.task.generated_tokens or 0
    if config.task.has_length and spec.max_length is not None:
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
    asked = {
        "gates.max_accuracy_drop": config.gates.max_accuracy_drop,
        "quality.margin": config.quality.margin,
    }
    keys = [f"{key}={value:g}" for key, value in asked.items() if value is not None]
    if unlabelled is not None and keys and config.quality.enabled:
        raise DataError(f"{keys[0]} must have labelled rows to be judged on: {unlabelled}")


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
