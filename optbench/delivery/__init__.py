"""What becomes of a finished run: its page, its copy at a URL, a tracker's entry, an export."""
