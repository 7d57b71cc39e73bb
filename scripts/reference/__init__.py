"""The pages of docs/reference/, each made from the code that it describes (scripts/build_reference.py)."""
