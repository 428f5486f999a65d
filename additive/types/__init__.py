"""Small frozen values that every layer shares; standard library only."""
