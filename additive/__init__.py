"""Fine-tuned skills that add up: train one domain at a time, freeze it, merge exactly, release through a gate."""

__version__ = "0.1.0"
