"""Results as text people read: rendering only, no statistics."""
