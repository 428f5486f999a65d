"""mergekit's configurations on our stream: any model a base plus deltas, one tensor at a time."""
