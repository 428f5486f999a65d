"""What the repository needs and the wheel does not: run each from the root, `python -m tools.…`."""
