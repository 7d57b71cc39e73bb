"""Runtimes that load an artifact and run it."""
