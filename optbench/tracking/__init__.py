"""What a tracker such as MLflow has to offer, and what all of them log."""
