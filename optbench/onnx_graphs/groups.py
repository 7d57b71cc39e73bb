"""Named groups of nodes, found by how they are wired and never by how an exporter names them.

They hold for fused graphs too, where one node may be a whole group.
"""

from __future__ import annotations

from collections.abc import Callable

from optbench.onnx_graphs.nodes import PRODUCTS, NodeIndex

FUSED_ATTENTION = frozenset({"Attention", "MultiHeadAttention", "GroupQueryAttention"})
NORMALIZATIONS = frozenset(
    {
        "LayerNormalization",
        "SkipLayerNormalization",
        "EmbedLayerNormalization",
        "SimplifiedLayerNormalization",
        "SkipSimplifiedLayerNormalization",
        "RMSNormalization",
    }
)
FUSED_RESIDUALS = frozenset({"SkipLayerNormalization", "SkipSimplifiedLayerNormalization"})
GELUS = frozenset({"Gelu", "BiasGelu", "FastGelu", "QuickGelu"})
LOOKUPS = frozenset({"Gather", "GatherND", "GatherElements", "EmbedLayerNormalization"})
SOFTMAXES = frozenset({"Softmax", "LogSoftmax", "BiasSoftmax"})
ELEMENTWISE = frozenset({"Add", "Sub", "Mul", "Div", "Pow", "Cast", "Identity"})
ARITHMETIC = ELEMENTWISE | {"Erf", "Tanh"}
CARRIERS = frozenset({"Cast", "Identity", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Dropout", "Where"})
"""Operators that pass values on as they are."""


def layernorm(index: NodeIndex) -> set[int]:
    """Normalization nodes, and those written out as mean, variance, root and quotient."""
    found = index.of_type(NORMALIZATIONS)
    for number, node in enumerate(index.nodes):
        if node.op_type != "Div":
            continue
        arms = index.before(number)
        roots = [arm for arm in arms if index.nodes[arm].op_type == "Sqrt"]
        centred = [arm for arm in arms if index.nodes[arm].op_type == "Sub"]
        if len(roots) == len(centred) == 1:
            inner = index.reached(roots, index.before, ends=centred)
            if "ReduceMean" not in {index.nodes[one].op_type for one in inner}:
                continue
            means = {one for one in index.before(centred[0]) if index.nodes[one].op_type == "ReduceMean"}
            found |= inner | means | {number} | affine(index, number)
    return found


def affine(index: NodeIndex, number: int) -> set[int]:
    """The Mul by a weight after a node, and the Add of a bias after that."""
    found: set[int] = set()
    for kind in ("Mul", "Add"):
        readers = [one for one in index.after(number) if index.nodes[one].op_type == kind]
        if len(readers) != 1 or not any(name in index.constants for name in index.nodes[readers[0]].input):
            break
        number = readers[0]
        found.add(number)
    return found


def gelu(index: NodeIndex) -> set[int]:
    """Gelu nodes, and those written out around an Erf or a Tanh: x/2 * (1 + erf(x / sqrt 2))."""
    found = index.of_type(GELUS)
    for number in index.of_type({"Erf", "Tanh"}):
        sums = [one for one in index.after(number) if index.nodes[one].op_type == "Add"]
        products = [one for add in sums for one in index.after(add) if index.nodes[one].op_type == "Mul"]
        if len(sums) != 1 or len(products) != 1:
            continue
        chain = {number, sums[0], products[0]}
        value = next(
            (name for name in index.nodes[products[0]].input if index.producer.get(name) != sums[0]), ""
        )
        maker = index.producer.get(value)
        if maker is not None and is_scaling(index, maker):
            argument = variable_input(index, maker)
            if any(argument in index.nodes[one].input for one in upstream(index, number, argument)):
                chain.add(maker)
                value = argument
        inner = upstream(index, number, value)
        if not any(value in index.nodes[one].input for one in inner):
            continue
        chain |= inner
        halves = [one for one in index.after(products[0]) if is_scaling(index, one)]
        found |= chain | (set(halves) if maker not in chain else set())
    return found


def upstream(index: NodeIndex, number: int, value: str) -> set[int]:
    """Arithmetic nodes that lead from the tensor `value` to a node; it is included, what makes it not."""
    maker = index.producer.get(value)
    reached = index.reached(
        [number], index.before, lambda one: one == maker or index.nodes[one].op_type not in ARITHMETIC
    )
    inner = reached - {maker}
    return inner if all(index.nodes[one].op_type in ARITHMETIC for one in inner) else set()


def is_scaling(index: NodeIndex, number: int) -> bool:
    """Whether a node multiplies or divides one tensor by a constant."""
    node = index.nodes[number]
    return node.op_type in ("Mul", "Div") and sum(name in index.constants for name in node.input) == 1


def variable_input(index: NodeIndex, number: int) -> str:
    """The input of a scaling that is not the constant."""
    return str(next(name for name in index.nodes[number].input if name not in index.constants))


def residual(index: NodeIndex) -> set[int]:
    """Additions of a tensor to what matrix products made of it, and normalizations that contain them.

    The mask of attention, added to the scores, is no residual though earlier layers used it too.
    """
    found = index.of_type(FUSED_RESIDUALS)
    weighted = {number for number in range(len(index.nodes)) if index.is_weighted(number)}
    fed: dict[int, set[int]] = {}
    for number in index.of_type({"Add"}):
        makers = index.before(number)
        if len(makers) != 2 or leads_to_softmax(index, number):
            continue
        for skip, branch in (makers, makers[::-1]):
            if skip not in fed:
                own = set(index.after(skip))
                fed[skip] = index.reached(own, index.after) & weighted
            above = index.reached([branch], index.before, ends=(skip,))
            if skip in above and fed[skip] & above - {skip}:
                found.add(number)
    return found


def leads_to_softmax(index: NodeIndex, number: int) -> bool:
    """Whether softmax reads what a node made, as it is."""
    path = index.reached(index.after(number), index.after, lambda one: not carries(index, one))
    return any(index.nodes[one].op_type in SOFTMAXES for one in path)


def gather(index: NodeIndex) -> set[int]:
    """Look-ups in tables of weights: embeddings."""
    found = set()
    for number in index.of_type(LOOKUPS):
        node = index.nodes[number]
        if node.op_type == "EmbedLayerNormalization" or node.input[0] in index.floats:
            found.add(number)
    return found


def softmax(index: NodeIndex) -> set[int]:
    """Softmax nodes; a fused attention node contains its own."""
    return index.of_type(SOFTMAXES)


def attention(index: NodeIndex) -> set[int]:
    """From the projections of query, key and value over softmax to the output projection, all included."""
    found: set[int] = set()
    for number in index.of_type(SOFTMAXES):
        carried = index.reached(index.after(number), index.after, lambda one: not carries(index, one))
        sums = {one for one in carried if index.nodes[one].op_type in PRODUCTS and not index.is_weighted(one)}
        if len(sums) != 1:
            continue
        region = index.reached(sums, index.before, index.is_weighted)
        projections = {one for one in region if index.is_weighted(one)}
        computed = index.reached(projections, index.after, ends=sums)
        found |= (region & computed) | sums | output_projection(index, sums)
    for number in index.of_type(FUSED_ATTENTION):
        projections = set()
        if not index.is_weighted(number):
            region = index.reached(index.before(number), index.before, index.is_weighted)
            projections = {one for one in region if index.is_weighted(one)}
        found |= {number} | projections | output_projection(index, {number})
    return found


def carries(index: NodeIndex, number: int) -> bool:
    """Whether a node passes on what it is given."""
    return index.nodes[number].op_type in CARRIERS


def output_projection(index: NodeIndex, numbers: set[int]) -> set[int]:
    """The product with weights that comes right after some nodes, and what carries the values there."""
    starts = {one for number in numbers for one in index.after(number)}
    path = index.reached(starts, index.after, lambda one: not carries(index, one))
    return {one for one in path if index.is_weighted(one) or carries(index, one)}


def first_layer(index: NodeIndex) -> set[int]:
    """Products with weights that no other one feeds."""
    return {one for one in weighted_nodes(index) if not fed_by(index, one, index.before)}


def last_layer(index: NodeIndex) -> set[int]:
    """Products with weights that feed no other one."""
    return {one for one in weighted_nodes(index) if not fed_by(index, one, index.after)}


def weighted_nodes(index: NodeIndex) -> list[int]:
    """All nodes that multiply by weights of their own."""
    return [number for number in range(len(index.nodes)) if index.is_weighted(number)]


def fed_by(index: NodeIndex, number: int, step: Callable[[int], list[int]]) -> bool:
    """Whether another product with weights is reached from a node."""
    others = index.reached(step(number), step, index.is_weighted)
    return any(index.is_weighted(one) for one in others if one != number)


GROUPS: dict[str, Callable[[NodeIndex], set[int]]] = {
    "layernorm": layernorm,
    "gelu": gelu,
    "residual": residual,
    "gather": gather,
    "softmax": softmax,
    "attention": attention,
    "first_layer": first_layer,
    "last_layer": last_layer,
}
"""Groups of nodes that `node_exclusion` takes by name."""
