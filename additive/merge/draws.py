"""Randomness that depends on what is drawn for, never on when.

The number drawn for an element is a function of (seed, parameter, source, row, column): one
PCG64-DXSM stream per parameter and source, which can be entered anywhere. So a mask is the same on
one thread or eight, in any block size, any shard layout and any order of sources.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy
import torch
from torch import Tensor

from additive.types.digests import canonical_json


@dataclass(frozen=True)
class Draws:
    """The random numbers of one parameter; `first` is the first element of the block that asks."""

    seed: int
    parameter: str
    first: int = 0

    def uniform(self, source: str, shape: tuple[int, int]) -> Tensor:
        """Uniform numbers in [0, 1), float32 with 24 bits, for a block of whole rows.

        >>> draws = Draws(0, "w")
        >>> whole = draws.uniform("math", (4, 3))
        >>> bool((Draws(0, "w", first=6).uniform("math", (2, 3)) == whole[2:]).all())
        True
        """
        count = shape[0] * shape[1]
        skipped = self.first % 2
        words = self._stream(source, self.first // 2).random_raw((count + skipped + 1) // 2)
        halves = words.astype("<u8", copy=False).view("<u4")[skipped : skipped + count]
        return torch.from_numpy((halves >> 8).astype(numpy.float32)).mul_(2.0**-24).reshape(shape)

    def _stream(self, source: str, word: int) -> numpy.random.PCG64DXSM:
        key = hashlib.sha256(canonical_json([self.seed, self.parameter, source]).encode()).digest()
        generator = numpy.random.PCG64DXSM(0)
        generator.state = {
            "bit_generator": "PCG64DXSM",
            "state": {
                "state": int.from_bytes(key[:16], "big"),
                "inc": int.from_bytes(key[16:], "big") | 1,
            },
            "has_uint32": 0,
            "uinteger": 0,
        }
        return generator.advance(word)
