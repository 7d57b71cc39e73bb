"""Acceptance procedures: each module registers its own, `check_instrument.py` runs them."""
