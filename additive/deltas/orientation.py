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
    return fan_in_fan_out if base.conv1d is None else base.conv1d
