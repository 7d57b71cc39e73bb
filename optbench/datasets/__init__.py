"""Where labelled rows come from."""
