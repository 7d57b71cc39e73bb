"""The help page: groups and options as the shipped configs describe themselves, and examples."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from optbench import extensions
from optbench.locations import conf_dir

GROUPS = {
    "model": "the checkpoint",
    "task": "what it is asked to do",
    "dataset": "the labelled rows it is judged on",
    "baseline": "what the candidate is held against",
    "backend": "the runtime of the candidate",
    "quant": "how the candidate's weights are made smaller",
    "graph": "how far the runtime rewrites the graph",
    "recipe": "backend, quantization and graph of the candidate under one name",
    "measure": "how latency is measured",
    "quality": "which rows and metrics",
    "tracking": "where a finished run is logged besides its directory",
    "sweep": "with -m: which grid is walked",
    "cluster": "with -m: where the points run",
}

EXAMPLES = """\
  optbench                                                      the demo: PyTorch against int8, no network
  optbench backend=onnxruntime quant=none batch_size=8 input_length=64
  optbench model=pretrained model.path=my_model dataset=labelled dataset.path=rows.csv
  optbench baseline=onnxruntime quant=dynamic measure=strict    what does int8 alone bring?
  optbench -m quant=none,dynamic batch_size=1,8                 four runs, one after the other"""

KEYS = """\
  batch_size=1  input_length=32  threads=auto  seed=0           shape and cores, the same for both sides
  measure.precision=0.02  measure.budget_seconds=60             stop at +-2%, or after a minute
  run.timeout_seconds=600                                       a run or point that takes longer has failed
  measure.inputs=random|dataset                                 random tokens, or the dataset's own texts
  quality.max_eval_samples=500  quality.metrics=[accuracy]      seeded sample; metrics by name or path
  quantization.per_channel=false  backend.opset=17              any field of a chosen option
  artifact=DIR                                                  measure existing files as the candidate
  gates.min_speedup=1.2  gates.max_accuracy_drop=0.01           what must hold to ship: speed and answers,
  gates.max_p95_seconds=0.05  gates.max_size_bytes=30000000     p95 and size; exit code 1: one fails, 4: open
  hydra.run.dir=outputs/mine                                    where a run's directory is
  hydra.sweep.dir=outputs/grid                                  the same with -m, for all points"""

CODES = " · ".join(
    (
        "0 done",
        "1 a gate failed",
        "2 bad input",
        "3 a run failed",
        "4 inconclusive",
        "130 interrupted",
        "143 terminated",
    )
)


def meaning(file: Path) -> str:
    """The first comment of a config file that is not a directive, without its example command."""
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("#") and not line.startswith("# @"):
            return re.split(r"\s{2,}optbench ", line[1:].strip())[0]
    return ""


def options(group: str) -> dict[str, str]:
    """Options of a group with their meaning, by name; those of plug-ins name their distribution."""
    found = {file.stem: meaning(file) for file in (conf_dir() / group).glob("*.yaml")}
    for place, distribution in extensions.conf_directories().items():
        for file in (place / group).glob("*.yaml"):
            found.setdefault(file.stem, f"{meaning(file)} ({distribution})")
    as_backend = options("backend") if group == "baseline" else {}  # what the same runtime says of itself
    for name, extension in extensions.options(group).items():
        found.setdefault(name, as_backend.get(name, f"from {extension.distribution}"))
    return dict(sorted(found.items()))


def experiments(directories: Sequence[Path] = ()) -> dict[str, str]:
    """The shipped experiments with their meaning, then those in `directories`, the user's own."""
    found = {file.stem: meaning(file) for file in sorted((conf_dir() / "experiment").glob("*.yaml"))}
    for place in directories:
        for file in sorted((place / "experiment").glob("*.yaml")):
            found.setdefault(file.stem, f"{own_meaning(file)} ({place})".lstrip())
    return found


def own_meaning(file: Path) -> str:
    """The same of a file that need not be readable."""
    try:
        return meaning(file)
    except (OSError, UnicodeDecodeError):
        return ""


def help_body(directories: Sequence[Path] = ()) -> str:
    """Everything below the first line of `optbench --help`. directories: the user's own configs."""
    lines = ["Choose one option of each group (group=option):"]
    for group, purpose in GROUPS.items():
        lines.append(f"\n  {group}: {purpose}")
        lines += [f"    {name:<24}{told}" for name, told in options(group).items()]
    lines.append("\n  +experiment=NAME: a whole question, ready to run")
    lines += [f"    {name:<24}{told}" for name, told in experiments(directories).items()]
    lines += ["\nSet any value (key=value); the ones used most:", KEYS, "\nExamples:", EXAMPLES]
    lines += [
        "\nLook before you run: optbench --cfg job [key=value ...]",
        "What would run, how long, what it lacks: optbench --plan [-m] [key=value ...]",
        "Is this machine fit to measure: optbench doctor",
        "Results so far: optbench aggregate DIR, optbench compare A B, optbench history (each with --help)",
        "The measured model, to keep: optbench export RUN_DIR DEST. The cache: optbench cache list",
        "Your own configs: optbench --config-dir DIR --config-name NAME; experiments in DIR/experiment/",
        "Less or more on the terminal: -q, -v. Hydra's own flags: --hydra-help",
        f"Exit codes: {CODES}",
    ]
    return "\n".join(lines)
