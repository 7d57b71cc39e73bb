"""Finished runs, read back: found, put side by side, compared, remembered."""
