"""Rebuilds the model and the rows that the package ships; two minutes of one core.

`python scripts/build_demo.py` writes into optbench/demo/; the result is the same to the byte on the same
machine and library versions.
"""

import sys

from optbench.demo.build import main

if __name__ == "__main__":
    sys.exit(main(["tiny-sentiment", *sys.argv[1:]]))
