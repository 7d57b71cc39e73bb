"""Imports go down only: the order of the layers is the design, and this test holds it."""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import optbench

PACKAGE = Path(optbench.__file__).parent

PLUG_INS = {"models", "tasks", "datasets", "backends", "quantizations", "graphs", "trackers"}

# From the bottom up. A module may import from lower layers; inside a layer only its own package.
LAYERS = [
    {"errors", "units", "verbosity", "locations", "extensions"},
    {
        "records",
        "environment",
        "hub",
        "rows.ragged",
        "processes.this_process",
        "api.overrides",
        "hydra_app.complaints",
    },
    {"results.walk", "tracking.log_entry", "processes.host", "processes.child", "claims"},
    {"processes.template", "processes.termination"},
    {"results.remote"},
    {"results.points"},
    {"results.aggregate"},
    {"results.body"},
    {"results.tables", "results.history"},
    {"measure", "rows.calibration_rows"},
    {"quality"},
    {"results.pairing", "results.conditions"},
    {"results.answers"},
    {"results.compare"},
    {"components"},
    {"tracking.tracker", "checkpoint", "rows.plain"},
    {
        "rows.arrow_cache",
        "rows.columns",
        "rows.tokenization",
        "rows.spans",
        "rows.streaming",
        "config",
        "generation",
        "contract",
    },
    {"runtimes.torch_weights", "onnx_graphs"},
    {"runtimes.torch_kernels"},
    {"runtimes.torch_session", "runtimes.openvino_session", "runtimes.quiet_openvino"},
    {"runtimes.torch_backend", "runtimes.openvino_kernels", "runtimes.nncf_file"},
    PLUG_INS,
    {"demo"},
    {"processes.outputs", "processes.end_to_end", "processes.deadline"},
    {
        "stages.storage",
        "processes.worker",
        "processes.preparation",
        "processes.examples",
        "processes.loadgen",
    },
    {"processes.remote_worker"},
    {"processes.group", "artifacts.entries", "artifacts.exported"},
    {"artifacts.cache"},
    {
        "artifacts.answers",
        "artifacts.store",
        "processes.crew",
        "stages.watch",
        "stages.draft",
        "stages.assemble",
    },
    {"stages.fitting"},
    {"stages.preparing", "judgement.gates", "judgement.noise", "search.objectives"},
    {
        "stages.answering",
        "stages.starting",
        "stages.timing",
        "search.tuning",
        "stages.resume",
        "planning.lookup",
        "planning.estimates",
    },
    {"judgement.verdict", "stages.serving"},
    {"run"},
    {"planning.plan"},
    {"reports", "hydra_app.help", "commands.doctor"},
    {"delivery.about", "delivery.command_line"},
    {"delivery.report", "delivery.handover"},
    {"delivery.summary", "delivery.publishing", "delivery.upload", "api.views"},
    {"search.tune"},
    {"hydra_app.invocation", "hydra_app.launchers"},
    {"hydra_app.plugins", "hydra_app.resolvers", "hydra_app.typed"},
    {"hydra_app.axes"},
    {"hydra_app.hooks"},
    {"hydra_app.arguments", "hydra_app.composition", "api.places"},
    {"hydra_app.launching", "hydra_app.endings"},
    {"main", "api.choices"},
    {"api.calls"},
    {"commands.cache", "commands.export", "commands.report"},
    {"commands.tools"},
    {"cli"},
    {"__main__", "__init__"},
]
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}


def imported_modules(path):
    """Dotted names below optbench that a file imports, wherever in the file, without `optbench.`."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        yield from (name.removeprefix("optbench.") for name in names if name.startswith("optbench."))


def place_of(module):
    """The module or package of LAYERS that a dotted name belongs to."""
    parts = module.split(".")
    return ".".join(parts[:2]) if ".".join(parts[:2]) in RANK else parts[0]


def module_of(path):
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


SOURCES = sorted(PACKAGE.rglob("*.py"))
LAYERED = {name.partition(".")[0] for name in RANK if "." in name}
"""Packages whose modules have layers of their own."""
MODULES = [path for path in SOURCES if not (path.name == "__init__.py" and path.parent.name in LAYERED)]


def test_every_module_has_its_layer():
    assert {place_of(module_of(path)) for path in MODULES} == set(RANK)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down_only(path):
    own = place_of(module_of(path))
    for module in imported_modules(path):
        other = place_of(module)
        if other in (own, "__version__"):
            continue
        assert RANK[other] < RANK[own], f"{own} must not import {module}"


def test_no_packages_import_each_other():
    """What lies directly in optbench/ has an order: each package can be read before those that use it."""
    needs = {}
    for path in SOURCES:
        top = module_of(path).partition(".")[0]
        needs.setdefault(top, set()).update(
            other
            for module in imported_modules(path)
            if (other := module.partition(".")[0]) not in (top, "__version__")
        )
    order = list(TopologicalSorter(needs).static_order())  # raises CycleError, which names the cycle
    assert set(needs) <= set(order)


def test_the_table_of_the_architecture_page_has_that_order():
    page = (PACKAGE.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = page.partition("## Layers")[2].partition("\n## ")[0]
    rows = [re.findall(r"`(\w+)/?`", line.split("|")[1]) for line in table.splitlines() if "|" in line]
    row_of = {name: number for number, names in enumerate(rows) for name in names}
    tops = {module_of(path).partition(".")[0] for path in SOURCES} - {"__init__", "__main__"}
    assert set(row_of) == tops
    for path in SOURCES:
        own = module_of(path).partition(".")[0]
        for module in imported_modules(path) if own in tops else ():
            other = module.partition(".")[0]
            if other in tops:
                assert row_of[other] >= row_of[own], f"{own} imports {module}, which stands above it"


@pytest.mark.parametrize("group", sorted(PLUG_INS))
def test_plug_ins_do_not_import_their_siblings(group):
    for path in (PACKAGE / group).glob("*.py"):
        siblings = [module for module in imported_modules(path) if place_of(module) == group]
        assert not siblings, f"{path.name} imports {siblings}"
