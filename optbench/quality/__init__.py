"""Metrics, and the paired comparison of two variants on the same rows."""
