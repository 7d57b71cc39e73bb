"""ONNX's reference evaluator as a runtime: numpy, one operator after the other."""

from dataclasses import dataclass
from typing import ClassVar

from optbench.components import Backend, register


@register("backend", "reference")
@dataclass
class Reference(Backend):
    artifact_formats: ClassVar = ("onnx",)
    imports: ClassVar = ("onnx.reference", "threadpoolctl")

    def supports(self, spec, graph):
        if graph.session_level == "default":
            return None
        return f"graph={graph.level} has no meaning for backend=reference; use graph=default"

    def environment(self, threads, wait_policy):
        return {}

    def load(self, artifact, options):
        return ReferenceSession(artifact.directory / "model.onnx", options.threads)


class ReferenceSession:
    def __init__(self, file, threads):
        import threadpoolctl
        from onnx.reference import ReferenceEvaluator

        threadpoolctl.threadpool_limits(threads)  # of numpy's matrix products
        self._model = ReferenceEvaluator(str(file))
        self._pools = threadpoolctl.threadpool_info

    def bind(self, feed):
        return {name: feed[name] for name in self._model.input_names}

    def forward(self, bound):
        return self._model.run(None, bound)

    def outputs(self, raw):
        return dict(zip(self._model.output_names, raw, strict=True))

    def synchronize(self):
        pass

    def settings(self):
        return {"threads": max(pool["num_threads"] for pool in self._pools())}

    def weights_bytes(self):
        return None
