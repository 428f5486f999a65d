"""What two texts have in common: held-out items found again in training data."""
