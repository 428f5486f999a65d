"""Frozen things: manifests, identities, the store, locks, verification; no torch at import."""
