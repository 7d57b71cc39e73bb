"""Does the instrument keep its promises? Prints every promised figure with its threshold.

    python scripts/check_instrument.py                       everything on virtual clocks, a few minutes
    python scripts/check_instrument.py real_against_itself real_neighbours    on this machine, left alone
    python scripts/check_instrument.py false_positives --runs 2000 --seed 7 --cell "0.7 s"

Ends with 1 if a figure fails. To add a procedure, write a generator of figures in `acceptance/`,
register it with `@procedure`, and name its module here.
"""

from __future__ import annotations

import argparse
import importlib
import sys

from acceptance.figures import DECISIVE_RUNS, PROCEDURES, Options

for module in ("timing", "percentiles", "server", "paired", "sweeps", "real"):
    importlib.import_module(f"acceptance.{module}")


def main() -> int:
    """Run the chosen procedures; 1 if a figure fails."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("procedures", nargs="*", metavar="procedure", help=", ".join(PROCEDURES))
    parser.add_argument("--runs", type=int, default=200, help=f"runs per cell ({DECISIVE_RUNS} to accept)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cell", default="", help="only cells whose name contains this")
    arguments = parser.parse_args()
    if unknown := set(arguments.procedures) - set(PROCEDURES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(PROCEDURES)}")
    options = Options(max(1, arguments.runs), arguments.seed, arguments.cell)
    results = []
    simulated = [name for name in PROCEDURES if not name.startswith("real_")]
    for name in arguments.procedures or simulated:
        print(f"{name}: {(PROCEDURES[name].__doc__ or '').strip()}")
        for figure in PROCEDURES[name](options):
            print(f"  {figure}", flush=True)
            results.append(figure.passed)
    if not results:
        parser.error(f"no cell of these procedures has {options.cell!r} in its name")
    failed = results.count(False)
    print(f"{failed} of {len(results)} figures fail" if failed else "no figure fails")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
