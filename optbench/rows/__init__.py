"""Rows of data on their way to a model: columns, tokens, windows, samples."""
