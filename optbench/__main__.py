"""`python -m optbench` is `optbench`."""

from optbench.cli import console

if __name__ == "__main__":
    console()
