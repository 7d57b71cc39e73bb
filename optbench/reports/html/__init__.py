"""Results as one HTML file that needs nothing else: rendering only, no statistics."""
