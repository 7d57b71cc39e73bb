"""What models are asked to do."""
