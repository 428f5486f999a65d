"""Second moments of what modules of a model see, along given directions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from additive.errors import CompatibilityError

if TYPE_CHECKING:
    from torch import Tensor, nn


def input_grams(
    model: nn.Module, sequences: Sequence[Sequence[int]], directions: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """(X·Dᵀ)ᵀ(X·Dᵀ)/n for every module, X its n input rows over all tokens of all sequences.

    `directions` has a module's name and D, (k, inputs): the rows of the adapters' A. An embedding's
    inputs are tokens, each a row of the identity, so that X·Dᵀ picks columns of D. Only k×k numbers
    are kept of what may be thousands of inputs. One sequence at a time, so that no padding is
    counted. Gives (k, k) float64.

    Raises: CompatibilityError for a module that the model does not have.

    Example: `input_grams(model, [[1, 5, 9]], {"model.layers.0.mlp.up_proj": A})`
    """
    import torch

    totals = {
        name: torch.zeros(len(D), len(D), dtype=torch.float64) for name, D in directions.items()
    }
    hooks = [
        _module(model, name).register_forward_pre_hook(_adder(totals[name], D.double()))
        for name, D in directions.items()
    ]
    try:
        with torch.no_grad():
            for ids in sequences:
                model(input_ids=torch.tensor([list(ids)]))
    finally:
        for hook in hooks:
            hook.remove()
    tokens = sum(len(ids) for ids in sequences)
    return {name: total / max(tokens, 1) for name, total in totals.items()}


def _adder(total: Tensor, D: Tensor) -> Callable[[nn.Module, tuple[Any, ...]], None]:
    def add(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        given = inputs[0]
        ids = not given.is_floating_point()
        seen = D.T[given.reshape(-1)] if ids else given.reshape(-1, D.shape[1]).double() @ D.T
        total.add_(seen.T @ seen)

    return add


def _module(model: nn.Module, name: str) -> nn.Module:
    found = [
        module
        for own, module in model.named_modules()
        if own == name or own.endswith(f".{name}") or (name.endswith(f".{own}") and own)
    ]
    if len(found) != 1:
        raise CompatibilityError(f"module {name} is {len(found)} times in the model, not once")
    return found[0]
