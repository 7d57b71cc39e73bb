"""Plug-ins of other distributions: chosen, compared, told about; a broken one hinders nobody.

The example package is installed by hand into a folder of its own, as pip would leave it; a slow test lets
pip do it.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from optbench import components
from optbench.errors import ResultError
from optbench.records import read_result
from optbench.results.aggregate import aggregate
from optbench.results.compare import compare

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "tests" / "example_plugin"
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")


def install(site, distribution, module, source, group="optbench.backends", option="reference"):
    """Put a package with its metadata into a folder, as pip leaves it."""
    if isinstance(source, Path):
        shutil.copytree(source, site / module)
    else:
        (site / f"{module}.py").write_text(source)
    info = site / f"{distribution.replace('-', '_')}-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{option} = {module}\n")


@pytest.fixture
def site(tmp_path):
    """A folder with the example package."""
    place = tmp_path / "site"
    place.mkdir()
    install(place, "optbench-reference", "optbench_reference", EXAMPLE / "optbench_reference")
    return place


@pytest.fixture
def optbench(tmp_path):
    """Run Python with a folder of packages; by default the command line."""

    def call(site, *arguments, python=("-m", "optbench")):
        paths = [str(site), str(ROOT)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, *python, *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    return call


@pytest.fixture
def classifier(tmp_path):
    """A directory with model.onnx: tokens [batch, length] to two logits, by a mean and a matrix product."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(rng.normal(size=size).astype(np.float32), name)
        for name, size in {"embeddings": (32, 8), "head": (8, 2)}.items()
    ]
    nodes = [
        helper.make_node("Gather", ["embeddings", "input_ids"], ["a"]),
        helper.make_node("ReduceMean", ["a"], ["b"], axes=[1], keepdims=0),
        helper.make_node("MatMul", ["b", "head"], ["logits"]),
    ]
    inputs = [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "length"])]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])]
    graph = helper.make_graph(nodes, "classifier", inputs, outputs, weights)
    directory = tmp_path / "classifier"
    directory.mkdir()
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, directory / "model.onnx")
    return directory


def test_the_page_shows_the_example_package_as_it_is():
    for language, file in (
        ("toml", "pyproject.toml"),
        ("python", "optbench_reference/__init__.py"),
        ("yaml", "optbench_reference/conf/backend/reference.yaml"),
    ):
        shown = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)[0]
        assert shown == (EXAMPLE / file).read_text(encoding="utf-8"), file
    lines = (EXAMPLE / "optbench_reference" / "__init__.py").read_text().splitlines()
    assert len([line for line in lines if line.strip()]) <= 45


def test_the_check_on_the_page_holds_for_the_example(site, optbench, tiny_onnx, tmp_path):
    shutil.copytree(tiny_onnx, tmp_path / "model")
    script = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[1]
    done = optbench(site, script, python=("-c",))
    assert done.returncode == 0, done.stderr


def test_a_plug_in_is_on_the_help_page_and_composes_on_both_sides(site, optbench):
    page = optbench(site, "--help").stdout
    line = "    reference               ONNX's reference evaluator: numpy, one operator after the other."
    assert page.count(f"{line} (optbench-reference)\n") == 2  # as backend and as baseline
    done = optbench(site, "--cfg", "job", "backend=reference", "baseline=reference", "quant=none")
    assert (done.returncode, done.stderr) == (0, "")


def test_without_a_yaml_file_it_composes_all_the_same(site, optbench):
    shutil.rmtree(site / "optbench_reference" / "conf")
    done = optbench(site, "--cfg", "job", "-p", "baseline", "backend=reference", "baseline=reference")
    assert (done.returncode, done.stderr) == (0, "")
    assert "quantization:" in done.stdout
    assert "reference               from optbench-reference" in optbench(site, "--help").stdout


@pytest.mark.slow
def test_a_run_over_a_plug_in_names_its_version(site, optbench, classifier, bare_model, rows_file, tmp_path):
    arguments = [
        "backend=reference",
        f"artifact={classifier}",
        "baseline=reference",
        f"baseline.artifact={classifier}",
        "quant=none",
        "model=pretrained",
        f"model.path={bare_model}",
        "dataset=labelled",
        f"dataset.path={rows_file}",
        "measure=quick",
        "measure.replicate_seconds=0.1",
        "threads=1",
        "hydra.run.dir=out",
    ]
    done = optbench(site, *arguments)
    assert done.returncode == 0, done.stderr
    result = read_result(tmp_path / "out")
    assert result.environment["plug_ins"] == {"optbench-reference": "0.1.0"}
    assert {variant.backend for variant in result.variants.values()} == {"reference"}
    assert result.quality.agreement.value == 1.0
    assert result.quality.rows == 40


def test_a_broken_plug_in_is_named_and_hinders_nobody(site, optbench):
    install(site, "their-runtime", "their_module", "import not_there\n", option="theirs")
    told = (
        "optbench: backend=theirs of their-runtime 0.1.0 cannot be used: "
        "ModuleNotFoundError: No module named 'not_there'\n"
    )
    done = optbench(site, "--cfg", "job", "backend=reference")
    assert (done.returncode, done.stderr) == (0, told)
    done = optbench(site, "--cfg", "job", "backend=theirs")
    assert done.returncode == 2
    assert done.stderr.startswith(told)
    assert "Could not find 'backend/theirs'" in done.stderr
    assert optbench(site, "--version").stderr == ""


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (
            "",
            'their_module has neither @register("backend", "theirs") nor conf/backend/theirs.yaml beside it',
        ),
        (
            "from optbench.components import Graph, register\nregister('backend', 'onnxruntime')(Graph)\n",
            "ValueError: backend=onnxruntime is registered by optbench.backends.onnxruntime already; choose",
        ),
        ("raise RuntimeError", "RuntimeError: no reason given"),
    ],
    ids=["nothing registered", "a name that is taken", "no reason"],
)
def test_what_is_wrong_with_a_plug_in_is_told(tmp_path, optbench, source, told):
    place = tmp_path / "site"
    place.mkdir()
    source = source.replace("(Graph)", "(type('Theirs', (Graph,), {}))")
    install(place, "their-runtime", "their_module", source, option="theirs")
    done = optbench(place, "--cfg", "job")
    assert done.returncode == 0
    assert f"backend=theirs of their-runtime 0.1.0 cannot be used: {told}" in done.stderr
    assert done.stderr.count("\n") == 1


def test_other_groups_bring_their_options_too(tmp_path, optbench):
    place = tmp_path / "site"
    (place / "their_quant" / "conf" / "recipe").mkdir(parents=True)
    (place / "their_quant" / "__init__.py").write_text(
        "from dataclasses import dataclass\n"
        "from optbench.components import register\n"
        "from optbench.quantizations.none import NoQuantization\n"
        "@register('quant', 'theirs')\n@dataclass\nclass Theirs(NoQuantization):\n    strength: int = 3\n"
    )
    (place / "their_quant" / "conf" / "recipe" / "mine.yaml").write_text(
        "# @package _global_\n# Mine.\ndefaults: [{override /quant: theirs}]\n"
    )
    source = place / "their_quant"
    shutil.move(source, tmp_path / "their_quant")
    install(place, "their-quant", "their_quant", tmp_path / "their_quant", "optbench.quantizations", "theirs")
    shutil.rmtree(tmp_path / "their_quant")
    for choice in ("quant=theirs", "recipe=mine", "quant@baseline.quantization=theirs"):
        done = optbench(place, "--cfg", "job", choice)
        assert (done.returncode, done.stderr) == (0, ""), choice
        assert "strength: 3" in done.stdout
    assert "    mine                    Mine. (their-quant)\n" in optbench(place, "--help").stdout
    script = "import optbench; print(optbench.compose('quant=theirs').quantization.strength)"
    assert optbench(place, script, python=("-c",)).stdout == "3\n"


def test_a_name_can_be_registered_once_only():
    class First(components.Component):
        pass

    class Second(components.Component):
        pass

    Second.__module__ = "elsewhere"
    components.register("test_group", "taken")(First)
    components.register("test_group", "taken")(First)
    with pytest.raises(ValueError, match=r"test_group=taken is registered by .* already"):
        components.register("test_group", "taken")(Second)


def test_versions_of_plug_ins_set_runs_apart_only_where_both_used_it(tmp_path, made_run, write_run):
    def of(version):
        used = {} if version is None else {"their-runtime": version}
        return made_run(environment={"machine": "m1", "versions": {"torch": "2.0"}, "plug_ins": used})

    for number, version in enumerate([None, "1.0"]):
        write_run(tmp_path / "alike" / str(number), of(version), [f"seed={number}"])
        write_run(tmp_path / "other" / str(number), of(version and "1.1"), [f"seed={number}"])
    assert len(aggregate([tmp_path / "alike"]).groups) == 1
    assert aggregate([tmp_path]).differing == ["plug-in their-runtime"]
    with pytest.raises(ResultError, match=r"differ in plug-in their-runtime \(1\.0 and 1\.1\)"):
        compare(tmp_path / "alike" / "1", tmp_path / "other" / "1")
    assert compare(tmp_path / "alike" / "0", tmp_path / "other" / "1").environment == []


@pytest.mark.slow
def test_pip_installs_the_example_and_it_agrees_with_onnxruntime(tmp_path, optbench, tiny_model, rows_file):
    place = tmp_path / "site"
    shutil.copytree(EXAMPLE, tmp_path / "source")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(place)]
    command.append(str(tmp_path / "source"))
    subprocess.run(command, check=True, capture_output=True)
    arguments = [
        "backend=reference",
        "baseline=onnxruntime",
        "quant=none",
        "model=pretrained",
        f"model.path={tiny_model}",
        "dataset=labelled",
        f"dataset.path={rows_file}",
        "measure=quick",
        "measure.replicate_seconds=0.1",
        "input_length=8",
        "hydra.run.dir=out",
    ]
    done = optbench(place, *arguments)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["environment"]["plug_ins"] == {"optbench-reference": "0.1.0"}
    assert result["quality"]["agreement"]["value"] == 1.0
