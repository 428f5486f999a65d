"""Specs: what a user writes in YAML, as frozen models that know their place in the file."""
