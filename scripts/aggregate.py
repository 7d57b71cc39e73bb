"""The same as `optbench aggregate`: all points below directories as one table and as files."""

import sys

from optbench.cli import main

if __name__ == "__main__":
    sys.exit(main(["aggregate", *sys.argv[1:]]))
