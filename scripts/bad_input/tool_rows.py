"""Commands beside a run: aggregate, compare, report, history, export, cache, doctor."""

from __future__ import annotations

from bad_input.files import finished, folder, text
from bad_input.row import Make, Row, row

RUN = finished("run")
TWO: tuple[Make, ...] = (finished("a"), finished("b"))
NEWER = finished("run", schema_version=99)

USAGE = [
    row("aggregate", "DIR", "optbench aggregate --help"),
    row("compare", "A", "optbench compare --help"),
    row("compare one", "B", "optbench compare --help"),
    row("report", "DIR", "optbench report --help"),
    row("export run", "DEST", "optbench export --help"),
    row("report run other", "other", "optbench report --help", files=(RUN,)),
    row("aggregate run --format html", "--format", "html", "markdown", files=(RUN,)),
    row("report run --format pdf", "--format", "pdf", "markdown", files=(RUN,)),
    row("compare a b --format xml", "--format", "xml", "junit", files=TWO),
    row("aggregate run --ouput x", "--ouput", "--output", files=(RUN,)),
    row("aggregate run --output", "--output", "argument", files=(RUN,)),
    row("export run new --variant both", "--variant", "both", "candidate", files=(RUN,)),
    row("doctor --budget-seconds 0", "--budget-seconds", "1", "optbench doctor --help"),
    row("doctor --budget-seconds soon", "--budget-seconds", "number", "optbench doctor --help"),
    row("doctor now", "now", "optbench doctor --help"),
    row("cache lst", "lst", "list"),
    row("cache verify everything", "everything", "optbench cache verify --help"),
    row("history add", "history add", "directories"),
    row("aggregate -x", "-x", "optbench aggregate --help"),
    row("-q -v aggregate run", "-q and -v exclude each other", files=(RUN,)),
]

READING = [
    row("aggregate gone", "gone must be a directory", "there is none"),
    row("aggregate gone/result.json", "gone"),
    row("aggregate notes.txt", "notes.txt must be a directory", "is a file", files=(text("notes.txt", ""),)),
    row("aggregate empty", "empty holds no results", "sweep directory", files=(folder("empty"),)),
    row("aggregate run gone", "gone must be a directory", files=(RUN,)),
    row("aggregate run --output taken", "taken", "--output", files=(RUN, text("taken", ""))),
    row("aggregate run --output taken/below", "taken", "--output", files=(RUN, text("taken", ""))),
    row("aggregate run --output /proc/optbench", "/proc/optbench", "--output", files=(RUN,)),
    row("report gone", "gone must be a directory", "there is none"),
    row("report empty", "empty holds no results", files=(folder("empty"),)),
    row(
        "report run/result.json --output taken/below",
        "--output taken/below cannot be written",
        files=(RUN, text("taken", "")),
    ),
    row("report run --output other", "--output other cannot be written", files=(RUN, folder("other"))),
    row(
        "report run --output x.html --plots taken",
        "--plots taken cannot be written",
        files=(RUN, text("taken", "")),
    ),
    row("report run", "result.json", "not a readable optbench result", files=(text("run/result.json", "{"),)),
    row("report run", "result.json", "not a readable optbench result", files=(text("run/result.json", ""),)),
    row("report run", "result.json", "not a readable", files=(text("run/result.json", b"\xff\xfe\x00"),)),
    row("report run", "result.json", "not a readable", files=(text("run/result.json", "[" * 100_000),)),
    row("report run", "result.json", "$.status", files=(finished("run", status="done"),)),
    row("report run", "result.json", "command", files=(finished("run", command=None),)),
    row("report run", "result.json", "schema version 99", "upgrade optbench", files=(NEWER,)),
]

COMPARING = [
    row("compare gone b", "gone must be a directory", files=TWO),
    row("compare a gone", "gone must be a directory", files=TWO),
    row("compare a empty", "empty holds no results", files=(*TWO, folder("empty"))),
    row("compare a notes.txt", "notes.txt must be a directory", files=(*TWO, text("notes.txt", ""))),
    row("compare a b --output other", "--output other cannot be written", files=(*TWO, folder("other"))),
    *(
        row(
            f"compare a b --fail-if '{text_}'",
            "--fail-if must be METRIC OP NUMBER",
            text_,
            "speedup",
            files=TWO,
        )
        for text_ in (
            "speedup",
            "speedup=1",
            "speedup==1",
            "speedup<",
            "<0.97",
            "speedup<fast",
            "speedup<0.97x",
            "speed<1",
            "speedup < 1 and size_ratio > 2",
            "latency<5",
            "",
            "__import__<1",
            "speedup<nan",
            "0.9<speedup<1.1",
            "speedup<<1",
            "speedup<1e",
        )
    ),
]

HANDING = [
    row("export gone new", "RUN_DIR=gone", "result.json", "nothing there"),
    row("export empty new", "RUN_DIR=empty must hold a result.json", files=(folder("empty"),)),
    row("export sweep new", "RUN_DIR=sweep must hold a result.json", "sweep/0", files=(finished("sweep/0"),)),
    row(
        "export run new",
        "RUN_DIR=run must be a run that came to its end",
        "failed at timing: died",
        files=(
            finished(
                "run", status="failed", failure={"kind": "WorkerError", "stage": "timing", "message": "died"}
            ),
        ),
    ),
    row("export run new", "--variant must be of a run with files", files=(RUN,)),
    row("export run new", "schema version 99", files=(NEWER,)),
    row("history --since yesterday", "--since must be a date such as", "'yesterday'"),
    row("history --since 2026-13-40", "--since must be a date such as", "2026-13-40"),
    row("history gone", "gone must be a directory"),
    row("history add gone", "gone must be a directory"),
    row("history add empty", "empty holds no results", files=(folder("empty"),)),
    row(
        "history",
        "history.sqlite",
        "cannot be used",
        files=(text("cache/history.sqlite", "x" * 4096),),
        environment={"OPTBENCH_CACHE_DIR": "cache"},
    ),
    row(
        "history",
        "taken",
        "cannot be used",
        files=(text("taken", ""),),
        environment={"OPTBENCH_CACHE_DIR": "taken"},
    ),
    row("cache clear nonsense --yes", "KEY must name one entry", "'nonsense'", "optbench cache list"),
    row("cache clear --older-than soon --yes", "--older-than must be a number", "30d", "'soon'"),
    row("cache clear --older-than 5 --yes", "--older-than must be a number", "30d", "'5'"),
    row("cache clear --older-than -1d --yes", "--older-than must be a number", "'-1d'"),
    row(
        "cache list",
        "OPTBENCH_CACHE_DIR",
        "taken",
        files=(text("taken", ""),),
        environment={"OPTBENCH_CACHE_DIR": "taken"},
    ),
    row(
        "cache verify",
        "OPTBENCH_CACHE_DIR",
        "taken",
        files=(text("taken", ""),),
        environment={"OPTBENCH_CACHE_DIR": "taken"},
    ),
    row(
        "cache clear --yes",
        "OPTBENCH_CACHE_DIR",
        "taken",
        files=(text("taken", ""),),
        environment={"OPTBENCH_CACHE_DIR": "taken"},
    ),
]

ROWS: list[Row] = [*USAGE, *READING, *COMPARING, *HANDING]
