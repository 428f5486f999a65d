"""`core/<name>`: element-wise methods on core matrices, so on coordinates in place of elements.

No direction of a LoRA belongs to one element: each is spread over all of them. In Core Space
(Panariello et al., 2025, arXiv:2509.17786) the sources of a matrix share two small orthonormal
bases, U of their outputs and V of their inputs, and the method trims, drops and votes on
Cᵢ = UᵀτᵢV; τ = U·C·Vᵀ. Not the dense form of anything: what is large, and who agrees, depends on
the basis. Here it is that of the singular vectors of [τ₁ … τₙ] and of [τ₁; …; τₙ], largest first,
without those that are rounding; a flip of a vector's sign changes no vote, so the result is
determined wherever singular values differ.

Deviation: the authors take the singular vectors of the stacked factors, which change with the
arbitrary split of a delta into B and A; those of the deltas do not. Coordinates are float32, as
elements are. Scope: parameter; embeddings, norms and heads by the default rules, vectors are
averaged. Cost: R×R algebra for LoRA, dense singular value decompositions otherwise.

Each is a frozen dataclass with the parameters and checks of the method that it applies.
"""

from __future__ import annotations

import dataclasses
from typing import Any, get_type_hints

import torch
from torch import Tensor

from additive.deltas.model import Delta, Dense
from additive.merge.apply import as_delta, surveyed
from additive.merge.core import Core, in_core
from additive.merge.method import DeltaStack, MergeMethod
from additive.merge.methods.breadcrumbs import Breadcrumbs
from additive.merge.methods.consensus_ta import ConsensusTa
from additive.merge.methods.dare import DareLinear, DareTies
from additive.merge.methods.della import Della
from additive.merge.methods.ties import Ties


def on_coordinates(method: MergeMethod, core: Core) -> Tensor:
    """What an element-wise method makes of the sources' coordinates, as a core matrix, float64."""
    U, _, _ = core.svd(torch.cat(core.matrices, dim=1))
    _, _, V = core.svd(torch.cat(core.matrices, dim=0))
    coordinates = [(U.T @ matrix @ V).float() for matrix in core.matrices]
    if not coordinates[0].numel():
        return torch.zeros_like(core.matrices[0])
    stack = DeltaStack(
        name=core.rng.parameter,
        base=torch.zeros_like(coordinates[0]),
        deltas=tuple(map(Dense, coordinates)),
        sources=core.sources,
        weights=core.weights,
        rng=core.rng,
        count=core.count,
        total=core.total,
    )
    merged = as_delta(method.merge(surveyed(method, stack)), stack, method)
    return U @ merged.dense(torch.float64) @ V.T


def _on_core(name: str, kind: Any) -> type:
    """The method of these parameters on coordinates."""

    def merge(self: Any, stack: DeltaStack) -> Delta:
        """The merged coordinates, lifted."""
        return in_core(stack, self.merge_core)

    def merge_core(self: Any, core: Core) -> Tensor:
        """The same in core space, where it is computed anyway."""
        return on_coordinates(kind(**dataclasses.asdict(self)), core)

    def check(self: Any) -> None:
        """Check the parameters as the method itself does."""
        kind(**dataclasses.asdict(self))

    types = get_type_hints(kind)
    fields = [
        (field.name, types[field.name], dataclasses.field(default=field.default))
        for field in dataclasses.fields(kind)
    ]
    namespace = {
        "__doc__": f"The method `{name}` on core matrices, τ = U·C·Vᵀ (arXiv:2509.17786).",
        "__module__": __name__,
        "scope": "parameter",
        "paper": "arXiv:2509.17786",
        "keeps_factors": True,
        "merge": merge,
        "merge_core": merge_core,
        "__post_init__": check,
    }
    return dataclasses.make_dataclass(
        f"Core{kind.__name__}", fields, bases=(MergeMethod,), frozen=True, namespace=namespace
    )


CoreBreadcrumbs = _on_core("breadcrumbs", Breadcrumbs)


CoreConsensusTa = _on_core("consensus_ta", ConsensusTa)


CoreDareLinear = _on_core("dare_linear", DareLinear)


CoreDareTies = _on_core("dare_ties", DareTies)


CoreDella = _on_core("della", Della)


CoreTies = _on_core("ties", Ties)
