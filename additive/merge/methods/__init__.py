"""The built-in methods; plug-ins join through the entry point group `additive.merge_methods`."""

from __future__ import annotations

from typing import Any

from additive.registry import Registry

BUILTINS = {
    "dare_linear": "additive.merge.methods.dare:DareLinear",  # arXiv:2311.03099
    "dare_ties": "additive.merge.methods.dare:DareTies",  # arXiv:2311.03099, 2306.01708
    "linear": "additive.merge.methods.arithmetic:Linear",  # arXiv:2203.05482
    "task_arithmetic": "additive.merge.methods.arithmetic:TaskArithmetic",  # arXiv:2212.04089
    "ties": "additive.merge.methods.ties:Ties",  # arXiv:2306.01708
}
METHODS: Registry[Any] = Registry("merge method", BUILTINS, "additive.merge_methods")
