"""Every combination of quantization, graph rewriting and session level runs, or is refused beforehand."""

import itertools

import numpy as np
import pytest

from optbench.backends.onnxruntime import OnnxRuntime
from optbench.components import Artifact, LoadOptions, ModelSpec, WaitPolicy
from optbench.graphs.fused import FusedGraph
from optbench.graphs.session import SessionGraph
from optbench.onnx_graphs.recipe import Calibration, Method
from optbench.quantizations.dynamic import DynamicQuantization, WeightType
from optbench.quantizations.float16 import Float16, FloatType
from optbench.quantizations.none import NoQuantization
from optbench.quantizations.static import Format, IntegerType, StaticQuantization
from optbench.quantizations.weight_only import WeightOnlyQuantization

GRAPHS = [*(FusedGraph(level) for level in ("o1", "o2", "o3"))]
GRAPHS += [SessionGraph(level) for level in ("default", "none", "basic", "extended", "all")]
EIGHT = (IntegerType.uint8, IntegerType.int8)
WIDE = (IntegerType.uint16, IntegerType.int16)


def statics():
    """Each method with each format, then each pair of types with each switch, methods at their default."""
    for method, form in itertools.product(Method, Format):
        yield StaticQuantization(format=form, calibration=Calibration(method=method, num_bins=512))
    yield StaticQuantization(calibration=Calibration(moving_average=True))
    for form, activation, weight in itertools.product(Format, EIGHT + WIDE, EIGHT + WIDE):
        types = {"format": form, "activation_type": activation, "weight_type": weight}
        yield StaticQuantization(**types)
        yield StaticQuantization(**types, reduce_range=True)
        yield StaticQuantization(**types, activation_symmetric=True, quantize_outputs=True)
        for symmetric in (True, False):
            yield StaticQuantization(**types, per_channel=False, weight_symmetric=symmetric)
            yield StaticQuantization(**types, per_channel=True, weight_symmetric=symmetric)
    for form in Format:
        yield StaticQuantization(format=form, weights_only_products=False)
        yield StaticQuantization(format=form, node_exclusion=["layernorm", "gelu", "residual", "last_layer"])


def others():
    """Each setting of the other quantizations."""
    yield NoQuantization()
    switches = itertools.product(
        (WeightType.int8, WeightType.uint8), *[(True, False)] * 2, (None, True, False)
    )
    for kind, per_channel, reduced, symmetric in switches:
        yield DynamicQuantization(
            weight_type=kind, per_channel=per_channel, reduce_range=reduced, weight_symmetric=symmetric
        )
    yield DynamicQuantization(operators_to_quantize=["Gather"])
    yield DynamicQuantization(node_exclusion=["attention", "last_layer"])
    for bits, block, symmetric, level, tables in itertools.product(
        (4, 8), (16, 128), (True, False), (0, 1, 2, 3, 4), (True, False)
    ):
        yield WeightOnlyQuantization(bits, block, symmetric, level, tables)
    for kind in FloatType:
        yield Float16(type=kind)


def outcome(quantization, graph, source, place, rows):
    """Outputs of the combination by row; or why it is refused, before anything is written."""
    backend = OnnxRuntime()
    spec = ModelSpec(source, "bert", (), 40, 32)
    if problems := quantization.problems():
        return problems[0]
    for reason in (quantization.supports(spec, backend), graph.supports(spec, backend)):
        if reason:
            return reason
    directory = source
    for number, step in enumerate((graph, quantization)):
        if step.recipe() is not None:
            target = place / f"step{number}"
            target.mkdir(parents=True)
            args = () if number == 0 else (rows,)
            step.apply(directory, target, *args)
            directory = target
    options = LoadOptions(1, WaitPolicy.runtime, graph.session_level, "AutoModel")
    session = backend.load(Artifact(directory, "onnx", "", 0), options)
    feeds = [session.bind({name: array[None] for name, array in row.items()}) for row in rows]
    return np.concatenate([session.outputs(session.forward(feed))["logits"] for feed in feeds])


def check(quantization, graph, source, place, rows, answers):
    found = outcome(quantization, graph, source, place, rows)
    if isinstance(found, str):
        assert "must" in found
        assert not place.exists()
        return
    assert np.isfinite(found).all()
    expected = answers(source, rows)
    assert np.linalg.norm(found.ravel() - expected) / np.linalg.norm(expected) < 1


FEW = [
    NoQuantization(),
    DynamicQuantization(),
    StaticQuantization(),
    StaticQuantization(format=Format.QOperator),
    WeightOnlyQuantization(embeddings=True),
    Float16(),
]


@pytest.mark.parametrize("graph", GRAPHS, ids=lambda graph: graph.level)
@pytest.mark.parametrize("number", range(len(FEW)), ids=lambda number: FEW[number].registered_name)
def test_each_quantization_goes_with_each_graph_level(
    source, target, tmp_path, make_rows, answers, graph, number
):
    check(FEW[number], graph, source, tmp_path / "steps", make_rows(), answers)


@pytest.mark.slow
@pytest.mark.parametrize(
    "graph",
    [
        pytest.param(
            graph, id=graph.level, marks=[pytest.mark.release] if graph.level in ("o1", "o3") else []
        )
        for graph in GRAPHS[:4]
    ],
)
def test_every_setting_of_every_quantization_runs_or_is_refused(
    source, target, tmp_path, make_rows, answers, graph
):
    count = refused = 0
    for number, quantization in enumerate([*others(), *statics()]):
        place = tmp_path / f"steps{number}"
        check(quantization, graph, source, place, make_rows((5, 9, 3)), answers)
        count += 1
        refused += not place.exists()
    assert count > 250
    assert 0 < refused < count / 2
