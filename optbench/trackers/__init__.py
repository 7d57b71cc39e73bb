"""Trackers: one module each, registered under `tracking`."""
