"""Merging frozen specialists into one base: plan from headers, then one streaming pass."""
