"""Sweeps: their axes, their places, and points that fail at work."""

from __future__ import annotations

from bad_input.files import folder, text
from bad_input.row import Row, row

FAKE = "-q baseline=fake backend=fake quant=none measure=quick"

ROWS: list[Row] = [
    row("-m sweep=grid batch_sizes=[]", "sweep=grid", "needs its points", "batch_sizes=[...]"),
    row("-m sweep=grid batch_sizes=[] input_lengths=[]", "batch_sizes=[...]", "input_lengths=[...]"),
    row("-m sweep=grid batch_sizes=[1,x]", "batch_sizes", "x"),
    row("-m sweep=grid batch_sizes=8", "batch_sizes"),
    row("-m sweep=gird", "sweep/gird", "grid"),
    row("-m quant=none,dynamik batch_size=1,8", "quant/dynamik", "dynamic"),
    row("-m quant=dynamik,statik", "2 problems", "quant/dynamik", "quant/statik"),
    row("-m batch_size=1,x", "batch_size", "x", "Integer"),
    row("-m batch_siz=1,2", "batch_siz", "Did you mean", "batch_size"),
    row("-m measure.precision=low,high", "measure.precision", "low"),
    row("-m quant=none quant=none,dynamic", "quant is given more than once", "give it once"),
    row("-m batch_size=1,2 ++batch_size=4", "batch_size is given more than once"),
    row("-m seed=range(1,5,0)", "seed", "range"),
    row("-m seed=range(1", "seed=range(1"),
    row("-m batch_size=choice()", "batch_size"),
    row("-m batch_size=interval(1,8)", "batch_size", "interval"),
    row("-m batch_size=1,2 hydra.sweep.dir=/dev/null/x", "hydra.sweep.dir", "/dev/null", "choose another"),
    row(
        "-m batch_size=1,2 hydra.sweep.dir=taken",
        "hydra.sweep.dir=taken",
        "is not a directory",
        files=(text("taken", ""),),
    ),
    row("-m batch_size=1,2 resume=nowhere", "resume must be the directory of an earlier sweep", "nowhere"),
    row(
        "-m batch_size=1,2 resume=earlier hydra.sweep.dir=earlier",
        "resume=earlier must not be",
        "hydra.sweep.dir",
        files=(folder("earlier"),),
    ),
    row(
        "-m batch_size=1,2 resume=report.txt",
        "resume must be the directory",
        "report.txt",
        files=(text("report.txt", ""),),
    ),
    row("-m +experiment=none,demo", "experiment/none", "demo"),
    row("-m hydra/sweeper=random batch_size=1,2", "hydra/sweeper/random", "grid"),
    row("-m hydra/launcher=slurm batch_size=1,2", "hydra/launcher/slurm", "basic"),
    row("-m bogus=1 other=2 batch_size=1,8", "2 problems", "bogus", "other"),
    row("--plan -m quant=none,dynamik", "quant/dynamik", "dynamic"),
    row("--plan -m seed=-1,-2 threads=0", "threads must be >= 1"),
    row("--plan batch_size=1,8", "-m", "batch_size"),
    row("--plan batch_size=0", "batch_size must be >= 1, got 0"),
    row("--plan --plann", "--plann", "no flag"),
    row("+experiment=tune tune.finalists=x", "tune.finalists", "x"),
    row("+experiment=tune bogus=1 other=2", "2 problems", "bogus", "other"),
]

FAILURES: list[Row] = [
    row(f"-m {FAKE} batch_size=0,-1", "batch_size must be >= 1, got 0", "got -1", code=3),
    row(f"-m {FAKE} model=pretrained model.path=./none,./gone", "./none", "./gone", "nothing there", code=3),
    row(f"-m {FAKE} input_length=100000,200000", "input_length must not exceed", "got 100000", code=3),
]
