"""ONNX Runtime on the CPU, over a model.onnx exported by optimum."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
from optbench.errors import DataError
from optbench.generation.onnxruntime import generating_onnx

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

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


@register("backend", "onnxruntime")
@dataclass
class OnnxRuntime(Backend):
    """ONNX Runtime's CPU execution provider.

    opset: ONNX operator set of the export; null takes the exporter's default for the model.
    optimization_level: onnxruntime's number (0, 1, 2, 99) for what graph= names.
    """

    opset: int | None = None
    optimization_level: int | None = None

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
        return found

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
        """A session over model.onnx. Raises DataError."""
        import onnxruntime

        level = options.graph_level
        if self.optimization_level is not None:
            level = OPTIMIZATION_LEVELS[self.optimization_level]
        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = 3
        settings.intra_op_num_threads = options.threads
        settings.inter_op_num_threads = 1
        settings.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, SESSION_LEVELS[level])
        waiting = waiting_entries(options.wait_policy, options.closed_loop)
        for key, value in waiting.items():
            settings.add_session_config_entry(key, value)
        file = artifact.directory / "model.onnx"
        try:
            session = onnxruntime.InferenceSession(str(file), settings, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions share no public base class
            raise DataError(f"{file} cannot be loaded by ONNX Runtime: {error}") from error
        made = OnnxSession(session, level, waiting)
        return made if options.new_tokens is None else generating_onnx(made, session, options.new_tokens)


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

    def __init__(self, session: Any, level: str, waiting: dict[str, str]) -> None:
        self._session = session
        self._level = level
        self._waiting = waiting
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
            "graph_level": self._level,
            "spinning": self._waiting,
        }

    def weights_bytes(self) -> None:
        """The files are the weights."""
        return
