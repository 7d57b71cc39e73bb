"""OpenVINO on the CPU, over a model.onnx exported by optimum or over an IR (model.xml and model.bin)."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar

from optbench.components import (
    Artifact,
    Backend,
    Graph,
    LoadOptions,
    ModelSpec,
    Quantization,
    WaitPolicy,
    component_name,
    register,
)
from optbench.errors import DataError, Unsupported
from optbench.runtimes.openvino_session import OpenVinoSession

if TYPE_CHECKING:
    from optbench.components import Feed
    from optbench.records import KernelReport

MODEL_FILES = {"onnx": "model.onnx", "openvino": "model.xml"}


class Precision(Enum):
    """Floating-point type of the arithmetic; runtime leaves the choice to OpenVINO."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"
    runtime = "runtime"


HINTS = {
    Precision.float32: ("f32", "FP32"),
    Precision.bfloat16: ("bf16", "BF16"),
    Precision.float16: ("f16", "FP16"),
}
"""OpenVINO's names: of INFERENCE_PRECISION_HINT, and in a device's OPTIMIZATION_CAPABILITIES."""


@register("backend", "openvino")
@dataclass
class OpenVino(Backend):
    """OpenVINO with the latency hint and one stream.

    precision: of floating-point arithmetic. OpenVINO itself takes bfloat16 where the CPU has it
        (docs/decisions/0009).
    pinning: whether threads are bound to cores. null: as OpenVINO does it where the process has all
        cores; with fewer threads not, since every process would be bound to the same first cores.
    dynamic_quantization_group_size: activations that share a scale where weights are compressed; 0
        computes in floating point, null is OpenVINO's choice.
    device: as OpenVINO names it, such as CPU or GPU.0.
    """

    precision: Precision = Precision.float32
    pinning: bool | None = None
    dynamic_quantization_group_size: int | None = None
    device: str = "CPU"

    artifact_formats: ClassVar[tuple[str, ...]] = ("onnx", "openvino")
    extra: ClassVar[str] = "openvino"
    packages: ClassVar[tuple[str, ...]] = ("openvino",)
    imports: ClassVar[tuple[str, ...]] = ("numpy", "optbench.runtimes.quiet_openvino")

    def problems(self) -> list[str]:
        """A device that is no device's name, a negative group."""
        found = []
        if not re.fullmatch(r"[A-Z]+(\.\d+)?", self.device):
            found.append(f"device must be a name such as CPU or GPU.0, got {self.device!r}")
        group = self.dynamic_quantization_group_size
        if group is not None and group < 0:
            found.append(f"dynamic_quantization_group_size must be 0 or more, got {group}")
        return found

    def may_fork(self) -> bool:
        """Threads start with the first model; drivers of other devices may not survive a fork."""
        return self.device == "CPU"

    def supports(self, spec: ModelSpec, graph: Graph) -> str | None:
        """OpenVINO rewrites its graph as it does; it has no levels."""
        if graph.session_level == "default":
            return None
        return f"graph={graph.level} has no meaning for OpenVINO, which has no levels; use graph=default"

    def cautions_about(self, quantization: Quantization) -> list[str]:
        """Scales found while running, as ONNX operators, make it slower."""
        if not quantization.answers_depend_on_batch:
            return []
        return [
            f"OpenVINO computes the matrix products of quant={component_name(quantization)} in floating "
            "point and converts around them, which took 1.3 to 2.5 times the CPU time of float32 where it "
            "was measured (docs/decisions/0009); quant=nncf or quant=static is what it computes in integers"
        ]

    def environment(self, threads: int, wait_policy: WaitPolicy) -> dict[str, str]:
        """Nothing to set. Raises Unsupported for a wait policy, which its threads do not know."""
        if wait_policy is WaitPolicy.runtime or threads == 1:
            return {}
        raise Unsupported(
            f"measure.wait_policy={wait_policy.value} cannot be set for OpenVINO: its threads spin about "
            "1 ms after a call and have no setting; use measure.wait_policy=runtime, or threads=1"
        )

    def load(self, artifact: Artifact, options: LoadOptions) -> OpenVinoSession:
        """The model, compiled. Raises DataError, and Unsupported for what the device lacks."""
        _, compiled = self.compiled(artifact, options)
        return OpenVinoSession(compiled, options.threads)

    def kernels(self, artifact: Artifact, options: LoadOptions, feed: Feed) -> KernelReport:
        """What runs in integers, by the compiled model's own account and its performance counters."""
        from optbench.runtimes.openvino_kernels import report

        def compiled(**properties: Any) -> tuple[Any, Any]:
            return self.compiled(artifact, options, **properties)

        return report(compiled, feed)

    def compiled(self, artifact: Artifact, options: LoadOptions, **more: Any) -> tuple[Any, Any]:
        """The model as read, and as compiled with this backend's properties and `more`."""
        import openvino

        file = artifact.directory / MODEL_FILES[artifact.format]
        core = openvino.Core()
        self._require_device(core)
        try:
            model = core.read_model(file)
            properties = {**self.properties(options.threads), **more}
            return model, core.compile_model(model, self.device, properties)
        except RuntimeError as error:
            raise DataError(f"{file} cannot be loaded by OpenVINO: {error}") from error

    def properties(self, threads: int) -> dict[str, Any]:
        """OpenVINO's properties of a compiled model."""
        chosen: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1}
        if self.precision is not Precision.runtime:
            chosen["INFERENCE_PRECISION_HINT"] = HINTS[self.precision][0]
        if self.dynamic_quantization_group_size is not None:
            chosen["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = self.dynamic_quantization_group_size
        if self.device != "CPU":
            return chosen
        pinning = threads >= usable_cores() if self.pinning is None else self.pinning
        return {**chosen, "INFERENCE_NUM_THREADS": threads, "ENABLE_CPU_PINNING": pinning}

    def _require_device(self, core: Any) -> None:
        present = core.available_devices
        if self.device not in present and f"{self.device}.0" not in present:
            raise Unsupported(
                f"backend.device={self.device} is not among the devices OpenVINO finds here: "
                f"{', '.join(present)}; use one of them"
            )
        if self.precision is Precision.runtime:
            return
        able = core.get_property(self.device, "OPTIMIZATION_CAPABILITIES")
        if HINTS[self.precision][1] not in able:
            raise Unsupported(
                f"backend.precision={self.precision.value} is nothing {self.device} computes in here, by "
                f"OpenVINO's account ({', '.join(able)}); use backend.precision=float32"
            )


def usable_cores() -> int:
    """Cores this process may run on; pinned threads are spread over them from the first on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
