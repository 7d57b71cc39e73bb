"""Config files of the user's own: missing, broken, or not made on optbench's schema."""

from __future__ import annotations

from bad_input.files import folder, text
from bad_input.row import Row, row

OWN = "--config-dir mine --config-name own"
GROUP = "--config-dir mine quant=own"

FILES = [
    row("--config-name absent", "absent"),
    row("--config-dir absent", "absent", "not found"),
    row("--config-dir taken", "taken", "not found", files=(text("taken", ""),)),
    row("--config-dir empty quant=own", "quant/own", "dynamic", files=(folder("empty"),)),
    row(OWN, "own", files=(folder("mine"),)),
    row(OWN, "own", files=(folder("mine/own.yaml"),)),
    row(
        OWN,
        "own.yaml",
        "line 2",
        files=(text("mine/own.yaml", "defaults: [config, _self_]\nbatch_size: [1\n"),),
    ),
    row(
        OWN,
        "own.yaml",
        "line 2",
        files=(text("mine/own.yaml", "defaults: [config, _self_]\n\tbatch_size: 1\n"),),
    ),
    row(OWN, "own.yaml", "UTF-8", files=(text("mine/own.yaml", b"defaults: [config]\n# caf\xe9\n"),)),
    row(OWN, "own.yaml", files=(text("mine/own.yaml", b"\x00\x01\x02"),)),
    row(OWN, "own", "- config", files=(text("mine/own.yaml", ""),)),
    row(OWN, "schema", "- config", files=(text("mine/own.yaml", "batch_size: 1\n"),)),
    row(OWN, "schema", "- config", files=(text("mine/own.yaml", "defaults: [_self_]\nbatch_size: 1\n"),)),
    row(OWN, "own", files=(text("mine/own.yaml", "- batch_size\n- 1\n"),)),
    row(OWN, "own", files=(text("mine/own.yaml", "just words\n"),)),
    row(OWN, "nothing", files=(text("mine/own.yaml", "defaults: [nothing, _self_]\n"),)),
    row(
        OWN,
        "quant/own",
        "dynamic",
        files=(text("mine/own.yaml", "defaults: [config, override quant: own, _self_]\n"),),
    ),
    row(OWN, "defaults", files=(text("mine/own.yaml", "defaults: 5\n"),)),
    row(
        OWN,
        "batch_siz",
        "Did you mean",
        "batch_size",
        files=(text("mine/own.yaml", "defaults: [config, _self_]\nbatch_siz: 1\n"),),
    ),
    row(
        OWN,
        "measure.replicate",
        "replicates",
        files=(text("mine/own.yaml", "defaults: [config, _self_]\nmeasure: {replicate: 1}\n"),),
    ),
    row(
        OWN,
        "batch_size",
        "big",
        "Integer",
        files=(text("mine/own.yaml", "defaults: [config, _self_]\nbatch_size: big\n"),),
    ),
    row(
        OWN,
        "batch_size must be >= 1",
        "got 0",
        files=(text("mine/own.yaml", "defaults: [config, _self_]\nbatch_size: 0\n"),),
    ),
    row(OWN, "nowhere", files=(text("mine/own.yaml", "defaults: [config, _self_]\nseed: ${nowhere}\n"),)),
    row(OWN, "include one another", files=(text("mine/own.yaml", "defaults: [config, own, _self_]\n"),)),
    row(
        OWN,
        "duplicate",
        "batch_size",
        files=(text("mine/own.yaml", "defaults: [config, _self_]\nbatch_size: 1\nbatch_size: 2\n"),),
    ),
]

GROUPS = [
    row(GROUP, "own_schema", files=(text("mine/quant/own.yaml", "defaults: [own_schema, _self_]\n"),)),
    row(
        GROUP,
        "bits",
        files=(
            text(
                "mine/quant/own.yaml",
                "# @package quantization\ndefaults: [dynamic_schema, _self_]\nbits: 4\n",
            ),
        ),
    ),
    row(GROUP, "own.yaml", files=(text("mine/quant/own.yaml", "defaults: [dynamic_schema\n"),)),
    row(
        GROUP,
        "quant",
        "quantization",
        files=(text("mine/quant/own.yaml", "defaults: [dynamic_schema, _self_]\nper_channel: false\n"),),
    ),
    row(
        GROUP,
        "quantisation",
        files=(text("mine/quant/own.yaml", "# @package quantisation\ndefaults: [dynamic_schema, _self_]\n"),),
    ),
    row(
        GROUP,
        "quantization",
        files=(text("mine/quant/own.yaml", "# @package quantization\nper_channel: true\n"),),
    ),
    row(
        f"{GROUP} batch_size=x",
        "batch_size",
        "'x'",
        files=(text("mine/quant/own.yaml", "# @package quantization\ndefaults: [dynamic_schema, _self_]\n"),),
    ),
    row(
        "--config-dir mine +experiment=own",
        "batch_siz",
        "batch_size",
        files=(text("mine/experiment/own.yaml", "# @package _global_\nbatch_siz: 4\n"),),
    ),
    row(
        "--config-dir mine +experiment=own",
        "experiment",
        "# @package _global_",
        files=(text("mine/experiment/own.yaml", "batch_size: 4\n"),),
    ),
    row(
        "--config-dir mine +experiment=own",
        "quant",
        files=(text("mine/experiment/own.yaml", "# @package _global_\ndefaults: [{quant: static}]\n"),),
    ),
]

ROWS: list[Row] = [*FILES, *GROUPS]
