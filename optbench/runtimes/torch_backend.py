"""What PyTorch runtimes have in common: device, precision, attention, and a module quantized in memory."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from optbench.components import Artifact, Backend, LoadOptions, ModuleTraits, WaitPolicy
from optbench.runtimes.torch_session import Attention, Precision, TorchSession, openmp_environment

if TYPE_CHECKING:
    from optbench.components import Feed
    from optbench.records import KernelReport


@dataclass
class TorchBackend(Backend):
    """Base of PyTorch runtimes.

    device: 'cpu', or a CUDA device such as 'cuda' or 'cuda:1'.
    precision: of the weights and the arithmetic. autocast: weights stay as they are, and PyTorch computes
        in bfloat16 where that is known to be safe.
    attention: sdpa (fused), eager (step by step), or what transformers chooses.
    """

    device: str = "cpu"
    precision: Precision = Precision.float32
    autocast: bool = False
    attention: Attention = Attention.auto

    artifact_formats: ClassVar[tuple[str, ...]] = ("transformers",)
    imports: ClassVar[tuple[str, ...]] = ("torch", "transformers.models.auto.modeling_auto")
    label_fields: ClassVar[Mapping[str, str]] = {
        "device": "{}",
        "precision": "{}",
        "autocast": "autocast",
        "attention": "{} attention",
    }

    def problems(self) -> list[str]:
        """A device of another kind, two ways to the same precision."""
        found = []
        if not re.fullmatch(r"cpu|cuda(:\d+)?", self.device):
            found.append(f"device must be cpu, cuda or cuda:N, got {self.device!r}")
        if self.autocast and self.precision is not Precision.float32:
            found.append(
                f"autocast must be false with precision={self.precision.value}: the weights are in that "
                "type already; drop one of the two"
            )
        return found

    def module_traits(self) -> ModuleTraits | None:
        """Device, arithmetic, and whether calls are compiled."""
        arithmetic = Precision.bfloat16 if self.autocast else self.precision
        return ModuleTraits(self.device, arithmetic.value, self.compiles)

    def may_fork(self) -> bool:
        """CUDA cannot be used in a process that was forked."""
        return self.device == "cpu"

    def environment(self, threads: int, wait_policy: WaitPolicy) -> dict[str, str]:
        """OpenMP's waiting is decided when its library is loaded."""
        return openmp_environment(wait_policy)

    def kernels(self, artifact: Artifact, options: LoadOptions, feed: Feed) -> KernelReport | None:
        """What runs in integers, by PyTorch's profiler. Raises DataError."""
        session = self.load(artifact, options)
        if not isinstance(session, TorchSession) or self.device != "cpu":
            return None  # the profiler is asked for CPU kernels only
        return session.kernels(feed)
