"""What is measured: prepared once, kept in a cache, checked before each use."""
