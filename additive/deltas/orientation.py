"""Which way round a weight lies: Linear stores (out, in), GPT-2's Conv1D stores (in, out).

Shapes decide, except for square weights. There the biases of the base's other weights are evidence
(a bias has the length of the outputs), and the adapter's own `fan_in_fan_out` decides the rest.
"""

from __future__ import annotations

from additive.deltas.base import Base
from additive.errors import CompatibilityError


def is_transposed(
    parameter: str, inputs: int, outputs: int, base: Base, fan_in_fan_out: bool, where: str
) -> bool:
    """Whether the base stores this weight as (in, out).

    Raises: CompatibilityError when the factors fit neither way.
    """
    shape = base.shape(parameter)
    if shape == (outputs, inputs) and inputs != outputs:
        return False
    if shape == (inputs, outputs) and inputs != outputs:
        return True
    if shape != (outputs, inputs):
        raise CompatibilityError(
            f"{parameter} has shape {list(shape)} when the factors make {[outputs, inputs]}",
            where=where,
            help="merge it into the base it was trained on",
        )
    evidence = _biases_say(base)
    return fan_in_fan_out if evidence is None else evidence


def _biases_say(base: Base) -> bool | None:
    """True when every biased, oblong weight of the base is (in, out), False when none is."""
    votes = set()
    for name in base.checkpoint.names():
        shape = base.shape(name)
        bias = f"{name.removesuffix('.weight')}.bias"
        if len(shape) == 2 and shape[0] != shape[1] and bias != name and bias in base.checkpoint:
            length = base.shape(bias)[-1]
            votes.add(length == shape[1] and length != shape[0])
    return votes.pop() if len(votes) == 1 else None
