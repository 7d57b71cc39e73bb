"""Ways to make weights and activations smaller."""
