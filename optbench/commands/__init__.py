"""The commands beside a run: aggregate, compare, report, history, doctor, cache, export."""
