"""The processes of a run: how children are started and end, and what each of them does."""
