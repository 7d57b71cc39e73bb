"""The fault matrix: real processes that are broken on purpose, and what must be left of them."""
