"""Default rules: what is done with embeddings, norms and heads under methods that are not sums.

Signs, trims and spectra are defined for the matrices inside the layers. A row of an embedding
belongs to one token, a norm is a vector of gains, a head's rows are tokens again. Methods that add
up what does not overlap (`tsv_m`, `swudi`) have whole deltas beside them, so there they are
summed with the merge's scale; elsewhere the mean of the models (`linear`) is the choice without
surprises. Methods that are sums need no rule, and mergekit's methods keep mergekit's behaviour.
"""

from __future__ import annotations

from additive.merge.building import method_name
from additive.merge.methods.arithmetic import Linear, TaskArithmetic
from additive.merge.recipe import Rule
from additive.merge.stack import MergeMethod

EMBEDDINGS = ("*embed*.weight", "*wte.weight", "*wpe.weight")
HEADS = ("*lm_head.*",)
NORMS = ("*norm*", "ln_*", "*.ln_*")


def default_rules(method: MergeMethod) -> tuple[Rule, ...]:
    """The default rules under a method; none for sums and for mergekit's methods.

    >>> from additive.merge.building import build_method
    >>> [rule.pattern for rule in default_rules(build_method("ties"))][:2]
    ['*embed*.weight', '*wte.weight']
    """
    if getattr(method, "is_linear", False) or method_name(method).startswith("mergekit/"):
        return ()
    patterns = (*EMBEDDINGS, *HEADS, *NORMS)
    if getattr(method, "sums_orthogonal", False):
        return tuple(Rule(pattern, TaskArithmetic(), None) for pattern in patterns)
    return tuple(Rule(pattern, Linear()) for pattern in patterns)
