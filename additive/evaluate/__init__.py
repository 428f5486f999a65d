"""Evaluation: what a model scores on a suite, item by item, through lm-eval.

Nothing here judges: the gate compares the results of two models. lm-eval, torch and transformers
are imported only when a model is really asked.
"""

from __future__ import annotations

from additive.evaluate.run import Setting, Subject, evaluate, loaded_tokenizer_digest

__all__ = ["Setting", "Subject", "evaluate", "loaded_tokenizer_digest"]
