"""PyTorch through torch.compile and its inductor: kernels generated in C++ for this CPU."""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from optbench.components import Artifact, Graph, LoadOptions, ModelSpec, Session, WaitPolicy, register
from optbench.errors import DataError
from optbench.locations import cache_directory
from optbench.runtimes.torch_backend import TorchBackend
from optbench.runtimes.torch_session import TorchSession, load_module

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MODES = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")
COMPILERS = ("g++", "clang++")
LIMIT_LOGGER = "torch._dynamo.convert_frame"
LIMIT_MESSAGE = "torch._dynamo hit config."
"""How PyTorch (2.6 to 2.13) says that it gives up compiling a function, and runs it eagerly from then on."""


@register("backend", "torch_compile")
@dataclass
class TorchCompile(TorchBackend):
    """torch.compile with the inductor.

    mode: default, reduce-overhead (CUDA graphs), max-autotune (tries several kernels), or
        max-autotune-no-cudagraphs.
    dynamic: true leaves sizes open from the start, false fits the code to the timed shape, null fits it
        to the first shape and leaves open what changes. Evaluation walks many shapes: those other than
        the timed one always share code with open sizes.
    fullgraph: refuse a model that cannot be compiled as one graph.
    """

    mode: str = "default"
    dynamic: bool | None = None
    fullgraph: bool = False

    imports: ClassVar[tuple[str, ...]] = (*TorchBackend.imports, "torch._inductor.compile_fx")
    compiles: ClassVar[bool] = True
    label_fields: ClassVar[Mapping[str, str]] = {
        **TorchBackend.label_fields,
        "mode": "{}",
        "dynamic": "dynamic={}",
        "fullgraph": "fullgraph",
    }

    def problems(self) -> list[str]:
        """Those of every PyTorch runtime, and a mode that does not exist."""
        found = super().problems()
        if self.mode not in MODES:
            found.append(f"mode must be one of {', '.join(MODES)}, got {self.mode!r}")
        return found

    def supports(self, spec: ModelSpec, graph: Graph) -> str | None:
        """No graph levels; on the CPU it needs a C++ compiler and the headers of Python."""
        if graph.session_level != "default":
            return f"graph={graph.level} has no meaning for torch.compile; use graph=default"
        if self.device != "cpu":
            return None
        if cxx() is None:
            return (
                "backend=torch_compile generates C++ and needs a compiler, and neither $CXX nor "
                f"{' nor '.join(COMPILERS)} is found; install one (such as the package g++), or use "
                "backend=pytorch"
            )
        headers = Path(sysconfig.get_path("include")) / "Python.h"
        if not headers.is_file():
            return (
                f"backend=torch_compile needs Python's headers, and {headers} does not exist; install "
                "them (such as the package python3-dev), or use backend=pytorch"
            )
        return None

    def environment(self, threads: int, wait_policy: WaitPolicy) -> dict[str, str]:
        """Compiled code is kept between processes; one thread compiles, so that none is left running."""
        compiler = cxx()
        return {
            **super().environment(threads, wait_policy),
            "TORCHINDUCTOR_CACHE_DIR": str(cache_directory() / "inductor"),
            "TORCHINDUCTOR_FX_GRAPH_CACHE": "1",
            "TORCHINDUCTOR_AUTOGRAD_CACHE": "1",
            "TORCHINDUCTOR_COMPILE_THREADS": "1",
            **({} if compiler is None else {"CXX": compiler}),
        }

    def load(self, artifact: Artifact, options: LoadOptions) -> CompiledSession:
        """The checkpoint in eval mode, to be compiled by its first call. Raises DataError."""
        import torch
        from torch._inductor import config

        module = load_module(artifact, options, self.device, self.precision, self.attention)
        # The number of threads is written into the code; as a setting it is part of the cache's key too.
        config.cpp.threads = options.threads
        call = torch.compile(module, mode=self.mode, dynamic=self.dynamic, fullgraph=self.fullgraph)
        return CompiledSession(module, call, self.autocast)

    def cautions(self, session: Session) -> list[str]:
        """Where the model runs eagerly although it was to be compiled."""
        return session.cautions() if isinstance(session, CompiledSession) else []

    def compiled_before(self, session: Session) -> bool:
        """Whether all compiled code so far was found in the cache."""
        return isinstance(session, CompiledSession) and session.compiled()["cache_misses"] == 0


def cxx() -> str | None:
    """The C++ compiler's command: $CXX if it can be run, else the first one on the path."""
    chosen = os.environ.get("CXX", "")
    words = shlex.split(chosen)
    if words and shutil.which(words[0]):
        return chosen
    return next((name for name in COMPILERS if shutil.which(name)), None)


class CompiledSession(TorchSession):
    """A compiled module; knows how often it was compiled, and where PyTorch gave up."""

    def __init__(self, model: Any, call: Any, autocast: bool) -> None:
        from torch._dynamo import exc

        super().__init__(model, call, autocast)
        self._refusal: type[Exception] = exc.Unsupported
        self._timed: dict[str, tuple[int, ...]] | None = None
        self._limit = LimitWatch()
        logging.getLogger(LIMIT_LOGGER).addHandler(self._limit)

    def bind(self, feed: Mapping[str, NDArray[np.generic]]) -> dict[str, Any]:
        """Tensors; sizes that differ from the first feed's are marked to be left open when compiling."""
        bound = super().bind(feed)
        shapes = {name: tuple(tensor.shape) for name, tensor in bound.items()}
        if self._timed is None:
            self._timed = shapes
        for name, shape in shapes.items():
            timed = self._timed.get(name, shape)
            for axis in range(min(len(shape), len(timed))):
                if shape[axis] != timed[axis]:
                    self._torch._dynamo.maybe_mark_dynamic(bound[name], axis)
        return bound

    def forward(self, bound: dict[str, Any]) -> Any:
        """One forward pass. Raises DataError where the model must be one graph and cannot be."""
        try:
            return self._call(**bound)
        except self._refusal as error:
            first = str(error).strip().splitlines()[0]
            raise DataError(
                f"backend.fullgraph=true needs the model to compile as one graph: {first}; set "
                "backend.fullgraph=false to run the rest of it eagerly"
            ) from error

    def settings(self) -> dict[str, Any]:
        """Those of every PyTorch session, and what compiling came to so far."""
        return {**super().settings(), "compiled": self.compiled()}

    def compiled(self) -> dict[str, Any]:
        """Graphs, breaks between them, functions left to eager PyTorch, and use of the cache so far."""
        from torch._dynamo.utils import counters

        stats, inductor = counters["stats"], counters["inductor"]
        return {
            "graphs": stats["unique_graphs"],
            "graph_breaks": sum(counters["graph_break"].values()),
            "given_up": self._limit.count,
            "cache_hits": inductor["fxgraph_cache_hit"],
            "cache_misses": inductor["fxgraph_cache_miss"] + inductor["fxgraph_cache_bypass"],
        }

    def cautions(self) -> list[str]:
        """What a reader of the times and answers should know about the compilation."""
        found = self.compiled()
        said = []
        if not found["graphs"]:
            said.append("torch.compile compiled nothing: the model ran eagerly")
        elif found["graph_breaks"]:
            said.append(
                f"torch.compile broke the model into {found['graphs']} graphs, at "
                f"{found['graph_breaks']} places that run eagerly"
            )
        if found["given_up"]:
            said.append(
                f"torch.compile gave up on {found['given_up']} functions after too many shapes, and "
                "ran them eagerly from then on"
            )
        return said


class LimitWatch(logging.Handler):
    """Counts the functions that PyTorch stopped compiling because it had to do so too often."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Count one."""
        self.count += str(record.msg).startswith(LIMIT_MESSAGE)
