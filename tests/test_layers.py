"""Imports go down only: the order of the layers is the design, and this test holds it."""

import ast
from pathlib import Path

import pytest

import optbench

PACKAGE = Path(optbench.__file__).parent

PLUG_INS = {"models", "tasks", "datasets", "backends", "quantizations", "graphs", "trackers"}

# From the bottom up. A module may import from lower layers; inside a layer only its own package.
LAYERS = [
    {"errors", "units", "verbosity", "locations", "extensions"},
    {"records", "environment", "ragged", "hub", "process", "overrides", "complaints"},
    {"walk", "log_entry", "host"},
    {"remote"},
    {"points"},
    {"aggregate"},
    {"body"},
    {"tables", "history"},
    {"measure", "quality", "calibration_rows"},
    {"pairing", "conditions"},
    {"compare"},
    {"components"},
    {"tracking"},
    {"columns", "checkpoint", "tokenization", "spans", "config", "generation", "streaming", "contract"},
    {"torch_weights", "onnx_graphs"},
    {"torch_kernels"},
    {"torch_session", "openvino_session", "quiet_openvino"},
    {"torch_backend", "openvino_kernels", "nncf_file"},
    PLUG_INS,
    {"demo"},
    {"outputs", "end_to_end", "deadline"},
    {"sensitivity"},
    {"storage", "worker", "preparation", "examples", "loadgen"},
    {"group", "entries"},
    {"cache"},
    {"answers", "artifacts", "crew", "gates", "noise", "watch", "draft", "assemble", "objectives"},
    {"timing", "tuning", "resume", "lookup", "estimates"},
    {"verdict", "serving"},
    {"run"},
    {"planning"},
    {"reports", "help", "doctor"},
    {"about", "command_line"},
    {"report", "handover"},
    {"summary", "views", "publishing", "delivery"},
    {"tune"},
    {"session", "launchers"},
    {"plugins", "resolvers", "hooks"},
    {"arguments", "composition", "places"},
    {"launching"},
    {"main", "choices"},
    {"api"},
    {"cache_commands", "handover_command", "report_command"},
    {"tools"},
    {"cli"},
    {"__main__", "__init__"},
]
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}


def imported_modules(path):
    """Dotted names below optbench that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("optbench"))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("optbench"):
            if node.module == "optbench":
                yield from (f"optbench.{alias.name}" for alias in node.names)
            else:
                yield node.module


def part_of(module):
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


SOURCES = sorted(PACKAGE.rglob("*.py"))


def test_every_module_has_its_layer():
    tops = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in SOURCES}
    assert tops == set(RANK)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down_only(path):
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for module in imported_modules(path):
        other = part_of(module)
        if other in (own, "__version__"):
            continue
        assert RANK[other] < RANK[own], f"{own} must not import {module}"


@pytest.mark.parametrize("group", sorted(PLUG_INS))
def test_plug_ins_do_not_import_their_siblings(group):
    for path in (PACKAGE / group).glob("*.py"):
        siblings = [m for m in imported_modules(path) if part_of(m) == group]
        assert not siblings, f"{path.name} imports {siblings}"
