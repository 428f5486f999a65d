"""What is known of a method without importing it: its paper, what it needs, what it costs.

For `additive list methods`, which never imports torch. Costs are per parameter: *pass*, every
element of every delta is computed once; *core*, algebra on R×R matrices for LoRA (R the sum of the
ranks) and dense singular value decompositions for full fine-tunes.
"""

from __future__ import annotations

from dataclasses import dataclass

ANY = "any deltas"


_SUM, _PASS, _TWO, _CORE = "one product", "one pass", "two passes", "core"


@dataclass(frozen=True)
class About:
    """One line on a method."""

    paper: str
    needs: str
    cost: str


CATALOGUE = {
    "breadcrumbs": About("arXiv:2312.06795", ANY, "three passes"),
    "consensus_ta": About("arXiv:2405.07813", ANY, _PASS),
    "ctm": About("arXiv:2606.03723", ANY, _CORE),
    "dare_linear": About("arXiv:2311.03099", ANY, _PASS),
    "dare_ties": About("arXiv:2311.03099", ANY, _PASS),
    "della": About("arXiv:2406.11617", ANY, "one pass, sorted rows"),
    "iso_c": About("arXiv:2502.04959", ANY, _CORE),
    "linear": About("arXiv:2203.05482", ANY, _SUM),
    "localize_and_stitch": About("arXiv:2408.13656", ANY, "two passes over the model"),
    "peft_linear": About(
        "huggingface.co/docs/peft (add_weighted_adapter)", "LoRA of one rank", _SUM
    ),
    "pico": About("arXiv:2604.16826", ANY, _CORE),
    "regmean": About("arXiv:2212.09849", "LoRA, training prompts", "core, and 256 prompts each"),
    "svc": About("arXiv:2602.05536", ANY, _CORE),
    "swudi": About("arXiv:2606.07289", ANY, _CORE),
    "task_arithmetic": About("arXiv:2212.04089", ANY, _SUM),
    "ties": About("arXiv:2306.01708", ANY, _TWO),
    "tsv_m": About("arXiv:2412.00081", ANY, _CORE),
}


_ONE, _TWO_SOURCES = "one source, no weights", "two sources"


_UNWEIGHTED = "any deltas, no weights"


# mergekit's methods by name: papers as it cites them, and what it asks of the number of inputs.
_KIT_PAPERS = {
    "breadcrumbs": "arXiv:2312.06795",
    "breadcrumbs_ties": "arXiv:2312.06795",
    "dare_linear": "arXiv:2311.03099",
    "dare_ties": "arXiv:2311.03099",
    "della": "arXiv:2406.11617",
    "della_linear": "arXiv:2406.11617",
    "karcher": "arXiv:2603.04972",
    "linear": "arXiv:2203.05482",
    "model_stock": "arXiv:2403.19522",
    "ram": "arXiv:2601.13572",
    "ramplus_tl": "arXiv:2601.13572",
    "sce": "arXiv:2408.07990",
    "task_arithmetic": "arXiv:2212.04089",
    "ties": "arXiv:2306.01708",
}


_KIT_NEEDS = {
    **dict.fromkeys(("arcee_fusion", "nearswap", "passthrough", "slerp"), _ONE),
    **dict.fromkeys(("karcher", "ram", "ramplus_tl", "sce"), _UNWEIGHTED),
    "model_stock": "two sources or more, no weights",
    "nuslerp": _TWO_SOURCES,
}


def about(name: str) -> About:
    """What is known of a method by name; of a plug-in nothing but that its own page says it."""
    if name in CATALOGUE:
        return CATALOGUE[name]
    if name.startswith("core/"):
        return About("arXiv:2509.17786", ANY, _CORE)
    if name.startswith("mergekit/"):
        own = name.removeprefix("mergekit/")
        paper = _KIT_PAPERS.get(own, "mergekit's documentation")
        return About(paper, _KIT_NEEDS.get(own, ANY), "dense tensors of every source")
    return About("see its own page", "see its own page", "see its own page")
