"""optbench: is the optimized transformer faster on this machine, by how much, and still as good?"""

__version__ = "0.1.0"
