"""Default rules: what is done with embeddings, norms and heads under methods that are not sums.

Signs, trims and spectra are defined for the matrices inside the layers. A row of an embedding
belongs to one token, a norm is a vector of gains, a head's rows are tokens again. Methods that add
up what does not overlap (`tsv_m`, `swudi`) have whole deltas beside them, so there they are
summed with the merge's scale; elsewhere the mean of the models (`linear`) is the choice without
surprises. Methods that are sums need no rule, and mergekit's methods keep mergekit's behaviour.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from fnmatch import fnmatchcase

from additive.deltas.base import Base
from additive.errors import UsageError
from additive.merge.method import MergeMethod
from additive.merge.methods.arithmetic import Linear, TaskArithmetic
from additive.merge.recipe import BuiltRecipe, ParameterRule, method_name
from additive.merge.sources import Sources

EMBEDDINGS = ("*embed*.weight", "*wte.weight", "*wpe.weight")


HEADS = ("*lm_head.*",)


NORMS = ("*norm*", "ln_*", "*.ln_*")


def default_rules(method: MergeMethod) -> tuple[ParameterRule, ...]:
    """The default rules under a method; none for sums and for mergekit's methods.

    >>> from additive.merge.recipe import build_method
    >>> [rule.pattern for rule in default_rules(build_method("ties"))][:2]
    ['*embed*.weight', '*wte.weight']
    """
    if method.is_linear or method_name(method).startswith("mergekit/"):
        return ()
    patterns = (*EMBEDDINGS, *HEADS, *NORMS)
    if method.sums_orthogonal:
        return tuple(ParameterRule(pattern, TaskArithmetic(), None) for pattern in patterns)
    return tuple(ParameterRule(pattern, Linear()) for pattern in patterns)


def check_rules(recipe: BuiltRecipe) -> None:
    """Refuse a rule whose method no rule can have, and a scale that is no number.

    Raises: UsageError.
    """
    for rule in recipe.rules:
        if rule.method is not None and rule.method.scope == "model":
            raise UsageError(
                f"rule {rule.pattern!r} has a method that surveys the whole model,"
                " which no rule can"
            )
        if rule.scale is not None and not math.isfinite(rule.scale):
            raise UsageError(f"scale of rule {rule.pattern!r} is {rule.scale}")


def check_patterns(recipe: BuiltRecipe, base: Base) -> None:
    """Refuse a rule whose pattern matches no parameter of the base: it would decide nothing, in
    silence. Default rules are for any model.

    Raises: UsageError.
    """
    names = base.names()
    for rule in recipe.rules:
        known = rule.pattern in (*EMBEDDINGS, *HEADS, *NORMS)
        if not known and not any(fnmatchcase(name, rule.pattern) for name in names):
            raise UsageError(
                f"rule {rule.pattern!r} matches no parameter of the base",
                help=f"names are like {names[len(names) // 2]}; * stands for any text",
            )


def beside_notes(recipe: BuiltRecipe, opened: Sources) -> Iterable[str]:
    """What is done where the recipe's method, made of spectra, meets no matrix and no rule decides:
    with vectors, and with fused parameters unless every source has factors of each expert.
    """
    method = recipe.method
    if method.is_linear or not method.has_core_form:
        return
    beside = [name for name in opened.parameters() if not (recipe.rule(name) or opened.fits(name))]
    if beside:
        sums = method.sums_orthogonal
        yield (
            f"{method_name(method)} is for matrices: {len(beside)} other parameters"
            f" ({beside[0]}{', …' if beside[1:] else ''}) are"
            f" {'summed' if sums else 'averaged over all sources'} at the merge's scale"
        )
