"""The stages of one run, and its result while it grows."""
