"""The built-in methods; plug-ins join through the entry point group `additive.merge_methods`."""

from __future__ import annotations

from typing import Any

from additive.registry import Registry

BUILTINS = {
    "breadcrumbs": "additive.merge.methods.breadcrumbs:Breadcrumbs",  # arXiv:2312.06795
    "consensus_ta": "additive.merge.methods.consensus_ta:ConsensusTa",  # arXiv:2405.07813
    "core/breadcrumbs": "additive.merge.methods.core_elementwise:CoreBreadcrumbs",
    "core/consensus_ta": "additive.merge.methods.core_elementwise:CoreConsensusTa",
    "core/dare_linear": "additive.merge.methods.core_elementwise:CoreDareLinear",
    "core/dare_ties": "additive.merge.methods.core_elementwise:CoreDareTies",
    "core/della": "additive.merge.methods.core_elementwise:CoreDella",
    "core/ties": "additive.merge.methods.core_elementwise:CoreTies",
    "ctm": "additive.merge.methods.ctm:Ctm",  # arXiv:2606.03723
    "dare_linear": "additive.merge.methods.dare:DareLinear",  # arXiv:2311.03099
    "dare_ties": "additive.merge.methods.dare:DareTies",  # arXiv:2311.03099, 2306.01708
    "della": "additive.merge.methods.della:Della",  # arXiv:2406.11617
    "iso_c": "additive.merge.methods.iso_c:IsoC",  # arXiv:2502.04959
    "linear": "additive.merge.methods.arithmetic:Linear",  # arXiv:2203.05482
    "localize_and_stitch": "additive.merge.methods.localize_and_stitch:LocalizeAndStitch",
    "peft_linear": "additive.merge.methods.peft_linear:PeftLinear",  # PEFT's factor-wise sum
    "pico": "additive.merge.methods.pico:Pico",  # arXiv:2604.16826
    "regmean": "additive.merge.methods.regmean:RegMean",  # arXiv:2212.09849
    "svc": "additive.merge.methods.svc:Svc",  # arXiv:2602.05536
    "swudi": "additive.merge.methods.swudi:Swudi",  # arXiv:2606.07289
    "task_arithmetic": "additive.merge.methods.arithmetic:TaskArithmetic",  # arXiv:2212.04089
    "ties": "additive.merge.methods.ties:Ties",  # arXiv:2306.01708
    "tsv_m": "additive.merge.methods.tsv_m:TsvM",  # arXiv:2412.00081
}


# mergekit's registry, version 0.1.5, by name, so that listing it does not import it.
MERGEKIT = (
    "arcee_fusion",
    "breadcrumbs",
    "breadcrumbs_ties",
    "dare_linear",
    "dare_ties",
    "della",
    "della_linear",
    "karcher",
    "linear",
    "model_stock",
    "multislerp",
    "nearswap",
    "nuslerp",
    "passthrough",
    "ram",
    "ramplus_tl",
    "sce",
    "slerp",
    "task_arithmetic",
    "ties",
)


BUILTINS |= {f"mergekit/{n}": f"additive.merge.mergekit.bridge:{n}" for n in MERGEKIT}


METHODS: Registry[Any] = Registry("merge method", BUILTINS, "additive.merge_methods")
