"""ONNX Runtime on the CPU, over a model.onnx exported by optimum."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from optbench.components import (
    Artifact,
    Backend,
    Graph,
    LoadOptions,
    ModelSpec,
    Session,
    WaitPolicy,
    register,
)
from optbench.errors import ConfigError, DataError, Unsupported
from optbench.generation.onnxruntime import generating_onnx

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from optbench.components import Feed
    from optbench.records import KernelReport

OPTIMIZATION_LEVELS = {0: "none", 1: "basic", 2: "extended", 99: "all"}
"""onnxruntime's numbers for its graph optimization levels."""

SESSION_LEVELS = {
    "none": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
    "default": "ORT_ENABLE_ALL",
}
MIN_OPSET, MAX_OPSET = 9, 20
CPU = "CPUExecutionProvider"
SILENT = 4
"""Fatal messages only: what goes wrong is raised as well."""


@register("backend", "onnxruntime")
@dataclass
class OnnxRuntime(Backend):
    """ONNX Runtime, on the CPU unless other execution providers are named.

    opset: ONNX operator set of the export; null takes the exporter's default for the model.
    optimization_level: onnxruntime's number (0, 1, 2, 99) for what graph= names.
    providers: execution providers in the order of preference, as onnxruntime names them.
    allow_fallback: whether nodes may run elsewhere than in the first of them; otherwise that is an error.
    """

    opset: int | None = None
    optimization_level: int | None = None
    providers: list[str] = field(default_factory=lambda: [CPU])
    allow_fallback: bool = False

    artifact_formats: ClassVar[tuple[str, ...]] = ("onnx",)
    imports: ClassVar[tuple[str, ...]] = ("onnxruntime",)
    can_generate: ClassVar[bool] = True
    has_integer_operators: ClassVar[bool] = True

    def problems(self) -> list[str]:
        """Opset and level out of range."""
        found = []
        if self.opset is not None and not MIN_OPSET <= self.opset <= MAX_OPSET:
            found.append(f"opset must lie between {MIN_OPSET} and {MAX_OPSET}, got {self.opset}")
        if self.optimization_level not in (None, *OPTIMIZATION_LEVELS):
            known = ", ".join(f"{number} ({name})" for number, name in OPTIMIZATION_LEVELS.items())
            found.append(f"optimization_level must be one of {known}, got {self.optimization_level}")
        if not self.providers or len(set(self.providers)) < len(self.providers):
            found.append(
                f"providers must name execution providers, each once, got {self.providers}; "
                f"the usual is [{CPU}]"
            )
        return found

    @property
    def export_opset(self) -> int | None:
        """As configured."""
        return self.opset

    def supports(self, spec: ModelSpec, graph: Graph) -> str | None:
        """Two names for the graph level must not disagree."""
        if self.optimization_level is None or graph.session_level == "default":
            return None
        named = OPTIMIZATION_LEVELS[self.optimization_level]
        if named == graph.session_level:
            return None
        return (
            f"backend.optimization_level={self.optimization_level} means graph={named}, but "
            f"graph={graph.session_level} is set; drop one of the two"
        )

    def environment(self, threads: int, wait_policy: WaitPolicy) -> dict[str, str]:
        """ONNX Runtime reads its settings from the session options alone."""
        return {}

    def load(self, artifact: Artifact, options: LoadOptions) -> Session:
        """A session over model.onnx. Raises DataError, ConfigError, Unsupported."""
        return self.opened(artifact, options)[1]

    def kernels(self, artifact: Artifact, options: LoadOptions, feed: Feed) -> KernelReport:
        """What runs in integers, by the graph as the session optimized it, and its profile."""
        from optbench.onnx_graphs.kernels import report

        return report(lambda change: self.opened(artifact, options, change), feed)

    def opened(
        self, artifact: Artifact, options: LoadOptions, change: Callable[[Any], None] | None = None
    ) -> tuple[Any, Session]:
        """The InferenceSession and the session over it; `change` has the last word on the options."""
        import onnxruntime

        require_providers(self.providers, onnxruntime.get_available_providers())
        level = options.graph_level
        if self.optimization_level is not None:
            level = OPTIMIZATION_LEVELS[self.optimization_level]
        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = SILENT
        settings.intra_op_num_threads = options.threads
        settings.inter_op_num_threads = 1
        settings.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, SESSION_LEVELS[level])
        waiting = waiting_entries(options.wait_policy, options.closed_loop)
        for key, value in {**waiting, **self.fallback_entries()}.items():
            settings.add_session_config_entry(key, value)
        if change is not None:
            change(settings)
        file = artifact.directory / "model.onnx"
        try:
            session = onnxruntime.InferenceSession(str(file), settings, providers=list(self.providers))
        except Exception as error:  # onnxruntime's exceptions share no public base class
            if "fallback to CPU EP has been explicitly disabled" in str(error):
                raise Unsupported(self.fell_back("some nodes run on the CPU")) from error
            raise DataError(f"{file} cannot be loaded by ONNX Runtime: {error}") from error
        placed = nodes_by_provider(session)
        self.require_first_provider(session.get_providers(), placed)
        made = OnnxSession(session, level, waiting, placed)
        if options.new_tokens is None:
            return session, made
        return session, generating_onnx(made, session, options.new_tokens)

    def fallback_entries(self) -> dict[str, str]:
        """Session config entries about nodes that the first provider does not take.

        The CPU may not be named among the providers where falling back to it is disabled.
        Source: onnxruntime_session_options_config_keys.h.
        """
        entries = {"session.record_ep_graph_assignment_info": "1"}
        if not self.allow_fallback and CPU not in self.providers:
            entries["session.disable_cpu_ep_fallback"] = "1"
        return entries

    def require_first_provider(self, loaded: Sequence[str], placed: Mapping[str, int]) -> None:
        """Raise Unsupported if another provider than the first does part of the work, unless allowed."""
        if self.allow_fallback:
            return
        if self.providers[0] not in loaded:
            raise Unsupported(self.fell_back(f"it could not be loaded, only {', '.join(loaded)}"))
        others = {name: count for name, count in placed.items() if name != self.providers[0]}
        if others:
            told = ", ".join(f"{count} nodes run in {name}" for name, count in sorted(others.items()))
            raise Unsupported(self.fell_back(told))

    def fell_back(self, what: str) -> str:
        """The sentence for work that another provider than the first would do."""
        return (
            f"backend.providers must run the whole model in {self.providers[0]}, and {what}; choose another "
            "provider, or set backend.allow_fallback=true"
        )


def require_providers(wanted: Sequence[str], available: Sequence[str]) -> None:
    """Raise ConfigError if a provider is not part of the installed onnxruntime."""
    if unknown := [name for name in wanted if name not in available]:
        raise ConfigError(
            f"backend.providers names {', '.join(unknown)}, which the installed onnxruntime does not have; "
            f"it has {', '.join(available)}"
        )


def nodes_by_provider(session: Any) -> dict[str, int]:
    """How many nodes each execution provider was given; empty where onnxruntime does not tell (< 1.24)."""
    ask = getattr(session, "get_provider_graph_assignment_info", None)
    counts: Counter[str] = Counter()
    for part in ask() if ask is not None else ():
        counts[part.ep_name] += len(part.get_nodes())
    return dict(counts)


def waiting_entries(policy: WaitPolicy, closed_loop: bool) -> dict[str, str]:
    """Session config entries for a wait policy.

    Closed-loop runs stop spinning when a run returns: threads that keep spinning (43 to 50 ms by
    default) would slow down the other variant, whose turn it is. Within a run nothing changes.
    Source: onnxruntime_session_options_config_keys.h, `session.force_spinning_stop`.
    """
    if policy is WaitPolicy.passive:
        return {"session.intra_op.allow_spinning": "0"}
    if policy is WaitPolicy.active:
        return {"session.intra_op.allow_spinning": "1"}
    return {"session.force_spinning_stop": "1"} if closed_loop else {}


class OnnxSession:
    """An onnxruntime.InferenceSession called with numpy arrays."""

    def __init__(
        self, session: Any, level: str, waiting: dict[str, str], placed: Mapping[str, int] | None = None
    ) -> None:
        self._session = session
        self._level = level
        self._waiting = waiting
        self._placed = dict(placed or {})
        self._input_names = [item.name for item in session.get_inputs()]
        self._output_names = [item.name for item in session.get_outputs()]
        self._run = session.run

    def bind(self, feed: Mapping[str, NDArray[np.generic]]) -> dict[str, Any]:
        """Contiguous arrays, without inputs the graph does not take. Raises DataError if one lacks."""
        import numpy

        if missing := sorted(set(self._input_names) - set(feed)):
            raise DataError(
                f"the ONNX model needs the input {', '.join(missing)}, which the tokenizer does not "
                f"make; it makes {', '.join(sorted(feed))}"
            )
        return {name: numpy.ascontiguousarray(feed[name]) for name in self._input_names}

    def forward(self, bound: dict[str, Any]) -> Any:
        """One run of the session."""
        return self._run(None, bound)

    def outputs(self, raw: Any) -> dict[str, NDArray[np.generic]]:
        """Arrays by output name."""
        return dict(zip(self._output_names, raw, strict=True))

    def synchronize(self) -> None:
        """CPU runs have finished when they return."""

    def settings(self) -> dict[str, Any]:
        """Threads as read back from the session, providers, graph level, waiting."""
        options = self._session.get_session_options()
        return {
            "threads": options.intra_op_num_threads,
            "providers": self._session.get_providers(),
            "nodes_by_provider": self._placed,
            "graph_level": self._level,
            "spinning": self._waiting,
        }

    def weights_bytes(self) -> None:
        """The files are the weights."""
        return
