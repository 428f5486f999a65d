"""Training one domain to saturation: data, recall, the loop, the rule that ends it.

`run.train` is the whole of it; `saturation.judge` is the rule alone, a pure function of a curve.
TRL is known to `trainer` only. Importing this package imports neither torch nor TRL.
"""
